(ns gossip-rs.invariants.existence
  "What is there and what is not, a part of S8: what was acknowledged does not vanish, and what was deleted does not come back.

  Every refusal by the state machine is an answer of now, as a fresh read is: the gate looks for the run's record first and for the
  shard's next (`docs/protocol.md`, *The order of checks*). A run or shard is there from the first answer that made it or was
  about it; nothing but a deletion takes it away. So whoever asks after that answer and is told that it is not found has met a
  service that lost it, or one that answers with the past, unless a deletion of its run may have begun before the refusal came.
  The name of a shard counts within its run: a request that names a run is about a shard that is known to be in that run.

  After a deletion was answered, a refusal that tells of the run's state (its status, a shard's, a fence, an op id that was used in
  it) shows that the run is still there. One for the shape of a request or for a limit says nothing of it, nor does an op id's
  conflict of a deletion, whose ids count in the tenant. A run that may have been made once more is not judged, nor one that
  nothing showed before its deletion. (What *succeeds* after a deletion is S3's.)"
  (:require [clojure.set :as set]
            [gossip-rs.errors :as errors]
            [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]))

(defn- known-runs
  "{run place}: runs that are surely there at some time, with the first answer that shows it."
  [{:keys [calls runs] :as facts} known-shards]
  (apply merge-with min {}
         (concat (for [[shard exists] known-shards, :let [run (runs shard)], :when run] {run exists})
                 (for [call  calls
                       :when (and (h/ok? call) (not= :delete-run (:f call)))
                       :let  [run (facts/run-of facts call)]
                       :when run]
                   {run (:end call)}))))

(defn- meant
  "The shard that a call names, if it is about the one that is known by the name, and not about one of another run."
  [facts call]
  (let [shard (h/shard-of call)]
    (when (facts/meant? facts call shard)
      shard)))

(defn- vanished
  [{:keys [calls] :as facts} known-shards known-runs]
  (for [{:keys [index end] :as call} calls
        :when (and (facts/fresh? call) (facts/finds-nothing? call))
        :let  [shard  (meant facts call)
               run    (when (= :run-not-found (errors/reason-of call)) (facts/run-of facts call))
               [what subject exists gone?]
               (cond (known-shards shard) ["shard" shard (known-shards shard) (facts/may-be-gone? facts shard end)]
                     (known-runs run)     ["run" run (known-runs run) (facts/may-be-deleted? facts run end)])]
        :when (and exists (not gone?) (< exists index))]
    (violation (str what " " subject " is gone") exists end)))

(def ^:private of-the-run
  "Reasons that only one gives who has found the run."
  (set/difference errors/refusals #{:invalid-argument :limit-exceeded :run-not-found :shard-not-found}))

(defn- shows-run?
  "Whether a call was refused for something that the run's record holds."
  [{:keys [f] :as call}]
  (let [reason (errors/reason-of call)]
    (and (h/failed? call)
         (facts/of-now? call)
         (contains? of-the-run reason)
         (not (and (= :delete-run f) (= :op-id-conflict reason))))))

(defn- come-back
  [{:keys [calls] :as facts} known-runs]
  (let [deletions  (filter #(and (= :delete-run (:f %)) (h/ok? %)) calls)
        of-run     #(facts/run-of facts %)
        shown      (when (seq deletions) (into {} (map (juxt of-run identity)) (filter shows-run? calls)))
        made-until (when (seq deletions)
                     (apply merge-with max {}
                            (for [call calls :when (and (facts/run-makers (:f call)) (not (h/failed? call)))]
                              {(of-run call) (:end call)})))]
    (for [{:keys [end] :as deletion} deletions
          :let  [run   (of-run deletion)
                 from  (facts/effect-from facts deletion)
                 shown (get shown run)]
          :when (and run shown
                     (< (get known-runs run h/open-end) from)
                     (<= (get made-until run -1) from)
                     (< end (:index shown)))]
      (violation (str "run " run " was deleted, and " (name (:f shown)) " finds it: " (name (errors/reason-of shown)))
                 end (:end shown)))))

(defn check
  "Violations. `known` is as `facts/known-shards` gives it."
  [facts known]
  (let [known-runs (known-runs facts known)]
    (concat (vanished facts known known-runs)
            (come-back facts known-runs))))
