(ns gossip-rs.invariants.s3
  "S3, terminal irreversibility: nothing succeeds on a shard after Done, Split or Cancelled; run endings likewise.

  A shard ends when a complete or a split-replace is answered, or its run's end is. A run has also ended when a fresh read of it
  shows so: the answer to its end may be lost. An operation that may have taken effect only after that moment must not succeed,
  and a fresh read asked after it must show a terminal status. Two different operations that end one shard cannot both succeed,
  in whatever order they were answered; nor can two that end a run. A call that tells no op id may be one more try of another that
  asks for the same and was not answered otherwise, and no more is proven by it than by a replay. What else the status of a run
  must be is told in `gossip-rs.invariants.run-status`. Only an ended run is deleted (`gossip-rs.invariants.deletions`)."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.deletions :as deletions]
            [gossip-rs.invariants.facts :as facts :refer [violation]]
            [gossip-rs.invariants.oplog :refer [answer asked may-be-nameless-try?]]
            [gossip-rs.invariants.run-status :as run-status]))

(defn- earliest-end
  "Of calls, the answered one that was answered first."
  [calls]
  (when-let [calls (seq (filter h/ok? calls))]
    (apply min-key :end calls)))

(defn- likeness
  "What two calls have in common of which one tells no op id, if they may be tries of one operation: what they ask for and, where they
  were answered, the answer."
  [call]
  [(asked call) (when (h/ok? call) (answer call))])

(defn- nameless
  "Where effects may stand that calls without an op id may share: as `facts/effect-from`, where an answered call may be a try of an
  operation that another one does not name."
  [{:keys [calls] :as facts}]
  (let [earliest (delay (reduce (fn [earliest call]
                                  (let [from (facts/effect-from facts call)
                                        note #(update %1 [%2 (likeness call)] (fnil min h/open-end) from)]
                                    (cond-> (note earliest :all)
                                      (nil? (:op-id (:in call))) (note :nameless))))
                                {}
                                (remove h/failed? calls)))]
    (fn [call]
      (let [of        (if (:op-id (:in call)) :nameless :all)
            [asked _] (likeness call)]
        (min (facts/effect-from facts call)
             (get @earliest [of [asked nil]] h/open-end)
             (get @earliest [of (likeness call)] h/open-end))))))

(defn- rivals
  "Different operations of which only one may succeed."
  [facts what calls]
  (let [{named true, nameless false} (group-by (comp some? :op-id :in) (filter h/ok? calls))
        named  (vals (into {} (map (juxt #(facts/operation facts %) identity)) (reverse named)))
        firsts (reduce (fn [firsts call]
                         (if (some #(may-be-nameless-try? % call) firsts) firsts (conj firsts call)))
                       (vec named)
                       nameless)]
    (when (< 1 (count firsts))
      [(apply violation (str what " was ended " (count firsts) " times: "
                             (pr-str (mapv :f (sort-by :end firsts))))
              (map :end firsts))])))

(defn- after-end
  "What succeeded after `end`, among calls that change something."
  [{:keys [effect-from] :as facts} what end calls]
  (for [call  calls
        :when (and (h/ok? call)
                   (facts/changes (:f call))
                   (not= (facts/operation facts end) (facts/operation facts call))
                   (< (:end end) (facts/effect-from facts call))
                   (not (may-be-nameless-try? end call))
                   (< (:end end) (effect-from call)))]
    (violation (str what ": " (name (:f call)) " succeeded after " (name (:f end)))
               (:end end) (:end call))))

(defn- revived
  "Fresh reads, asked after the end, that show another status than a terminal one."
  [what end sights terminal?]
  (for [{:keys [record call]} sights
        :when (and (< (:end end) (:index call))
                   (:status record)
                   (not (terminal? (facts/status (:status record)))))]
    (violation (str what " reads as " (name (:status record)) " after " (name (:f end)))
               (:end end) (:end call))))

(defn- check-one
  [facts what end calls sights terminal?]
  (when end
    (let [later (count (filter #(< (:end end) (:index %)) (concat calls (map :call sights))))]
      {:checks     later
       :violations (concat (after-end facts what end calls)
                           (revived what end sights terminal?))})))

;; What touches a run itself; what touches its shards is judged shard by shard.
(def ^:private run-changes
  (conj facts/run-ends :register :claim :start-run))

(defn check
  [{:keys [by-shard calls runs] :as facts}]
  (let [facts      (assoc facts :effect-from (nameless facts))
        sights     (group-by (comp :shard :record) (facts/records facts))
        run-sights (group-by (comp :run :in :call)
                             (for [call (facts/linearizable-reads calls :read-run)]
                               {:record (:out call), :call call}))
        run-calls  (group-by #(facts/run-of facts %) calls)
        run-ends   (into {} (for [[run calls] run-calls :when run]
                              [run (filter #(or (facts/run-ends (:f %)) (run-status/shows-end? %)) calls)]))
        shards     (for [shard  (keys by-shard)
                         :let   [calls (by-shard shard)
                                 ends  (filter #(facts/shard-ends (:f %)) calls)
                                 end   (earliest-end (concat ends (run-ends (runs shard))))]
                         result [(check-one facts (str "shard " shard) end calls (sights shard) facts/terminal?)
                                 {:violations (rivals facts (str "shard " shard) ends)}]]
                     result)
        ended      (for [[run ends] run-ends
                         :let   [calls (filter #(run-changes (:f %)) (run-calls run))]
                         result [(check-one facts (str "run " run) (earliest-end ends) calls (run-sights run)
                                            facts/run-terminal?)
                                 {:violations (rivals facts (str "run " run) (filter #(facts/run-ends (:f %)) ends))}]]
                     result)]
    (facts/total (concat shards ended (run-status/check facts) (deletions/check facts)))))
