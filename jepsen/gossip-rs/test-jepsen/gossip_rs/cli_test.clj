(ns gossip-rs.cli-test
  (:require [clojure.test :refer [deftest is testing]]
            [gossip-rs.cli :as cli]
            [gossip-rs.phases :as phases]
            [gossip-rs.schedule :as schedule]
            [gossip-rs.workload :as workload]
            [jepsen.generator :as gen]
            [jepsen.generator.context :as context]
            [jepsen.generator.test :as gen-test]))

(defn- options
  [workload nemesis seed]
  (let [options {:workload workload, :nemesis-name nemesis, :nodes ["n1" "n2" "n3"], :concurrency 4, :time-limit 20
                 :rate 20.0, :test-seed seed}]
    (merge options (cli/plan-of options))))

(deftest the-seed-decides-schedule-and-intents
  (doseq [nemesis (keys schedule/nemeses)]
    (let [digest #(:digest (options "full-lifecycle" nemesis %))]
      (is (= (digest 7) (digest 7)) nemesis)
      (is (not= (digest 7) (digest 8)) nemesis))))

(deftest each-run-has-its-own-seed-and-the-first-is-the-one-given
  (is (= 7 (cli/sub-seed 7 0)))
  (is (= 10 (count (distinct (map #(cli/sub-seed 7 %) (range 10)))))))

(defn- refused
  "Simulates a run in which the service refuses all that workers try."
  [options n]
  (gen-test/simulate (context/context {:concurrency 4})
                     (gen/limit n (phases/generator options))
                     (fn [_ {:keys [f process] :as op}]
                       (-> (assoc op :type (cond (= :nemesis process) :info, (= :register f) :ok, :else :fail)
                                  :error [:lease-held "held"])
                           (update :time + 1000000)))))

(deftest every-workload-registers-and-then-works
  (doseq [{:keys [name cancels?]} workload/catalogue]
    (testing name
      (let [ops (filter #(= :invoke (:type %)) (refused (options name "pause-random-node" 7) 120))]
        (is (= (if cancels? [:register :register] [:register]) (map :f (take-while #(= :register (:f %)) ops))))
        (is (some #{:acquire :claim} (map :f ops)))))))

(deftest faults-come-at-their-offsets
  (let [options (options "lease-exclusivity" "pause-random-node" 7)
        ops     (refused options 400)
        begun   (:time (first (remove #(= :register (:f %)) ops)))
        steps   (take-nth 2 (filter #(and (= :nemesis (:process %)) (not= :heal (:f %))) ops))]
    (is (< 1 (count steps)))
    (doseq [[{:keys [at f]} op] (map vector (:schedule options) steps)]
      (is (= f (:f op)))
      (is (<= 0 (- (quot (- (:time op) begun) 1000000) at) 100)))))
