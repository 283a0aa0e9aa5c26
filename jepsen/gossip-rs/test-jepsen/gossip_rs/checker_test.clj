(ns gossip-rs.checker-test
  (:require [clojure.edn :as edn]
            [clojure.java.io :as io]
            [clojure.test :refer [deftest is testing]]
            [gossip-rs.build :as b]
            [gossip-rs.checker.elle :as elle]
            [gossip-rs.checker.knossos :as knossos]
            [gossip-rs.history :as h]))

(def ^:private limit-ms 10000)

(deftest knossos-agrees-with-the-table-on-every-history
  ; No file is left out: what the Rust judge says of the order of calls, Knossos must say as well.
  (let [folder   (io/file "../../histories")
        expected (edn/read-string (slurp (io/file folder "expected.edn")))]
    (is (< 100 (count expected)))
    (doseq [[file {:keys [violated]}] (sort-by key expected)]
      (testing file
        (let [{:keys [valid? unknown] :as result} (knossos/check-ops (h/read-history (io/file folder file)) limit-ms)]
          (is (= (contains? violated :L) (false? valid?)) (pr-str (:anomalies result)))
          (is (empty? unknown)))))))

(deftest knossos-sees-what-cannot-be
  (doseq [[what ops] {"two grants of one fence" [(b/acquire "v" 1) (assoc-in (b/acquire "w" 1) [:in :op-id] "other")]
                      "a stale fence accepted"  [(b/acquire "v" 1) (b/acquire "w" 2) (b/write :checkpoint "v" 1 :cursor "0a")]
                      "a lost cursor"           [(b/acquire "v" 1) (b/write :checkpoint "v" 1 :cursor "0a")
                                                 (b/read-shard {:status :active, :fence 1, :cursor nil})]}]
    (testing what
      (is (false? (:valid? (knossos/check-ops (apply b/history (b/register ["s" nil nil]) ops) limit-ms)))))))

(deftest a-lost-claim-may-explain-a-gap
  (let [claim {:f :claim, :in {:run "r", :worker "u", :op-id "c"}, :type :info, :error [:transport ""]}
        grant (fn [n] (assoc-in (b/acquire "w" n) [:out :cursor] nil))]
    (is (true? (:valid? (knossos/check-ops (b/history (b/register ["s" nil nil]) [claim] (assoc (grant 2) :process 5)) limit-ms))))
    (is (false? (:valid? (knossos/check-ops (b/history (b/register ["s" nil nil]) [claim] (assoc (grant 3) :process 5)) limit-ms))))))

(defn- checkpoint
  [ids]
  (b/write :checkpoint "v" 1 :cursor (format "%02x" (count ids)) :ids ids))

(deftest elle-sees-lost-and-reordered-checkpoints
  (let [check (fn [& calls] (:valid? (elle/check-ops (apply b/history (b/register ["s" nil nil]) calls) nil)))
        read  (fn [ids] (b/read-shard {:status :active, :fence 1, :ids ids}))]
    (is (true? (check (checkpoint [1]) (checkpoint [1 2]) (read [1 2]))))
    (is (true? (check (checkpoint [1]) (b/lost (checkpoint [1 2])) (read [1 2]))) "a lost one that did happen")
    (is (false? (check (checkpoint [1]) (checkpoint [1 2]) (read [1]))) "stale")
    (is (false? (check (checkpoint [1]) (checkpoint [1 2]) (read [1 2]) (read [2 1]))) "reordered")
    (is (false? (check (checkpoint [1]) (b/failed (checkpoint [1 2]) :fence-mismatch) (read [1 2]))) "refused, yet there")
    (is (= :unknown (check (read []))) "nothing to check")))
