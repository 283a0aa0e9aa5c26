(ns gossip-rs.invariants.s8
  "S8, durability: what was acknowledged is there at the end, after any crash.

  Each shard that an answered call showed is looked up in the final reads. Its fence must not be below any that was granted,
  its cursor not below any that was accepted, its end (Done, Split) must stand. An ended run must still be ended. What was
  acknowledged after a final read was asked proves nothing against it. Only fresh reads are judged: a stale one promises nothing of
  the end. That what is there is found, and what was deleted is not, holds at every moment (`gossip-rs.invariants.existence`), as does
  that reads do not go back and show nothing that never was (`gossip-rs.invariants.shown`).

  A read of a run that tells its shards, final or not, tells all that were there before it was asked: those that were registered or
  split off, and those that an answer was about. It may be read page by page, at several moments; what is there stays there, so
  that it is on one of the pages, unless the run may have been deleted before the last of them."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.existence :as existence]
            [gossip-rs.invariants.facts :as facts :refer [cursor-key key< violation]]
            [gossip-rs.invariants.floors :as floors]
            [gossip-rs.invariants.shown :as shown]))

(defn- highest
  "Of [value place] pairs; the greater is the better."
  [pairs]
  (floors/floors second (fn [[a] [b]] (pos? (compare a b))) pairs))

(defn- acknowledged
  "What the answers say of a shard, each with the place that proves it: fences and cursors up to each place, and its end."
  [shard-calls]
  (let [oks (filter h/ok? shard-calls)]
    {:fences  (highest (for [c oks
                             :when (and (or (facts/grants (:f c)) (= :unpark (:f c))) (:fence (:out c)))]
                         [(:fence (:out c)) (:end c)]))
     :cursors (highest (for [c oks
                             :when (and (facts/cursor-writes (:f c)) (:cursor (:in c)))]
                         [(cursor-key (:cursor (:in c))) (:end c)]))
     :status  (first (sort-by second (for [c oks
                                           :when (facts/shard-ends (:f c))]
                                       [(case (:f c) :complete :done, :split-replace :split) (:end c)])))}))

(defn- lost
  "What of the acknowledged is missing in a record; the checks, each nil or a violation."
  [shard {:keys [fences cursors status]} record call]
  (let [seen   (facts/status (:status record))
        at     (cursor-key (:cursor record))
        fence  (floors/before fences (:index call))
        cursor (floors/before cursors (:index call))]
    (cond-> []
      fence
      (conj (when (< (or (:fence record) 0) (first fence))
              (violation (str "shard " shard ": fence " (first fence) " was granted, at the end it is " (:fence record))
                         (second fence) (:end call))))
      cursor
      (conj (when (or (nil? at) (key< at (first cursor)))
              (violation (str "shard " shard ": cursor " (first cursor) " was accepted, at the end it is " (or at "none"))
                         (second cursor) (:end call))))
      (and status (< (second status) (:index call)))
      (conj (when (and seen (not= seen (first status)))
              (violation (str "shard " shard " was " (name (first status)) ", at the end it is " (name seen))
                         (second status) (:end call)))))))

(defn- final-records
  [facts]
  (filter (comp :final? :in :call) (facts/records facts)))

(defn- missing-shards
  "Shards that a read of their run should have shown."
  [{:keys [calls runs] :as facts} known]
  (let [by-run (group-by (comp runs key) known)]
    (for [{:keys [in out index end]} (facts/linearizable-reads calls :read-run)
          :let  [run   (:run in)
                 there (set (map :shard (:shards out)))]
          :when (and run (:shards out) (not (facts/may-be-deleted? facts run end)))
          [shard exists] (by-run run)
          :when (< exists index)]
      (when-not (there shard)
        (violation (str "shard " shard " is gone from run " run) exists end)))))

(defn- run-endings
  [{:keys [calls] :as facts}]
  (for [call  (facts/final-reads facts :read-run)
        end   calls
        :when (and (facts/run-ends (:f end)) (h/ok? end) (= (:run (:in end)) (:run (:in call)))
                   (< (:end end) (:index call)) (:status (:out call)))]
    (let [expected (case (:f end) :complete-run :done, :fail-run :failed, :cancel-run :cancelled)
          seen     (facts/status (:status (:out call)))]
      (when (not= expected seen)
        (violation (str "run " (:run (:in end)) " was " (name expected) ", at the end it is " (name seen))
                   (:end end) (:end call))))))

(defn check
  [{:keys [by-shard] :as facts}]
  (let [known        (facts/known-shards facts)
        acknowledged (into {} (map (fn [[shard calls]] [shard (acknowledged calls)])) by-shard)]
    (facts/tally
      (concat (mapcat (fn [{:keys [record call]}]
                        (let [shard (or (:shard record) (h/shard-of call))]
                          (some-> (acknowledged shard) (as-> known (lost shard known record call)))))
                      (final-records facts))
              (existence/check facts known)
              (shown/check facts)
              (missing-shards facts known)
              (run-endings facts)))))
