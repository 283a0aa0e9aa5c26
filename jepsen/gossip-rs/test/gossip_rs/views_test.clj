(ns gossip-rs.views-test
  (:require [clojure.test :refer [are deftest is]]
            [gossip-rs.build :as b]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.views :as views]))

(def ^:private nodes ["n1" "n2"])

(def ^:private whole
  {"n1" {"health" {:value "alive"}, "leader" {:value "1@3", :version 3}, "role" {:value "leader"}}
   "n2" {"health" {:value "alive"}, "leader" {:value "1@3", :version 3}, "role" {:value "follower"}}})

(defn- ops
  "Both nodes' last views, which are equal: G1 sees nothing."
  [view]
  (apply b/history (for [node nodes] {:f :read-view, :in {:node node, :final? true}, :out {:view view}})))

(deftest a-whole-view-passes
  (is (= {:valid? true, :checked 2, :faults []} (views/check (ops whole) nodes))))

(deftest views-that-are-equally-wrong-are-wrong
  (are [view] (and (true? (:valid? (:G1 (invariants/judge (ops view) [:G1]))))
                   (false? (:valid? (views/check (ops view) nodes))))
    {}
    (dissoc whole "n2")
    (assoc-in whole ["n2" "health" :value] "suspect")
    (assoc-in whole ["n2" "leader" :value] "1@2")
    (assoc-in whole ["n2" "leader" :value] "2@3")
    (update whole "n2" dissoc "leader")
    (assoc-in whole ["n2" "role" :value] "leader")
    (assoc-in whole ["n1" "role" :value] "follower")))

(deftest of-nodes-that-were-not-mended-nothing-is-owed
  (let [three   ["n1" "n2" "n3"]
        view    (-> whole
                    (assoc "n3" {"health" {:value "dead"}})
                    (assoc-in ["n1" "role" :value] "follower"))
        reads   (for [node three] {:f :read-view, :in {:node node, :final? true}, :out {:view view}})
        verdict (fn [heal reads] (:valid? (views/check (apply b/history heal reads) three)))
        heal    (fn [value & error] (apply b/step :heal value error))
        failed  [:heal-failed "ssh"]]
    (is (= :unknown (verdict (heal nil failed) reads)) "nobody knows of whom")
    (is (= :unknown (verdict (heal {:unmended three} failed) reads)))
    (is (true? (verdict (heal {:unmended ["n3"]} failed) reads)) "it may lead, and be held for dead")
    (is (false? (verdict (heal {:unmended []}) reads)))
    (is (false? (verdict (heal nil) reads)))
    (is (false? (verdict (heal {:unmended ["n3"]} failed)
                         (map #(assoc-in % [:out :view "n2" "health" :value] "dead") reads))))))

(deftest only-the-last-final-view-of-a-node-counts
  (let [read (fn [view & more] {:f :read-view, :in (merge {:node "n1"} (apply hash-map more)), :out {:view view}})]
    (is (true? (:valid? (views/check (b/history (read {} :final? true) (read whole :final? true)) nodes))))
    (is (= :unknown (:valid? (views/check (b/history (read whole)) nodes))))))
