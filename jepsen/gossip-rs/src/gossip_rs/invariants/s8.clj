(ns gossip-rs.invariants.s8
  "S8, durability: what was acknowledged is there at the end, after any crash.

  Each shard that an answered call showed is looked up in the final reads. Its fence must not be below any that was granted,
  its cursor not below any that was accepted, its end (Done, Split) must stand, and shards that were registered or split off
  must exist. An ended run must still be ended. Only fresh reads are judged: a stale one promises nothing."
  (:require [gossip-rs.errors :as errors]
            [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [cursor-key key< violation]]))

(defn- acknowledged
  "What the answers say of a shard: {:exists :fence :cursor :status}, each with the place that proves it."
  [shard-calls made]
  (let [oks     (filter h/ok? shard-calls)
        fence   (last (sort-by first (for [c oks
                                           :when (and (or (facts/grants (:f c)) (= :unpark (:f c))) (:fence (:out c)))]
                                       [(:fence (:out c)) (:end c)])))
        cursor  (last (sort-by first (for [c oks
                                           :when (and (facts/cursor-writes (:f c)) (:cursor (:in c)))]
                                       [(cursor-key (:cursor (:in c))) (:end c)])))
        status  (first (for [c oks
                             :when (facts/shard-ends (:f c))]
                         [(case (:f c) :complete :done, :split-replace :split) (:end c)]))
        maker   (first (filter #(h/ok? (:call %)) made))]
    {:exists (or (some-> maker :call :end) (:end (first oks)))
     :fence  fence
     :cursor cursor
     :status status}))

(defn- lost
  "What of the acknowledged is missing in a record; the checks, each nil or a violation."
  [shard {:keys [fence cursor status]} record call]
  (let [seen   (facts/status (:status record))
        at     (cursor-key (:cursor record))]
    (cond-> []
      fence
      (conj (when (< (or (:fence record) 0) (first fence))
              (violation (str "shard " shard ": fence " (first fence) " was granted, at the end it is " (:fence record))
                         (second fence) (:end call))))
      cursor
      (conj (when (or (nil? at) (key< at (first cursor)))
              (violation (str "shard " shard ": cursor " (first cursor) " was accepted, at the end it is " (or at "none"))
                         (second cursor) (:end call))))
      status
      (conj (when (and seen (not= seen (first status)))
              (violation (str "shard " shard " was " (name (first status)) ", at the end it is " (name seen))
                         (second status) (:end call)))))))

(defn- final-records
  [facts]
  (filter (comp :final? :in :call) (facts/records facts)))

(defn- missing-shards
  "Shards that a final read should have shown."
  [{:keys [calls runs] :as facts} acknowledged]
  (concat
    (for [call  calls
          :when (and (= :read-shard (:f call)) (:final? (:in call)) (h/failed? call)
                     (= :shard-not-found (errors/reason-of call)))
          :let  [known (:exists (acknowledged (:shard (:in call))))]
          :when (and known (< known (:index call)))]
      (violation (str "shard " (:shard (:in call)) " is gone") known (:completion call)))
    (for [call  (facts/final-reads facts :read-run)
          :let  [there (set (map :shard (:shards (:out call))))]
          [shard {:keys [exists]}] acknowledged
          :when (and exists (< exists (:index call)) (= (:run (:in call)) (runs shard)))]
      (when-not (there shard)
        (violation (str "shard " shard " is gone from run " (:run (:in call))) exists (:end call))))))

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
  [{:keys [by-shard made] :as facts}]
  (let [made-by (group-by :shard made)
        known   (into {} (for [shard (distinct (concat (keys by-shard) (keys made-by)))]
                           [shard (acknowledged (by-shard shard) (made-by shard))]))]
    (facts/tally
      (concat (mapcat (fn [{:keys [record call]}]
                        (let [shard (or (:shard record) (h/shard-of call))]
                          (lost shard (known shard) record call)))
                      (final-records facts))
              (missing-shards facts known)
              (run-endings facts)))))
