(ns gossip-rs.checker.knossos
  "Each shard's history against the model, with Knossos, within a time limit for each shard and one for all of them."
  (:require [clojure.tools.logging :refer [info]]
            [gossip-rs.claims :as claims]
            [gossip-rs.history :as h]
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

(defn- place
  "Where in the whole history the call stands that Knossos could not place; `op` is numbered by its place among `calls`."
  [calls {:keys [process]}]
  (let [{:keys [index completion]} (get calls process)]
    (or completion index)))

(defn- check-shard
  [{:keys [model calls]} time-limit-ms]
  (let [{:keys [valid? op cause]} (wgl/analysis (->Shard model)
                                                (history/ensure-pair-index
                                                  (history/history (linear/history calls) {:dense-indices? true}))
                                                {:time-limit time-limit-ms})]
    (cond-> {:valid? valid?, :operations (count calls)}
      (false? valid?)     (assoc :op (into {} op), :at (place calls op))
      (= :unknown valid?) (assoc :cause (or cause :time-limit)))))

(defn- needed-twice
  "The anomaly of a lost claim that two shards need, {shard result}: on the one that is stuck later without it. Or the shards of
  which it is not known whether they need it."
  [{:keys [claim needing unknown]}]
  (if unknown
    (into {} unknown)
    (let [[[other _] [shard result]] (sort-by (comp :at second) needing)]
      {shard (assoc result :claim (:op-id (:in claim) (:index claim)), :beside other)})))

(defn- limit-for-all
  "Milliseconds for so many shards: six may take their whole time, and each a twentieth of it. Where more is needed the history is
  broken all over, or too large for this checker."
  [shards time-limit-ms]
  (+ (* 6 time-limit-ms) (quot (* shards time-limit-ms) 20)))

(defn- within
  "A check of one of so many shards that takes `time-limit-ms` at most, and all calls of it together `limit-for-all`."
  [shards time-limit-ms]
  (let [end (+ (System/nanoTime) (* 1000000 (limit-for-all shards time-limit-ms)))]
    (fn [part]
      (let [left (min time-limit-ms (quot (- end (System/nanoTime)) 1000000))]
        (if (pos? left)
          (check-shard part left)
          {:valid? :unknown, :operations (count (:calls part)), :cause :time-limit-for-all})))))

(defn check-ops
  "All shards, and the lost claims that two of them need: {:valid? :shards :checked :skipped :operations :longest :anomalies :unknown}. Skipped is a shard of which no
  answer tells anything beyond its making."
  [ops time-limit-ms]
  (let [shards  (linear/shards ops)
        telling (filter (fn [[_ {:keys [calls]}]] (some #(and (h/ok? %) (not= :create (:f %))) calls)) shards)
        check   (within (count telling) time-limit-ms)
        alone   (without-memo #(into (sorted-map) (map (fn [[shard part]] [shard (check part)])) telling))
        fine    (filter #(true? (:valid? (alone (key %)))) telling)
        results (into alone (without-memo #(into {} (map needed-twice) (claims/granted-twice fine check))))
        of      (fn [verdict] (into (sorted-map) (filter #(= verdict (:valid? (val %)))) results))]
    {:valid?     (invariants/merge-verdicts (map :valid? (vals results)))
     :shards     (count shards)
     :checked    (count results)
     :skipped    (vec (remove (set (map first telling)) (keys shards)))
     :operations (reduce + (map :operations (vals results)))
     :longest    (reduce max 0 (map :operations (vals results)))
     :anomalies  (of false)
     :unknown    (of :unknown)}))

(defrecord Checker [time-limit-ms]
  checker/Checker
  (check [_ _ history _]
    (info "Knossos on each shard")
    (check-ops (mapv #(into {} %) history) time-limit-ms)))
