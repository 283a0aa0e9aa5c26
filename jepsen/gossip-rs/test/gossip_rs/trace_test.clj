(ns gossip-rs.trace-test
  (:require [clojure.string :as str]
            [clojure.test :refer [deftest is]]
            [gossip-rs.build :refer [acquire history register step write]]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.trace :as trace]))

(deftest a-trace-that-needs-more-than-the-named-calls-gets-it
  ; The range stands in the registration, which the violation does not name.
  (let [ops   (history (register ["s" "10" "20"])
                       (acquire "a" 1)
                       (write :checkpoint "a" 1 :cursor "15")
                       (write :checkpoint "a" 1 :cursor "30"))
        trace (trace/failing-trace ops :S7 (first (get-in (invariants/judge ops) [:S7 :violations])))]
    (is (= #{:register :checkpoint} (set (map :f trace))))
    (is (= 4 (count trace)))))

(deftest a-trace-shows-every-fault-that-was-under-way
  (let [shown (fn [& steps]
                (let [ops (apply history (concat steps [(acquire "a" 1)]))]
                  (map :f (filter #(= :nemesis (:process %)) (trace/leading-up ops {:at [(* 2 (count steps))]})))))]
    (is (= [:start-partition :pause] (shown (step :start-partition {:cut [["n1" "n2"]]}) (step :pause ["n1"]))))
    (is (= [:pause] (shown (step :start-partition {}) (step :pause ["n1"]) (step :stop-partition nil))))
    (is (= [:kill] (shown (step :kill ["n1"]) (step :kill ["n2"]) (step :start ["n1"]))) "n2 is still down")
    (is (= [:skew] (shown (step :pause {:workers [1]}) (step :skew {}) (step :resume {:workers :all}))))
    (is (= [:heal] (shown (step :kill ["n1"]) (step :skew nil) (step :heal nil))) "all has ended")))

(deftest a-step-of-the-nemesis-is-one-line-that-says-what-it-hit
  (let [[plan done] (step :kill [[:leader "n1"]])
        ops         (history plan (assoc done :value ["n2"])
                             (step :pause ["n3"] [:no-effect "n3 was never seen stopped"])
                             (acquire "a" 1))
        lines       (fn [finding] (filter #(str/includes? % "NEMESIS") (map trace/line (trace/leading-up ops finding))))]
    (is (= ["t=0.0s NEMESIS kill [\"n2\"]"] (lines {:at [4]})))
    (is (= ["t=0.0s NEMESIS kill [\"n2\"]"
            "t=0.0s NEMESIS pause [\"n3\"] [:no-effect \"n3 was never seen stopped\"]"]
           (lines {:time 1000000000})))))

(deftest what-a-shard-is-stuck-at-is-shown-though-it-is-about-the-whole-run
  (let [ops (history (acquire "a" 1) {:f :complete-run, :in {:run "r", :op-id "x"}, :out {}})]
    (is (= [:acquire :acquire :complete-run :complete-run] (map :f (trace/leading-up ops {:shard "s", :at [3]}))))))
