(ns gossip-rs.histories-test
  "The histories that every judge must agree on, in `histories/` at the top of the tree, against the table beside them.

  Linearizability, :L in the table, is not the invariants'. A history that violates nothing else must come out clean of them."
  (:require [clojure.edn :as edn]
            [clojure.java.io :as io]
            [clojure.set :as set]
            [clojure.test :refer [deftest is testing]]
            [gossip-rs.history :as h]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.linear :as linear]
            [gossip-rs.search :as search]))

(def ^:private folder
  (io/file ".." ".." "histories"))

(def ^:private expected
  (delay (edn/read-string (slurp (io/file folder "expected.edn")))))

(defn- files
  []
  (set (for [kind ["good" "bad" "unknown"]
             file (.list (io/file folder kind))]
         (str kind "/" file))))

(defn- judged
  [file]
  (invariants/judge (h/read-history (io/file folder file)) invariants/ids))

(defn- violated
  [judgement]
  (set (for [[id {:keys [valid?]}] judgement :when (false? valid?)] id)))

(deftest the-table-names-every-history
  (is (= (files) (set (keys @expected)))))

(defn- for-linearizability-alone?
  "Whether a good history gave no invariant anything to check, and the shard model something to order."
  [file row judgement]
  (and (true? (:valid? row))
       (every? zero? (map :checks (vals judgement)))
       (boolean (some (comp seq :calls) (vals (linear/shards (h/read-history (io/file folder file))))))))

(deftest verdicts-are-as-expected
  (doseq [[file row] (sort-by key @expected)]
    (testing file
      (let [judgement (judged file)]
        (is (= (disj (:violated row) :L) (violated judgement))
            (pr-str (mapcat (comp (partial map :message) :violations val) judgement)))
        (when-not (or (= #{:L} (:violated row)) (for-linearizability-alone? file row judgement))
          (is (= (:valid? row) (invariants/valid? judgement []))))))))

(deftest each-invariant-is-violated-by-histories-named-for-it
  (let [named (frequencies (for [[file {:keys [violated]}] @expected
                                 :let [[_ id] (re-matches #"bad/([A-Z0-9]+)-.*" file)]
                                 :when id]
                             (do (is (contains? violated (keyword id)) file)
                                 (keyword id))))]
    (is (set/subset? (set invariants/ids) (set (keys named))))
    (is (every? #(<= 5 %) (vals named)))))

;; Linearizability, by brute force: no file here is too long for it, and none is left out. Knossos must say the same
;; (`checker_test.clj`), and so must the Rust judge.

(deftest the-shard-model-agrees-on-every-history
  (doseq [[file {:keys [violated]}] (sort-by key @expected)]
    (testing file
      (is (= (contains? violated :L)
             (boolean (seq (search/anomalies (h/read-history (io/file folder file))))))))))
