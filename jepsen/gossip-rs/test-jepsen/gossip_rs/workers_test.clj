(ns gossip-rs.workers-test
  (:require [clojure.test :refer [deftest is]]
            [gossip-rs.worker :as worker]
            [gossip-rs.workers :as workers]
            [jepsen.generator :as gen]
            [jepsen.generator.test :as simulated]))

(def ^:private plan
  {:run "main", :roots (worker/roots 2000), :threads 10})

(defn- drive
  "What the drivers ask in so many seconds of a service that takes 2 ms and answers by `answer`, as completions."
  [seconds answer]
  (let [ctx (gen/context {:concurrency 10, :nodes ["n1"]})]
    (simulated/simulate ctx (gen/time-limit seconds (gen/clients (workers/drivers plan 1 10)))
                        (fn [_ op] (answer (update op :time + 2000000))))))

(deftest many-shards-are-driven-to-their-end-in-time
  (let [open   (atom (set (map :shard (:roots plan))))
        answer (fn [{:keys [f value] :as op}]
                 (case f
                   :read-run (assoc op :type :ok, :value {:shards (for [shard @open] {:shard shard, :status :active})})
                   :acquire  (assoc op :type :ok, :value (assoc value :fence 1, :cursor nil, :ids []))
                   :complete (do (swap! open disj (:shard value)) (assoc op :type :ok))))]
    (drive 90 answer)
    (is (empty? @open))))

(deftest drivers-that-are-refused-keep-a-pace
  (let [tries (fn [answer] (count (filter #(= :invoke (:type %)) (drive 60 answer))))
        fail  #(assoc % :type :fail, :error [:not-leader ""])]
    (is (< 200 (tries fail) 500) "ten drivers, soon every two seconds")
    (is (< 400 (tries #(if (= :read-run (:f %))
                         (assoc % :type :ok, :value {:shards (for [{:keys [shard]} (:roots plan)] {:shard shard, :status :active})})
                         (fail %)))
           1000)
        "what can be read, and not be driven, is read no more often")))
