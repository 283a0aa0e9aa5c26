(ns gossip-rs.invariants.run-status
  "What the status of a run may be, a part of S3: a run goes Open, Active, and then Done, Failed or Cancelled, once and for ever.

  Each rule, and why it accuses no service that is right:

  - One end. A run ends once, so fresh reads and answered ends tell of one status, in whatever order they came: what was true at
    some moment of each of them is true of the same run for ever.
  - Nothing ends by itself. A read that shows a run ended needs the operation that ends it so (complete, fail, cancel), asked for
    before the read was answered. One whose answer was lost may be the one, at any time after it was asked for; one that was
    refused is none. A run that no answer shows alive may have ended before the recording began, and is not judged so: an answer
    that shows it alive, though it be given again, shows it so at some moment of the history.
  - The end of a run ends its shards. A `:read-run` asks for the status first and for the shards then (`histories/README.md`), so
    that shards which are read page by page, at several moments, were all read after the run had ended: none is Active or Parked,
    and beside Done none is Cancelled, since a run completes only over shards that have ended by themselves.
  - It starts once. A run grants only when it has started, and nothing is done under a lease before. After an answer that shows it
    started, a read that is asked for does not show it Open, and a registration whose first try is asked for does not succeed; one
    without an op id may be one more try of any before it of the same shards. Whether a run that showed nothing of the kind had
    started is not judged.

  A read that was asked to be stale shows the past and proves nothing. A run with two lives is left out before
  (`gossip-rs.names`)."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.deletions :as deletions]
            [gossip-rs.invariants.facts :as facts :refer [violation]]))

(def ^:private status-after
  "The status that a run has after an operation that ends it."
  {:complete-run :done, :fail-run :failed, :cancel-run :cancelled})

(defn- shown
  "The status of the run that a fresh read of it shows."
  [{:keys [f out] :as call}]
  (when (and (= :read-run f) (h/ok? call) (facts/fresh? call))
    (facts/status (:status out))))

(defn shows-end?
  "Whether a call is a fresh read that shows its run ended."
  [call]
  (boolean (some-> (shown call) facts/run-terminal?)))

(defn told
  "What the calls about a run, none of which failed, tell of it: its `:ended` call and the status, of the first answer that tells
  of its end; where each end was first `:asked` for; the first answers that show it `:alive` and `:started`."
  [calls]
  (let [answers (filter #(and (h/ok? %) (facts/of-now? %)) calls)
        least   #(when (seq %) (apply min %))
        ends    (for [{:keys [f] :as call} answers
                      :let  [status (if (= :read-run f) (shown call) (status-after f))]
                      :when (facts/run-terminal? status)]
                  [(:end call) status])]
    {:ended   (first (sort-by first ends))
     :asked   (apply merge-with min {} (for [{:keys [f index]} calls :when (status-after f)] {(status-after f) index}))
     :alive   (least (map :end (filter deletions/shows-alive? answers)))
     :started (least (for [{:keys [f end] :as call} answers
                           :when (or (facts/grants f) (facts/lease-writes f) (#{:unpark :start-run} f) (= :active (shown call)))]
                       end))}))

(defn- after-the-end
  "What a read that shows a run ended must agree with."
  [run {:keys [ended asked alive]} {:keys [end out] :as call}]
  (let [status (shown call)
        before #(and % (< % end))]
    (concat
      [(when (not= status (second ended))
         (violation (str "run " run " reads as " (name status) ", and it ended as " (name (second ended))) (first ended) end))]
      (when (before alive)
        [(when-not (before (get asked status))
           (violation (str "run " run " reads as " (name status) ", and nothing had ended it so") alive end))])
      (for [{:keys [shard] :as record} (:shards out)
            :let  [state (facts/status (:status record))]
            :when (and shard state)]
        (when (or (not (facts/terminal? state)) (= [:done :cancelled] [status state]))
          (violation (str "shard " shard " reads as " (name state) " beside its run " run ", which is " (name status)) end))))))

(defn- not-open-again
  [run {:keys [started]} {:keys [index end]}]
  (when started
    [(when (< started index)
       (violation (str "run " run " reads as open after it had started") started end))]))

(defn- registered-open
  "Whether each registration that was answered took place before the run had started. `before` tells of the shards of those before
  it whether one of those that registered them told no op id."
  [facts run {:keys [started]} calls]
  (when started
    (loop [before {}, [{:keys [in end] :as call} & more] (filter #(= :register (:f %)) calls), outcomes []]
      (if-not call
        outcomes
        (let [shards   (set (map :shard (:shards in)))
              nameless (nil? (:op-id in))
              again    (and (contains? before shards) (or nameless (before shards)))
              late     (and (not again) (< started (facts/effect-from facts call)))]
          (recur (update before shards #(or % nameless))
                 more
                 (cond-> outcomes
                   (h/ok? call) (conj (when late
                                        (violation (str "run " run ": register succeeded after it had started")
                                                   started end))))))))))

(defn calls-of-runs
  "{run calls}: what was asked of each run that is known, but for what was refused."
  [{:keys [calls] :as facts}]
  (dissoc (group-by #(facts/run-of facts %) (remove h/failed? calls)) nil))

(defn check
  "{:checks :violations} of each run."
  [facts]
  (for [[run calls] (calls-of-runs facts)]
    (let [told (told calls)]
      (facts/tally (concat (mapcat #(cond (shows-end? %)       (after-the-end run told %)
                                          (= :open (shown %)) (not-open-again run told %))
                                   calls)
                           (registered-open facts run told calls))))))
