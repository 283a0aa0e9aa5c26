(ns gossip-rs.invariants.shown
  "Which state a read shows, a part of S8: none older than one that was shown before, and none that never was.

  `:applied` is the place in the log up to which the state that a read shows was applied. A fresh read shows what was applied by the
  time that it was asked, and whatever any node showed was committed. So a fresh read shows no state below one that an answer, of
  any node, had shown before it was asked. A stale read may show an older one.

  A stale read promises nothing but that what it shows was so at some time. So a shard's terminal status or its parking was brought
  about by something that was asked for before the answer came, and its cursor was written by something (by the shards that it
  inherits from, where it is a leftmost child) and lies in the range that it was made with. Its fence is no higher than all that may
  have raised it by then, each time that it was asked for counted. What was lost counts everywhere, since it may have happened; a
  claim that was lost, on every shard of its run. Judged are shards of which the history tells how they were made, as long as no
  deletion may have begun: fences begin above 0 after one. (Whether fresh reads show what is so is for L to say.)

  So it is with runs: a stale read that shows one ended needs the operation that ends it so, asked for before the answer came, if an
  answer before had shown it alive; and the shards that it tells of are those that something may have made in the run, as
  `gossip-rs.invariants.makers` has it. Here, too, nothing is said once a deletion may have begun: a run of that name may have been
  before."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [cursor-key inside? violation]]
            [gossip-rs.invariants.floors :as floors]
            [gossip-rs.invariants.makers :as makers]
            [gossip-rs.invariants.origins :as origins]
            [gossip-rs.invariants.run-status :as run-status]))

(defn- older
  "Fresh reads of a state below one that had been shown."
  [{:keys [calls]}]
  (let [shown  (filter #(and (#{:read-run :read-shard} (:f %)) (h/ok? %) (:applied (:out %))) calls)
        floors (floors/floors :end #(> (:applied (:out %1)) (:applied (:out %2))) shown)]
    (for [{:keys [f index end out] :as call} shown
          :let  [before (floors/before floors index)
                 high   (:applied (:out before))]
          :when (and (facts/fresh? call) before (< (:applied out) high))]
      (violation (str (name f) " shows what was applied up to " (:applied out) ", after " high " had been shown")
                 (:end before) end))))

(def ^:private brings
  "What a call may do to a shard, if it is not what a shard shows."
  {:acquire :raise, :claim :raise, :unpark :raise, :fail-run :cancelled, :cancel-run :cancelled, :complete :done,
   :split-replace :split, :park :parked})

(defn- causes
  "{[subject what] [place]}: the invocations, in order, of what may have changed a shard, or, as [:run run], any shard of a run."
  [calls]
  (reduce (fn [known {:keys [f in index] :as call}]
            (update known [(or (h/shard-of call) [:run (:run in)]) (brings f)] (fnil conj []) index))
          {}
          (filter #(and (brings (:f %)) (not (h/failed? %))) calls)))

(defn- times-before
  "How often something may have been done to a shard before a place."
  [{:keys [runs]} causes shard what place]
  (let [runs     (if-let [run (get runs shard)]
                   [[:run run] [:run nil]]
                   (distinct (filter vector? (map first (keys causes)))))
        subjects (cons shard runs)]
    (count (for [subject subjects, at (causes [subject what]) :when (< at place)] at))))

(defn- never
  "Stale reads of what never was."
  [{:keys [calls made ranges] :as facts}]
  (let [causes   (causes calls)
        written? (origins/written-before facts)
        made     (into #{} (map :shard) made)]
    (for [{:keys [record call]} (facts/stale-records facts)
          :let  [shard (or (:shard record) (h/shard-of call))
                 end   (:end call)
                 times #(times-before facts causes shard % end)]
          :when (and (made shard) (not (facts/any-may-be-deleted? facts end)))
          :let  [status (facts/status (:status record))
                 fence  (:fence record)
                 cursor (cursor-key (:cursor record))]
          fault [(when (and (#{:done :split :cancelled :parked} status) (zero? (times status)))
                   (str "status " (name status) ", which nothing brought about"))
                 (when (and fence (< (+ (times :raise) (times :cancelled)) fence))
                   (str "fence " fence ", which nothing may have raised so far"))
                 (when (and cursor (or (not (inside? cursor (get ranges shard [nil nil])))
                                       (not (written? shard cursor end))))
                   (str "cursor " cursor ", which nobody wrote there"))]
          :when fault]
      (violation (str "shard " shard ": a stale read shows " fault) end))))

(defn- runs-that-never-were
  "Stale reads of a run that show an end that nothing brought about, or shards that nothing made there."
  [{:keys [calls] :as facts}]
  (let [stale (filter #(and (= :read-run (:f %))
                            (h/ok? %)
                            (not (facts/fresh? %))
                            (not (facts/any-may-be-deleted? facts (:end %))))
                      calls)]
    (when (seq stale)
      (let [runs (update-vals (run-status/calls-of-runs facts) run-status/told)]
        (concat
          (makers/strangers facts stale)
          (for [{:keys [in out end]} stale
                :let  [status (facts/status (:status out))
                       {:keys [alive asked]} (runs (:run in))]
                :when (and (facts/run-terminal? status)
                           (< (or alive h/open-end) end)
                           (< end (get asked status h/open-end)))]
            (violation (str "run " (:run in) ": a stale read shows status " (name status) ", which nothing brought about")
                       alive end)))))))

(defn check
  "Violations."
  [facts]
  (concat (older facts) (when (seq (facts/stale-records facts)) (never facts)) (runs-that-never-were facts)))
