(ns gossip-rs.coverage-test
  (:require [clojure.test :refer [deftest is testing]]
            [gossip-rs.build :as b]
            [gossip-rs.coverage :as coverage]))

(defn- step
  "A nemesis step: its plan and its completion."
  [f value & [error]]
  [{:process :nemesis, :type :info, :f f, :value value}
   (cond-> {:process :nemesis, :type :info, :f f, :value value} error (assoc :error error))])

(defn- run
  [& steps]
  (apply b/history (concat [(b/register ["s" nil nil])] (apply concat steps))))

(deftest faults-count-when-they-took-hold
  (is (= {:kill 1} (coverage/took-hold (run (step :kill ["n1"]) (step :start ["n1"])))))
  (is (= {} (coverage/took-hold (run (step :pause ["n1"] [:no-effect "never stopped"])))))
  (testing "a partition that no packet met was none"
    (is (= {} (coverage/took-hold (run (step :start-partition {}) (step :stop-partition nil [:no-effect "no packet"])))))
    (is (= {:start-partition 1} (coverage/took-hold (run (step :start-partition {}) (step :stop-partition nil)))))))

(deftest a-run-without-its-fault-is-unknown
  (is (true? (:valid? (coverage/check (run) {:nemesis "none"}))))
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
