(ns gossip-rs.checker.knossos
  "Each shard's history against the model, with Knossos, within a time limit for each shard."
  (:require [clojure.tools.logging :refer [info]]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.linear :as linear]
            [gossip-rs.model :as model]
            [jepsen.checker :as checker]
            [jepsen.history :as history]
            [knossos.model :as knossos]
            [knossos.model.memo :as memo]
            [knossos.wgl :as wgl])
  (:import (knossos.model Model)))

(defrecord Shard [state]
  Model
  (step [_ op]
    ; Knossos has ops of its own kind, which are no maps.
    (let [next (model/step state {:f (:f op), :value (:value op)})]
      (if (model/inconsistent? next)
        (knossos/inconsistent (:inconsistent next))
        (->Shard next)))))

(defn- without-memo
  "Knossos first looks whether a model has few states, by making over a thousand. Fences only rise: ours never has."
  [f]
  (with-redefs [memo/memo (fn [model history] {:model model, :history history})]
    (f)))

(defn- check-shard
  [{:keys [model calls]} time-limit-ms]
  (let [{:keys [valid? op cause]} (wgl/analysis (->Shard model)
                                                (history/ensure-pair-index
                                                  (history/history (linear/history calls) {:dense-indices? true}))
                                                {:time-limit time-limit-ms})]
    (cond-> {:valid? valid?, :operations (count calls)}
      (false? valid?)     (assoc :op (into {} op))
      (= :unknown valid?) (assoc :cause (or cause :time-limit)))))

(defn check-ops
  "All shards: {:valid? :checked :anomalies :unknown :shards {shard result}}."
  [ops time-limit-ms]
  (let [results (without-memo
                  #(into (sorted-map)
                         (for [[shard part] (linear/shards ops)
                               :when (seq (:calls part))]
                           [shard (check-shard part time-limit-ms)])))
        of      (fn [verdict] (into (sorted-map) (filter #(= verdict (:valid? (val %)))) results))]
    {:valid?    (invariants/merge-verdicts (map :valid? (vals results)))
     :checked   (count results)
     :longest   (reduce max 0 (map :operations (vals results)))
     :anomalies (of false)
     :unknown   (of :unknown)}))

(defrecord Checker [time-limit-ms]
  checker/Checker
  (check [_ _ history _]
    (info "Knossos on each shard")
    (check-ops (mapv #(into {} %) history) time-limit-ms)))
