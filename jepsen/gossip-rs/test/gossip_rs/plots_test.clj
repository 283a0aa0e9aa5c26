(ns gossip-rs.plots-test
  (:require [clojure.test :refer [deftest is testing]]
            [gossip-rs.build :as b]
            [gossip-rs.faults :as faults]
            [gossip-rs.invariants.facts :as facts]
            [gossip-rs.plots :as plots]))

(defn- steps
  "The :f of what is drawn of the nemesis, from steps [f value error]."
  [& steps]
  (map :f (plots/drawn (apply b/history (map #(apply b/step %) steps)))))

(deftest a-heal-ends-each-open-fault-by-its-own-end
  (is (= [:skew :skew :heal :heal :reset-clock :reset-clock] (steps [:skew {"n1" {}}] [:heal nil])))
  (is (= [:kill :kill :start-partition :start-partition :heal :heal :start :start :stop-partition :stop-partition]
         (steps [:kill ["n1"]] [:start-partition {}] [:heal nil]))
      "each as plan and completion, since Jepsen takes them by two")
  (is (= [:heal :heal] (take-last 2 (steps [:kill ["n1"]] [:start ["n1"]] [:heal nil]))) "what had ended stays so")
  (is (= 2 (count (filter #{:start} (steps [:kill ["n1"]] [:heal nil] [:heal nil])))) "once"))

(deftest a-heal-without-faults-is-none
  (is (= [:heal :heal] (steps [:heal nil]))))

(deftest what-was-not-healed-stays-shaded
  (is (= [:kill :kill :heal :heal] (steps [:kill ["n1"]] [:heal nil [:heal-failed "ssh"]])))
  (is (some #{:start} (steps [:kill ["n1"]] [:heal nil [:not-serving "n2 does not serve"]])) "the fault ended all the same")
  (is (some #{:start} (drop 4 (steps [:kill ["n1"]] [:start nil [:failed "ssh"]] [:heal nil]))) "only the heal ended it"))

(deftest workers-that-stall-are-no-node-that-pauses
  (is (= [:stall :stall :pause :pause :go-on :go-on :heal :heal :resume :resume]
         (steps [:pause {:workers [1]}] [:pause ["n1"]] [:resume {:workers [1]}] [:heal nil]))))

(deftest the-end-of-a-heal-is-when-the-heal-was
  (let [ops   (plots/drawn (b/history (b/step :kill ["n1"]) (b/acquire "v" 1) (b/step :heal nil)))
        times (fn [f] (map :time (filter #(= f (:f %)) ops)))]
    (is (= 2 (count (times :heal))))
    (is (= (times :heal) (times :start)))
    (is (not-any? :index ops) "or Jepsen would take two ops for one")))

(deftest each-step-of-the-nemesis-is-drawn-under-one-name
  (let [fs (mapcat (juxt :start :stop :fs) plots/nemeses)]
    (is (apply distinct? (mapcat seq fs)))
    (is (= (into #{:heal} cat faults/ends) (set (mapcat seq fs))) "and none is forgotten")
    (is (apply distinct? (map :color plots/nemeses)))))

(deftest the-legend-is-short
  (let [fs (into facts/of-service [:publish :read-view])]
    (is (= fs (into #{} cat (vals plots/kinds))))
    (is (= (count fs) (reduce + (map count (vals plots/kinds)))) "none twice")
    (is (<= (count plots/kinds) 4)))
  (testing "calls keep all but their names, and a section is none"
    (is (= [[:invoke :leases 0] [:ok :leases 0] [:invoke :writes 0] [:ok :writes 0]]
           (map (juxt :type :f :process)
                (plots/drawn (b/history (b/acquire "v" 1) {:f :section, :in {:shard "s"}} (b/write :checkpoint "v" 1))))))
    (is (= :moon (:f (first (plots/drawn [{:process 1, :type :invoke, :f :moon}])))) "what is new has a name of its own")))
