(ns gossip-rs.report-test
  (:require [clojure.string :as str]
            [clojure.test :refer [deftest is]]
            [gossip-rs.build :refer [acquire history register write]]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.report :as report]))

(def run
  {:workload "lease-exclusivity", :nemesis "pause-random-node", :nodes ["n1" "n2" "n3"], :duration-s 60
   :concurrency 10, :rate 50, :seed 1774, :digest "9f3c000000000000", :valid? false, :time-limit 60})

(def bad
  (history (register ["s" nil nil] ["t" nil nil])
           (update (acquire "x" 1) :in assoc :shard "t" :op-id "other")
           (acquire "a" 1)
           {:process :nemesis, :type :info, :f :pause, :value ["n1"]}
           (acquire "b" 2)
           (write :checkpoint "a" 1 :cursor "05")))

(defn- lines
  [ops]
  (str/split-lines (report/text {:run run, :ops ops, :judgement (invariants/judge ops)
                                 :linearizability {:valid? false, :checker "knossos", :anomalies 1}})))

(deftest the-head-is-that-of-the-local-tier
  (is (= ["JEPSEN REPORT — lease-exclusivity"
          "═════════════════════════════════"
          "Nodes: 3            Duration: 60.0s        Concurrency: 10"
          "Operations: 5 (5/0/0)                      Nemesis: pause-random-node"
          "Result: FAIL        Seed: 1774             Schedule: 9f3c000000000000"
          ""
          "Linearizability:"
          "  Valid history: no     Checker: knossos     Anomalies: 1"
          "Invariant checks:"
          "┌──────────────────────────────┬────────┬────────┐"
          "│ Invariant                    │ Status │ Checks │"
          "├──────────────────────────────┼────────┼────────┤"
          "│ Lease exclusivity (S1)       │ PASS   │      1 │"
          "│ Fence monotonicity (S2)      │ FAIL   │      4 │"]
         (take 14 (lines bad)))))

(deftest what-had-nothing-to-check-is-no-pass
  (is (some #{"│ Gossip convergence (G1)      │ -      │      0 │"} (lines bad))))

(deftest the-trace-is-small-and-marks-the-culprit
  (let [trace (->> (lines bad) (drop-while #(not= "Failing operations:" %)) rest (take-while #(str/starts-with? % "  ")))]
    (is (= 5 (count trace)) "two calls and the fault")
    (is (not-any? #(str/includes? % " t ") trace) "no other shard")
    (is (some #(str/includes? % "NEMESIS pause [\"n1\"]") trace))
    (is (str/includes? (last trace) "← VIOLATION S2: shard s: checkpoint of a under fence 1"))))

(deftest a-trace-that-needs-more-than-the-named-calls-gets-it
  ; The range stands in the registration, which the violation does not name.
  (let [ops   (history (register ["s" "10" "20"])
                       (acquire "a" 1)
                       (write :checkpoint "a" 1 :cursor "15")
                       (write :checkpoint "a" 1 :cursor "30"))
        trace (report/failing-trace ops :S7 (first (get-in (invariants/judge ops) [:S7 :violations])))]
    (is (= #{:register :checkpoint} (set (map :f trace))))
    (is (= 4 (count trace)))))

(deftest the-last-line-repeats-the-run
  (is (= (str "  lein run test --nodes n1,n2,n3 --workload lease-exclusivity --nemesis pause-random-node"
              " --time-limit 60 --concurrency 10 --rate 50 --test-seed 1774")
         (last (lines bad)))))
