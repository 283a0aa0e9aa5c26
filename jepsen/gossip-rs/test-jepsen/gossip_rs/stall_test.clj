(ns gossip-rs.stall-test
  "Our client, nemesis and timed steps in Jepsen's own interpreter: a stalled worker must not outlive the load, whatever
  becomes of its resume."
  (:require [clojure.test :refer [deftest is]]
            [gossip-rs.client :as client]
            [gossip-rs.nemesis :as gnemesis]
            [gossip-rs.schedule :as schedule]
            [gossip-rs.timed :as timed]
            [jepsen.control :as c]
            [jepsen.generator :as gen]
            [jepsen.generator.interpreter :as interpreter]
            [jepsen.store.format :as format]
            [jepsen.util :as util]))

(def ^:private lease-ms 200)

(def ^:private steps
  "The nodes' resume takes longer than what is left of the load, so that the workers' one never comes."
  [{:at 100, :f :pause, :value {:workers [0]}}
   {:at 350, :f :resume, :value nil}
   {:at 350, :f :resume, :value {:workers :all}}])

(defn- run-test
  []
  {:nodes ["n1"], :concurrency 2, :run "main", :lease-ms lease-ms, :store {:history-writer :memory}
   :paused-workers (atom {}), :client-faults (atom {}), :fault-effects (atom 0), :sent (atom {})
   :client    (client/client)
   :nemesis   (gnemesis/nemesis)
   :generator (util/forgettable
                (gen/phases
                  (gen/time-limit 0.5 (gen/nemesis (timed/timed (map #(assoc % :type :info) steps))
                                                   (gen/delay 0.02 (repeat {:f :read-shard, :value {:shard "s"}}))))
                  (gen/nemesis {:type :info, :f :heal})))})

(defn- history-of
  "What a run wrote, or nil when it did not end within that time."
  [test within-ms]
  (let [history (atom [])]
    (with-redefs [format/append-to-big-vector-block! (fn [_ op] (swap! history conj op))
                  client/open-nodes                  (constantly {})
                  client/perform                     (fn [& _] {})
                  gnemesis/heal!                     client/resume-workers!
                  c/on-nodes                         (fn [& _] (Thread/sleep 400))]
      (let [run    (future (util/with-relative-time (interpreter/run! test)))
            ended? (not= ::hangs (deref run within-ms ::hangs))]
        (future-cancel run)
        (when ended? @history)))))

(deftest a-worker-whose-resume-was-cut-off-goes-on-by-itself
  (let [history (history-of (run-test) 10000)
        ms      #(quot (:time %) 1000000)
        pause   (first (filter #(= :pause (:f %)) history))
        stalled (last (filter #(= :ok (:type %)) history))]
    (is history "the run ends")
    (is (every? nil? (map :value (filter #(= :resume (:f %)) history))) "the workers' resume was cut off")
    (is (= :heal (:f (last history))))
    (is (<= (schedule/longest-fault-ms lease-ms) (- (ms stalled) (ms pause))) "it stalled for as long as a fault may take")))
