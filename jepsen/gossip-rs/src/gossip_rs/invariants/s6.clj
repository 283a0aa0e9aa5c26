(ns gossip-rs.invariants.s6
  "S6, progress: after the faults heal, every node serves and every shard can be driven to a terminal state within a bound.

  The liveness phase stops in time, so the bound is in the run and not here. Judged from the final reads: each node that was
  asked must have answered at least one of them, and every shard of a final read must be terminal."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]))

(defn- nodes
  [{:keys [calls]}]
  (for [[node calls] (group-by (comp :node :in) (filter #(and (:final? (:in %)) (:node (:in %))) calls))]
    (when (not-any? h/ok? calls)
      (apply violation (str "node " node " answered no final read") (map :completion calls)))))

(defn- shards
  [facts]
  (for [{:keys [record call]} (facts/records facts)
        :when (and (:final? (:in call)) (:status record))]
    (when-not (facts/terminal? (facts/status (:status record)))
      (violation (str "shard " (:shard record) " is left " (name (:status record))) (:end call)))))

(defn check
  [facts]
  (facts/tally (concat (nodes facts) (shards facts))))
