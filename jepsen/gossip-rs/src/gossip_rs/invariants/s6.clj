(ns gossip-rs.invariants.s6
  "S6, progress: after the faults heal, every node serves and every shard can be driven to a terminal state within a bound.

  The liveness phase stops in time, so the bound is in the run and not here. Judged from the final reads: each node that was
  asked for shards or runs must have answered at least one of these reads (a view or a stale read needs no group; that there is
  no such run or shard is an answer, and S8's affair), every shard of a final read must be terminal, and every shard that was
  known before the last of them was asked, whatever that one was about, must be in one: of a shard
  that nobody looked at nobody knows that it came to its end. A shard is known by an answer that made it or was about it.
  Shards of a run that may have been deleted are not missed, nor are those of which a final read says that they, or their run,
  are not there.

  Who was not mended at the end owes nothing; where that may be a majority, nothing is owed (`gossip-rs.invariants.healing`)."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]))

(defn- shows-service?
  "A view is answered without the group, and so is a stale read: neither shows that a node serves."
  [{:keys [f in] :as call}]
  (and (:final? in) (#{:read-run :read-shard} f) (facts/fresh? call)))

(defn- nodes
  [{:keys [calls] :as facts}]
  (for [[node calls] (group-by (comp :node :in) (filter #(and (:node (:in %)) (shows-service? %)) calls))
        :when (facts/owes? facts node)]
    (when (not-any? #(or (h/ok? %) (facts/finds-nothing? %)) calls)
      (apply violation (str "node " node " answered no final read") (map :completion calls)))))

(defn- final-records
  [facts]
  (filter (comp :final? :in :call) (facts/records facts)))

(defn- never-read
  "Shards that are known and in no final read. A read that shows no shard bounds what is missed as well, or a service that forgot
  all is in order."
  [{:keys [calls runs] :as facts}]
  (let [asked       (filter shows-service? calls)
        absent      (filter facts/finds-nothing? asked)
        answered    (concat (filter h/ok? asked) absent)
        last        (when (seq answered) (apply max-key :index answered))
        seen        (into (set (map (comp :shard :record) (final-records facts))) (filter some? (for [call absent, :let [shard (h/shard-of call)] :when (facts/meant? facts call shard)] shard)))
        absent-runs (set (map (comp :run :in) (filter #(= :read-run (:f %)) absent)))]
    (when last
      (for [[shard exists] (facts/known-shards facts)
            :when (not (or (< (:index last) exists)
                           (seen shard)
                           (some-> (get runs shard) absent-runs)
                           (facts/may-be-gone? facts shard h/open-end)))]
        (violation (str "shard " shard " is in no final read") exists (:end last))))))

(defn- shards
  [facts]
  (for [{:keys [record call]} (final-records facts)
        :when (:status record)]
    (when-not (facts/terminal? (facts/status (:status record)))
      (violation (str "shard " (:shard record) " is left " (name (:status record))) (:end call)))))

(defn check
  [facts]
  (facts/tally (when (:unmended facts)
                 (concat (nodes facts) (shards facts) (never-read facts)))))
