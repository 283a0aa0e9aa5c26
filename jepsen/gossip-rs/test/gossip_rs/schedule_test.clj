(ns gossip-rs.schedule-test
  (:require [clojure.edn :as edn]
            [clojure.string :as str]
            [clojure.test :refer [deftest is testing]]
            [gossip-rs.schedule :as schedule]))

(def shape
  {:nodes ["n1" "n2" "n3"], :workers 10, :time-limit-ms 60000, :lease-ms 2000})

(def names (keys schedule/nemeses))

(def ends
  {:start-partition :stop-partition, :kill :start, :pause :resume, :skew :reset-clock, :shrink :grow
   :start-client-fault :stop-client-fault})

(deftest the-same-seed-gives-the-same-schedule-and-another-seed-another
  (doseq [nemesis names]
    (let [digest #(schedule/digest (schedule/build nemesis % shape) "")]
      (is (= (digest 7) (digest 7)) nemesis)
      (is (= (= "none" nemesis) (= (digest 7) (digest 8))) nemesis))))

(deftest the-digest-covers-the-intents
  (let [plan (schedule/build "kill-random-node" 7 shape)]
    (is (not= (schedule/digest plan "a") (schedule/digest plan "b")))
    (is (re-matches #"[0-9a-f]{16}" (schedule/digest plan "a")))))

(deftest every-fault-ends-within-the-load
  (doseq [nemesis (remove #{"none"} names)
          seed    (range 30)
          limit   [(schedule/cycle-ms nemesis 2000) 60000]]
    (let [plan (schedule/build nemesis seed (assoc shape :time-limit-ms limit))]
      (is (seq plan) (str nemesis " has no fault in " limit " ms"))
      (is (apply <= (map :at plan)))
      (is (every? #(<= (:at %) limit) plan) (str nemesis " " seed))
      (doseq [[start stop] ends]
        (is (= (count (filter #(= start (:f %)) plan))
               (count (filter #(= stop (:f %)) plan)))
            (str nemesis " " seed " " start))))))

(deftest the-control-run-does-nothing
  (is (= [] (schedule/build "none" 1 shape))))

(deftest pauses-outlast-a-lease-and-aim-at-nodes-leader-and-workers
  (let [pauses (for [seed (range 20)
                     :let [plan (schedule/build "pause-random-node" seed shape)]
                     step plan
                     :when (= :pause (:f step))]
                 [step (first (filter #(and (= :resume (:f %))
                                            (= (map? (:value step)) (map? (:value %)))
                                            (< (:at step) (:at %)))
                                      plan))])
        values (map (comp :value first) pauses)]
    (doseq [[from to] pauses]
      (is (< 2000 (- (:at to) (:at from)))))
    (is (< 40 (count (filter vector? values))))
    (is (< 40 (count (filter map? values))))
    (is (< 10 (count (filter #(and (vector? %) (vector? (first %)) (= :leader (ffirst %))) values))))))

(deftest rates-stay-within-the-margin-unless-asked-otherwise
  (let [rates (fn [nemesis]
                (for [seed (range 20)
                      step (schedule/build nemesis seed shape)
                      :when (= :skew (:f step))
                      skew (vals (:value step))]
                  (:rate-ppm skew)))]
    (is (every? #(and (<= 950000 % 1050000) (not= 1000000 %)) (rates "clock-skew")))
    (is (every? #(not (<= 900000 % 1100000)) (rates "clock-skew-strong")))))

(deftest halves-leave-a-majority-and-name-no-node-twice
  (doseq [n [3 4 5], seed (range 20)
          :let [nodes (mapv #(str "n" (inc %)) (range n))]
          step (schedule/build "partition-random-halves" seed (assoc shape :nodes nodes))
          :when (= :start-partition (:f step))]
    (let [[kind minority] (:cut (:value step))]
      (is (= :halves kind))
      (is (apply distinct? minority))
      (is (= (quot (dec n) 2) (count minority))))))

(deftest asymmetric-has-every-shape
  (is (= #{:deaf :mute :bridge}
         (set (for [step (schedule/build "partition-asymmetric" 1 (assoc shape :time-limit-ms 120000))
                    :when (= :start-partition (:f step))]
                (first (:cut (:value step))))))))

(deftest kills-include-all-nodes-at-once
  (let [victims (for [seed (range 10)
                      step (schedule/build "kill-random-node" seed shape)
                      :when (= :kill (:f step))]
                  (:value step))]
    (is (some #(= ["n1" "n2" "n3"] %) victims))
    (is (some #(= 1 (count %)) victims))))

(deftest the-text-is-one-step-a-line-and-reads-back
  (let [plan (schedule/build "combined" 1774 shape)
        text (schedule/edn-text plan)]
    (is (= (count plan) (count (str/split-lines text))))
    (is (str/starts-with? text "[{:at 1500 :f :"))
    (is (not (str/includes? text ",")))
    (is (= plan (edn/read-string text)))))
