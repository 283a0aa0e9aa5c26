(ns gossip-rs.names
  "Names that stand for several things, which the calls of a history do not tell apart. Pure.

  When a run is deleted its name is free (`docs/protocol.md`, *Names used again*): a run made again under it is another one, and so
  are its shards, whatever they are called. A shard's name counts within its run, and most calls do not say which run they mean.
  To judge two lives as one would accuse a service that is right. So every call about such a run or its shards is left out,
  the rest is judged, and the verdict is `:unknown` where nothing is violated.

  A run has two lives, as far as anybody knows, if a call about it may belong to the one before a deletion, and an answer to
  the one after it: one that came after something that may have made the run once more. Where nothing in the history made it,
  whoever made it first may have done so again: then it is an answer to a call that was sent after the deletion was answered, or was
  asked for and never answered. A shard of which the history tells no run may be of any run that was deleted, or that is left out."
  (:require [clojure.string :as str]
            [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts]))

(defn- add
  [runs shards of]
  (reduce #(update %1 %2 (fnil into #{}) of) runs shards))

(defn- split-off
  [{:keys [out]}]
  (keep :shard (cons (:residual out) (:children out))))

(defn- add-kin
  "A shard and what was split off it are in one run. Upwards, where nothing else tells the parent's, the last split first; downwards in
  order of invocation: so one pass is enough for each."
  [runs splits]
  (as-> runs runs
    (reduce (fn [runs {:keys [in] :as split}]
              (let [of (mapcat runs (split-off split))]
                (if (and (:shard in) (seq of) (not (contains? runs (:shard in)))) (add runs [(:shard in)] of) runs)))
            runs
            (reverse splits))
    (reduce (fn [runs {:keys [in] :as split}]
              (if-let [of (seq (get runs (:shard in)))] (add runs (split-off split) of) runs))
            runs
            splits)))

(defn- runs-of
  "{shard #{run}}. Who made a shard says where it is; an answer that shows it elsewhere does not move it, and tells the run of
  those alone that nothing made."
  [calls]
  (let [calls  (remove h/failed? calls)
        splits (filter #(#{:split-replace :split-residual} (:f %)) calls)
        made   (-> (reduce (fn [runs {{:keys [run shards]} :in}] (if run (add runs (keep :shard shards) [run]) runs))
                           {}
                           (filter #(= :register (:f %)) calls))
                   (add-kin splits))]
    (-> (reduce (fn [runs [shard run]] (add runs [shard] [run]))
                made
                (remove (comp made first) (mapcat facts/shards-and-run (filter facts/of-now? calls))))
        (add-kin splits))))

(defn- subjects
  "What a call is about: [:run name], or [:shard name] of a shard whose run is not known."
  [runs {:keys [in] :as call}]
  (let [shard (h/shard-of call)
        of    (get runs shard)]
    (cond-> (if (:run in) #{[:run (:run in)]} #{})
      of                                    (into (map (fn [run] [:run run])) of)
      (and shard (nil? of) (not (:run in))) (conj [:shard shard]))))

(defn- after
  "Of deletions, those that were not over at a place: where the first of them ended, and the first invocation of them all. None if
  there is none."
  [deletions]
  (let [ends (into (sorted-map)
                   (reductions (fn [[_ first] {:keys [index end]}] [end (min first index)])
                               [h/open-end h/open-end]
                               (sort-by (comp - :end) deletions)))]
    (fn [place]
      (when (seq deletions)
        (first (subseq ends > place))))))

(defn- between?
  "Whether a deletion that was not over at a place had happened before another, as far as anybody knows: it was over, or was asked for
  and never answered."
  [deletions from until]
  (boolean (some (fn [{:keys [index end]}]
                   (and (< from end) (or (< end until) (and (= h/open-end end) (< index until)))))
                 deletions)))

(defn- two-lives?
  "Whether some of the calls, none of which failed and none of which is a stale read, may belong to the life before a deletion and
  an answer to the one after it."
  [calls deletions after]
  (let [oks      (filter h/ok? calls)
        makers   (filter #(facts/run-makers (:f %)) calls)
        answered (reduce max -1 (map :end oks))
        ; One that was over before anything was seen of the run is of a life that this history does not tell.
        first    (reduce min h/open-end (map :index calls))]
    (when-let [[_ from] (after first)]
      (if (empty? makers)
        ; Whoever made it may have done so again.
        (between? deletions first (reduce max -1 (map :index oks)))
        (and (< from answered)
             (some #(and (< (:index %) answered) (< from (:end %))) makers))))))

(defn- unclear-in-themselves
  "{subject sentence}"
  [runs calls]
  (let [calls     (remove h/failed? calls)
        deleted?  #(= :delete-run (:f %))
        deletions (filter deleted? calls)
        by-run    (update-vals (group-by (comp :run :in) deletions) (juxt identity after))
        any       [deletions (after deletions)]
        ; It may show what is long gone, as may what a recorder notes of its own.
        past?     #(not (and (facts/of-service (:f %)) (facts/of-now? %)))
        shared    (for [[shard of] (sort-by (comp str key) runs)
                        :when (< 1 (count of))
                        run of]
                    [[:run run] (str "run " run ": a shard " shard " is in each of the runs " (str/join ", " (sort-by str of)))])
        seen      (when (seq deletions)
                    (reduce (fn [seen [subject call]] (update seen subject (fnil conj []) call))
                            {}
                            (for [call    (remove (some-fn deleted? past?) calls)
                                  subject (subjects runs call)]
                              [subject call])))
        lives     (for [[[kind name :as subject] of] seen
                        :let  [[deletions after] (if (= :run kind) (by-run name) any)]
                        :when (and after (two-lives? of deletions after))]
                    [subject (str (clojure.core/name kind) " " name ": it may have been deleted and made again, and no call says"
                                  " which of the two it means")])]
    ; The first sentence about a run counts.
    (into {} (reverse (concat shared lives)))))

(defn- unclear
  "{subject sentence}. A shard of which the history tells no run may be of any that is left out."
  [runs calls]
  (let [unclear (unclear-in-themselves runs calls)]
    (if-not (some (comp #{:run} first) (keys unclear))
      unclear
      (into unclear
            (for [call calls
                  [kind shard :as subject] (subjects runs call)
                  :when (and (= :shard kind) (not (unclear subject)))]
              [subject (str "shard " shard ": no call says whether it is in one of the runs that are left out")])))))

(defn clear
  "What is left of numbered ops, and why something was left out: {:ops :left-out [sentence]}."
  [ops]
  (let [calls    (facts/judged ops)
        runs     (runs-of calls)
        left-out (unclear runs calls)
        gone     (into #{}
                       (comp (remove #(= :delete-run (:f %)))
                             (filter #(some left-out (subjects runs %)))
                             (mapcat (juxt :index :completion)))
                       (when (seq left-out) calls))]
    {:ops      (if (empty? gone) ops (filterv #(not (gone (:index %))) ops))
     :left-out (vec (sort (vals left-out)))}))
