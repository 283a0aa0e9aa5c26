(ns gossip-rs.coverage-test
  (:require [clojure.test :refer [deftest is testing]]
            [gossip-rs.build :as b]
            [gossip-rs.coverage :as coverage]))

(def ^:private step b/step)

(defn- run
  [& steps]
  (apply b/history (b/register ["s" nil nil]) steps))

(deftest faults-count-when-they-took-hold
  (is (= {:kill 1} (coverage/took-hold (run (step :kill ["n1"]) (step :start ["n1"])))))
  (is (= {} (coverage/took-hold (run (step :pause ["n1"] [:no-effect "never stopped"])))))
  (testing "a partition that no packet met was none"
    (is (= {} (coverage/took-hold (run (step :start-partition {}) (step :stop-partition nil [:no-effect "no packet"])))))
    (is (= {:start-partition 1} (coverage/took-hold (run (step :start-partition {}) (step :stop-partition nil)))))))

(deftest what-only-its-end-tells-did-not-take-hold-without-one
  (doseq [[start stop] {:start-partition :stop-partition, :start-client-fault :stop-client-fault}]
    (let [held (fn [& ends] (get (coverage/took-hold (apply run (step start {}) ends)) start 0))]
      (is (= 1 (held (step stop nil))))
      (is (= 0 (held)))
      (is (= 0 (held (step :heal nil))) "its end was cut off")
      (is (= 0 (held (step stop nil [:no-effect ""]))))
      (is (= 0 (held (step stop nil [:failed "ssh"]) (step :heal nil))))
      (is (= 0 (held (step stop nil [:no-effect ""]) (step stop nil))) "it was over")
      (is (= 1 (held (step stop nil [:failed "ssh"]) (step stop nil))) "counted at last")))
  (is (= {:kill 1} (coverage/took-hold (run (step :kill ["n1"]) (step :heal nil))))))

(deftest a-worker-that-stalls-is-no-node-that-stands-still
  (let [ops (run (step :pause {:workers [1 2]}))]
    (is (= {:stall 1} (coverage/took-hold ops)))
    (is (= :unknown (:valid? (coverage/check ops {:nemesis "pause-random-node"}))))
    (is (true? (:valid? (coverage/check ops {:nemesis "combined"})))))
  (is (= {:pause 1} (coverage/took-hold (run (step :pause ["n1"]) (step :pause {:workers [1]} [:failed ""]))))))

(deftest what-a-workload-is-about-must-have-happened
  (let [gaps    (fn [wanted & calls] (coverage/operation-gaps (apply b/history (b/register ["s" nil nil]) calls) wanted))
        refused [:refused :checkpoint #{:fence-mismatch :lease-expired}]
        stale   (b/failed (b/write :checkpoint "a" 1 :cursor "01") :fence-mismatch)]
    (is (empty? (gaps {:needs [:acquire]} (b/acquire "a" 1))))
    (is (= ["no acquire succeeded"] (gaps {:needs [:acquire]})) "not even tried")
    (is (= ["no acquire succeeded"] (gaps {} (b/failed (b/acquire "a" 1) :lease-held))) "tried in vain")
    (is (empty? (gaps {:rare [:acquire]} (b/failed (b/acquire "a" 1) :lease-held))))
    (is (= ["no acquire succeeded"] (gaps {:needs [:acquire], :rare [:acquire]} (b/failed (b/acquire "a" 1) :lease-held)))
        "what a workload is about is never rare")
    (is (= ["no checkpoint was refused as fence-mismatch or lease-expired"]
           (gaps {:needs [refused], :rare [:checkpoint]} (b/failed (b/write :checkpoint "a" 1 :cursor "01") :overloaded))))
    (is (empty? (gaps {:needs [refused], :rare [:checkpoint]} stale)))
    (testing "and makes the run unknown"
      (is (= :unknown (:valid? (coverage/check (run) {:nemesis "none", :needs [:acquire]})))))))

(deftest a-run-without-its-fault-is-unknown
  (is (true? (:valid? (coverage/check (run) {:nemesis "none"}))))
  (is (= :unknown (:valid? (coverage/check (run) {:nemesis "no such nemesis", :needs [:acquire]}))))
  (is (= :unknown (:valid? (coverage/check (run) {:nemesis "kill-random-node"}))))
  (is (= :unknown (:valid? (coverage/check (run) {:nemesis "combined"}))))
  (is (true? (:valid? (coverage/check (run (step :skew {})) {:nemesis "combined"})))))

(deftest takeovers-are-grants-without-a-release-before
  (let [taken    (b/history (b/register ["s" nil nil]) (b/acquire "v" 1) (b/acquire "w" 2))
        released (b/history (b/register ["s" nil nil]) (b/acquire "v" 1) (b/write :release "v" 1) (b/acquire "w" 2))]
    (is (= 1 (coverage/takeovers taken)))
    (is (= 0 (coverage/takeovers released)))
    (is (true? (:valid? (coverage/check taken {:nemesis "none", :needs-takeover? true}))))
    (is (= ["no lease ran out under its holder"]
           (:missing (coverage/check released {:nemesis "none", :needs-takeover? true}))))))
