(ns gossip-rs.report-test
  (:require [clojure.string :as str]
            [clojure.test :refer [deftest is testing]]
            [gossip-rs.build :refer [acquire history register step write]]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.report :as report]))

(def run
  {:workload "lease-exclusivity", :nemesis "pause-random-node", :nodes ["n1" "n2" "n3"], :duration-s 60
   :concurrency 10, :rate 50, :seed 1774, :digest "9f3c000000000000", :valid? false, :time-limit 60})

(def bad
  (history (register ["s" nil "40"] ["t" "40" nil])
           (update (acquire "x" 1) :in assoc :shard "t" :op-id "other")
           (acquire "a" 1)
           (step :pause ["n1"])
           (acquire "b" 2)
           (write :checkpoint "a" 1 :cursor "05")))

(defn- text
  [run ops]
  (report/text {:run run, :ops ops, :judgement (invariants/judge ops)
                :linearizability {:valid? false, :checker "knossos", :anomalies 1}}))

(defn- lines
  [ops]
  (str/split-lines (text run ops)))

(deftest a-seed-that-is-too-long-for-its-column-stays-apart
  (is (str/includes? (text (assoc run :seed Long/MAX_VALUE) bad) "Seed: 9223372036854775807  Schedule: 9f3c")))

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
          "│ Fence monotonicity (S2)      │ FAIL   │      2 │"]
         (take 14 (lines bad)))))

(deftest what-had-nothing-to-check-is-no-pass
  (is (some #{"│ Gossip convergence (G1)      │ -      │      0 │"} (lines bad)))
  (is (some #{"│ Gossip speed (G2)            │ -      │      0 │"} (lines bad)) "nor is it left out: nobody judged it"))

(deftest the-trace-is-small-and-marks-the-culprit
  (let [trace (->> (lines bad) (drop-while #(not= "Failing operations:" %)) rest (take-while #(str/starts-with? % "  ")))]
    (is (= 5 (count trace)) "two calls, and the fault once")
    (is (not-any? #(str/includes? % " t ") trace) "no other shard")
    (is (some #(str/includes? % "NEMESIS pause [\"n1\"]") trace))
    (is (str/includes? (last trace) "← VIOLATION S2: shard s: checkpoint of a under fence 1"))))

(deftest the-last-lines-repeat-the-run-here-and-below
  (is (= ["Reproduction:"
          (str "  lein run test --nodes n1,n2,n3 --workload lease-exclusivity --nemesis pause-random-node"
               " --time-limit 60 --concurrency 10 --rate 50 --test-seed 1774")
          "Lower tiers:"
          (str "  gossip-verify test --nodes 3 --workload lease-exclusivity --nemesis pause-random-node"
               " --time-limit 60 --concurrency 10 --rate 50 --test-seed 1774")
          "  make sim"]
         (take-last 5 (lines bad))))
  (testing "a run that did not fail needs no other tier"
    (is (not (str/includes? (report/text {:run (assoc run :valid? true), :ops bad, :judgement {}}) "Lower tiers")))))

(deftest what-was-not-the-usual-is-part-of-the-reproduction
  (let [test {:repo "../..", :binary "../../target/release/gossip-worker", :ssh {:username "root"}}]
    (is (= {} (report/particulars test)))
    (is (str/starts-with? (report/reproduction-line (merge run (report/particulars (assoc test :command "bin/run")))) "bin/run test --nodes n1,n2,n3 "))
    (is (= "lein run test --nodes n1,n2,n3 --workload lease-exclusivity --nemesis pause-random-node --time-limit 60 --concurrency 10 --rate 50 --test-seed 1774 --mutant m --bin b --username admin --ssh-private-key k"
           (report/reproduction-line
             (merge run (report/particulars {:repo "../..", :binary "b", :mutant "m", :ssh {:username "admin", :private-key-path "k"}})))))))

(defn- failing
  [finding]
  (->> (str/split-lines (report/text {:run run, :ops bad, :judgement {}, :findings [finding]}))
       (drop-while #(not= "Failing operations:" %)) rest (take-while #(not= "Reproduction:" %))))

(deftest what-no-invariant-shows-has-a-trace-as-well
  (testing "a shard without a linearization: what led up to the call"
    (let [part (failing {:id "L", :shard "s", :at [9], :message "no order"})]
      (is (= [":ok" "acquire"] (take 2 (remove str/blank? (rest (str/split (str/trim (last part)) #"\s+"))))))
      (is (str/ends-with? (last part) "← VIOLATION L: no order"))
      (is (some #(str/includes? % "NEMESIS pause") part))
      (is (not-any? #(str/includes? % " t ") part) "no other shard")))
  (testing "an anomaly of Elle: the calls it names, and the fault before"
    (is (= 3 (count (failing {:id "Elle", :at [11], :message "G1a"})))))
  (testing "a node that ended: the faults before"
    (let [part (failing {:id "node", :time 1000000000, :message "n1 ended by itself"})]
      (is (str/includes? (first part) "NEMESIS pause"))
      (is (= "  VIOLATION node: n1 ended by itself" (last part)))))
  (testing "one that names no place"
    (is (= ["  VIOLATION G1: n1 sees n2 as nobody"] (failing {:id "G1", :message "n1 sees n2 as nobody"})))))

(deftest of-each-kind-of-finding-one-is-shown
  (let [of   (fn [id n] (for [i (range n)] {:id id, :message (str id i)}))
        text (report/text {:run run, :ops bad, :judgement {}, :findings (concat (of "L" 50) (of "Elle" 1) (of "node" 2) (of "G1" 1))})]
    (is (= [true true true true] (map #(str/includes? text %) ["L0" "Elle0" "node0" "G10"])))
    (is (str/includes? text "(50 more in results.edn)"))))

(deftest only-the-first-findings-are-shown-and-the-rest-counted
  (let [text (report/text {:run run, :ops bad, :judgement {}, :findings (for [i (range 7)] {:id "L", :message (str "m" i)})})]
    (is (str/includes? text "m2"))
    (is (not (str/includes? text "m3")))
    (is (str/includes? text "(4 more in results.edn)"))))
