(ns gossip-rs.invariants.facts
  "What several judges need to know of a history: which calls touched a shard, when an operation may have taken effect,
  which leases were granted, which ranges shards were given. Derived once, from client calls alone."
  (:require [clojure.string :as str]
            [gossip-rs.errors :as errors]
            [gossip-rs.history :as h]
            [gossip-rs.invariants.healing :as healing]))

(def grants #{:acquire :claim})
(def lease-writes #{:renew :checkpoint :complete :release :park :split-replace :split-residual})
(def lease-ends #{:complete :release :park :split-replace})
(def shard-ends #{:complete :split-replace})
(def run-ends #{:complete-run :fail-run :cancel-run})
;; What may make a run; a registration may, where its making is not recorded by itself.
(def run-makers #{:register :create-run})
;; What changes a run or its shards.
(def changes (into #{:unpark :start-run} cat [grants lease-writes run-ends run-makers]))
(def reads #{:read-shard :read-run :read-view})
;; What is asked of the service about runs and shards.
(def of-service (into changes [:delete-run :read-run :read-shard]))
;; What else a recorder notes says nothing of the service, whatever it names.
(def ^:private judged-fs (into of-service [:section :publish :read-view]))
(def cursor-writes #{:checkpoint :complete})

(defn status
  "A status as a lower-case keyword, however the recorder spelled it."
  [x]
  (when x
    (keyword (str/lower-case (name x)))))

(def terminal? #{:done :split :cancelled})
(def run-terminal? #{:done :failed :cancelled})

; Keys are hex strings, so that their order as strings is that of the bytes.

(defn bound
  "A range's bound; nil is infinity."
  [k]
  (when-not (= "" k) k))

(defn key<
  "Whether key a lies strictly below key b. Neither is infinite."
  [a b]
  (neg? (compare a b)))

(defn end<=
  "Whether range end a is at most range end b; nil is plus infinity."
  [a b]
  (cond (nil? b) true
        (nil? a) false
        :else    (not (key< b a))))

(defn inside?
  "Whether a key lies in [start, end)."
  [k [start end]]
  (and (or (nil? start) (not (key< k start)))
       (or (nil? end) (key< k end))))

(defn cursor-key
  "The key of a cursor, which is a key or a map with a token beside it."
  [cursor]
  (if (map? cursor) (:key cursor) cursor))

(defn run-of
  "The run that a call is about, as far as it is known. What a recorder notes of its own is about none."
  [{:keys [runs]} {:keys [f in] :as call}]
  (when (of-service f)
    (or (:run in) (get runs (h/shard-of call)))))

(defn operation
  "Which operation a call is a try of. An op id counts within its run, that of a deletion within its tenant, since the run is gone
  (`docs/protocol.md`, *The order of checks*); a history is of one tenant. Where nobody tells the run of a shard, the id counts
  within the shard: the same id on another may be of another run."
  [facts {:keys [f in index] :as call}]
  (cond (nil? (:op-id in))  index
        (= :delete-run f)   [:deletion (:op-id in)]
        :else               [(if-let [run (run-of facts call)] [:run run] [:shard (h/shard-of call)]) (:op-id in)]))

(defn- first-tries
  "For each operation, the invocation of the first call that is a try of it and may have taken effect. A replayed answer proves
  an effect at some moment since then, not since the replay was asked for."
  [facts calls]
  (persistent!
    (reduce (fn [m call]
              (let [operation (operation facts call)]
                (if (and (not (h/failed? call)) (nil? (get m operation)))
                  (assoc! m operation (:index call))
                  m)))
            (transient {})
            calls)))

(defn effect-from
  "The earliest place in the history where the call's effect may stand."
  [{:keys [first-tries] :as facts} call]
  (get first-tries (operation facts call) (:index call)))

(defn- leases
  "The leases granted on a shard: one for each distinct grant, with what became of them. Answers of one op id are of one grant if
  they tell the same fence: an op id that was evicted from the op log may be granted anew, with a fence of its own. `:deadline` is
  the latest that a renewal is known to have reached, nil when an open renewal may have moved it any further."
  [calls]
  (let [granted (->> calls
                     (filter #(and (grants (:f %)) (h/ok? %) (:fence (:out %))))
                     (group-by #(or (some-> (:op-id (:in %)) (vector (:fence (:out %)))) (:index %)))
                     vals
                     (map (fn [tries] (assoc (apply min-key :end tries) :answers tries))))
        writes  (group-by (comp :fence :in) (filter #(lease-writes (:f %)) calls))]
    (for [{:keys [out index end end-time answers] :as call} granted
          :let [own      (get writes (:fence out))
                renewals (filter #(and (= :renew (:f %)) (h/ok? %)
                                       ; The fence alone says whose renewal it is where one of the two does not tell the worker.
                                       (or (nil? (:worker out)) (contains? #{nil (:worker out)} (:worker (:out %)))))
                                 own)
                ends     (filter #(and (lease-ends (:f %)) (not (h/failed? %))) own)]]
      {:fence          (:fence out)
       :worker         (:worker out)
       :index          index
       :end            end
       :granted        (:granted out)
       :deadline       (when-not (some #(and (= :renew (:f %)) (h/open? %)) own)
                         (apply max (or (:deadline out) 0) (keep (comp :deadline :out) renewals)))
       :renewals       renewals
       :answers        answers
       :believed-from  end-time
       :ended-from     (when (seq ends) (apply min (map :index ends)))
       :ended-at       (when-let [times (seq (keep :time ends))] (apply min times))
       :call           call})))

(defn- registered
  "Every shard that a call may have made: {:shard :start :end :run :call}."
  [calls]
  (for [call  calls
        :when (not (h/failed? call))
        shard (case (:f call)
                :register       (:shards (:in call))
                :split-replace  (:children (:out call))
                :split-residual (some-> (:residual (:out call)) list)
                nil)]
    {:shard (:shard shard)
     :start (bound (:start shard))
     :end   (bound (:end shard))
     :root? (= :register (:f call))
     :from  (:shard (:in call))
     :run   (:run (:in call))
     :call  call}))

(defn- kin
  "A shard and what was split off it are in one run. Upwards the last of them first, downwards in order of invocation: so one pass is
  enough for each."
  [runs made]
  (let [splits (remove :root? made)
        learn  (fn [runs shard of] (if-let [run (and shard (nil? (get runs shard)) (get runs of))] (assoc runs shard run) runs))]
    (as-> runs runs
      (reduce (fn [runs {:keys [shard from]}] (learn runs from shard)) runs (reverse splits))
      (reduce (fn [runs {:keys [shard from]}] (learn runs shard from)) runs splits))))

(defn fresh?
  "Whether a read promised to show the newest. One that was asked to be stale may show the past."
  [{:keys [in out]}]
  (not (or (:stale in) (:stale? in) (:stale out) (:stale? out))))

(defn of-now?
  "Whether an answer is of now, as all are but those of stale reads."
  [{:keys [f] :as call}]
  (or (not (reads f)) (fresh? call)))

(defn shards-and-run
  "[[shard run]] that an answer tells to be of a run which it names."
  [{:keys [f out] :as call}]
  (when (and (h/ok? call) (of-service f) (:run out))
    (for [shard (cons (:shard out) (when (= :read-run f) (map :shard (:shards out))))
          :when shard]
      [shard (:run out)])))

(defn- shard-runs
  "Which run each shard belongs to: that of its registration; what was split off is in its parent's. A shard of which the makers do not
  tell it is in the run that an answer about it named."
  [made calls]
  (-> (into {} (for [{:keys [shard run]} made :when run] [shard run]))
      (kin made)
      (as-> runs (reduce (fn [runs [shard run]] (update runs shard #(or % run)))
                         runs
                         (mapcat shards-and-run (filter of-now? calls))))
      (kin made)))

(defn judged
  "The calls of a history that are judged. What else a recorder notes says nothing of the service; and a call that names another run than
  its shard's can have done nothing, unless an answer says that it did."
  [ops]
  (let [calls   (filterv (comp judged-fs :f) (h/calls ops))
        runs    (delay (shard-runs (registered calls) calls))
        astray? (fn [{{:keys [run]} :in :as call}]
                  (when-let [shard (and (h/open? call) run (h/shard-of call))]
                    (not= run (get @runs shard run))))]
    (into [] (remove astray?) calls)))

(defn- ranges
  "The range of each shard, [start end]. An answered maker beats those that were never answered; where several of these
  differ, nobody knows which of them it was."
  [made]
  (into {}
        (for [[shard makers] (group-by :shard made)
              :let [answered (sort-by (comp :end :call) (filter (comp h/ok? :call) makers))
                    ranges   (distinct (map (juxt :start :end) (or (seq (take 1 answered)) makers)))]
              :when (= 1 (count ranges))]
          [shard (first ranges)])))

(defn facts
  "Everything the judges need, from a history's ops."
  [ops]
  (let [calls    (judged ops)
        made     (registered calls)
        runs     (shard-runs made calls)
        by-shard (group-by h/shard-of (filter h/shard-of calls))]
    {:ops         ops
     :calls       calls
     :by-shard    by-shard
     :leases      (into {} (map (fn [[shard calls]] [shard (vec (leases calls))])) by-shard)
     :first-tries (first-tries {:runs runs} calls)
     :made        (vec made)
     :ranges      (ranges made)
     :runs        runs
     ; Where the first deletion of each run was invoked, of those that may have happened.
     :deleted-from (apply merge-with min {}
                          (for [call calls :when (and (= :delete-run (:f call)) (not (h/failed? call)))]
                            {(:run (:in call)) (:index call)}))
     :nemesis     (h/nemesis-ops ops)
     :unmended    (healing/of-history ops calls)}))

(defn owes?
  "Whether a node owed service when the faults were over."
  [{:keys [unmended]} node]
  (boolean (and unmended (not (unmended (healing/node-name node))))))

(defn meant?
  "Whether a call that names this shard is surely about the one that is known by the name, and not about one of another run."
  [{:keys [runs]} {:keys [in]} shard]
  (or (nil? (:run in)) (= (:run in) (get runs shard))))

(defn known-shards
  "Shards that are surely there: a map from shard to the place of the first answer that made it or was about it. A recorder's note
  is no answer."
  [{:keys [made by-shard]}]
  (apply merge-with min {}
         (concat (for [{:keys [shard call]} made :when (h/ok? call)] {shard (:end call)})
                 (for [[shard calls] by-shard
                       call          calls
                       :when         (and (h/ok? call) (of-service (:f call)))]
                   {shard (:end call)}))))

(defn any-may-be-deleted?
  "Whether any run may have been deleted before a place."
  [{:keys [deleted-from]} place]
  (boolean (some #(< % place) (vals deleted-from))))

(defn may-be-deleted?
  "Whether a run may have been deleted before a place."
  [{:keys [deleted-from]} run place]
  (< (get deleted-from run h/open-end) place))

(defn may-be-gone?
  "Whether a shard's run may have been deleted before a place; of a shard whose run is not known, any run."
  [{:keys [runs] :as facts} shard place]
  (if-let [run (get runs shard)]
    (may-be-deleted? facts run place)
    (any-may-be-deleted? facts place)))

(defn finds-nothing?
  "Whether a call was answered that what it asks for is not there: as much an answer of the group as a record is."
  [call]
  (and (h/failed? call)
       (contains? #{:run-not-found :shard-not-found} (errors/reason-of call))))

(defn final-reads
  "Final reads that were answered and promised to be fresh, one node's or all."
  [{:keys [calls]} f]
  (filter #(and (= f (:f %)) (:final? (:in %)) (h/ok? %) (fresh? %)) calls))

(defn linearizable-reads
  "Answered reads that promised to be fresh."
  [calls f]
  (filter #(and (= f (:f %)) (h/ok? %) (fresh? %)) calls))

(defn- records-in
  "Every sight of a shard's record in reads: {:record :call}, from those of the shard and of its run."
  [reads]
  (concat (for [call (filter #(= :read-shard (:f %)) reads)]
            {:record (:out call), :call call})
          (for [call   (filter #(= :read-run (:f %)) reads)
                record (:shards (:out call))]
            {:record record, :call call})))

(defn records
  "Every fresh sight of a shard's record."
  [{:keys [calls]}]
  (records-in (filter #(and (h/ok? %) (fresh? %)) calls)))

(defn stale-records
  "Every sight of a shard's record that may be of the past."
  [{:keys [calls]}]
  (records-in (filter #(and (h/ok? %) (not (fresh? %))) calls)))

(defn violation
  "One thing that must not be: a sentence, and the places in the history that show it, the last being the culprit."
  [message & indices]
  {:message message
   :at      (vec (sort (distinct (filter #(and % (not= h/open-end %)) indices))))})

(defn total
  "The sum of {:checks n :violations [v]}."
  [results]
  {:checks     (reduce + (keep :checks results))
   :violations (into [] (mapcat :violations) results)})

(defn tally
  "Counts checks that each gave nil or a violation."
  [outcomes]
  {:checks     (count outcomes)
   :violations (filterv some? outcomes)})
