(ns gossip-rs.names
  "Names that stand for several things, which the calls of a history do not tell apart. Pure.

  When a run is deleted its name is free (`docs/protocol.md`, *Names used again*): a run made again under it is another one, and so
  are its shards, whatever they are called. A shard's name counts within its run, and most calls do not say which run they mean.
  To judge two lives as one would accuse a service that is right. So every call about such a run or its shards is left out,
  the rest is judged, and the verdict is `:unknown` where nothing is violated.

  A run has two lives, as far as anybody knows, if a call about it may belong to the one before a deletion, and an answer to
  the one after it: one that came after something that may have made the run once more. Where nothing in the history made it,
  whoever made it first may have done so again: then it is an answer to a call that was sent after the deletion was answered. A
  shard of which the history tells no run may be of any run that was deleted."
  (:require [clojure.string :as str]
            [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts]))

(defn- shards-told
  "[shards run] that a call tells of, if it tells which run they are of."
  [{:keys [f in out] :as call}]
  (when-let [run (and (not (h/failed? call)) (:run in))]
    (case f
      :register [(keep :shard (:shards in)) run]
      :read-run (when (h/ok? call) [(keep :shard (:shards out)) run])
      :claim    (when (h/ok? call) [(keep :shard [out]) run])
      nil)))

(defn- runs-of
  "{shard #{run}}; a child is of its parent's."
  [calls]
  (let [add  (fn [runs shards of] (reduce #(update %1 %2 (fnil into #{}) of) runs shards))
        told (reduce (fn [runs [shards run]] (add runs shards [run])) {} (keep shards-told calls))]
    (reduce (fn [runs {:keys [in out]}]
              (if-let [of (seq (get runs (:shard in)))]
                (add runs (keep :shard (cons (:residual out) (:children out))) of)
                runs))
            told
            (filter #(and (#{:split-replace :split-residual} (:f %)) (not (h/failed? %))) calls))))

(defn- subjects
  "What a call is about: [:run name], or [:shard name] of a shard whose run is not known."
  [runs {:keys [in] :as call}]
  (let [shard (h/shard-of call)
        of    (get runs shard)]
    (cond-> (if (:run in) #{[:run (:run in)]} #{})
      of                                    (into (map (fn [run] [:run run])) of)
      (and shard (nil? of) (not (:run in))) (conj [:shard shard]))))

(defn- two-lives?
  "Whether some of the calls, none of which failed, may belong to the life before a deletion and an answer to the one after it."
  [calls {from :index, to :end}]
  (let [oks           (filter h/ok? calls)
        makers        (filter #(facts/run-makers (:f %)) calls)
        last-answered (reduce max -1 (map :end oks))]
    (and (some #(< (:index %) to) calls)
         (if (empty? makers)
           (some #(< to (:index %)) oks)
           (some #(and (< from (:end %)) (< (max from (:index %)) last-answered)) makers)))))

(defn- unclear
  "{subject sentence}"
  [runs calls]
  (let [calls     (remove h/failed? calls)
        deleted?  #(= :delete-run (:f %))
        deletions (filter deleted? calls)
        by-run    (group-by (comp :run :in) deletions)
        shared    (for [[shard of] (sort-by (comp str key) runs)
                        :when (< 1 (count of))
                        run of]
                    [[:run run] (str "run " run ": a shard " shard " is in each of the runs " (str/join ", " (sort-by str of)))])
        seen      (when (seq deletions)
                    (reduce (fn [seen [subject call]] (update seen subject (fnil conj []) call))
                            {}
                            (for [call (remove deleted? calls), subject (subjects runs call)] [subject call])))
        lives     (for [[[kind name :as subject] of] seen
                        :when (some #(two-lives? of %) (if (= :run kind) (by-run name) deletions))]
                    [subject (str (clojure.core/name kind) " " name ": it may have been deleted and made again, and no call says"
                                  " which of the two it means")])]
    ; The first sentence about a run counts.
    (into {} (reverse (concat shared lives)))))

(defn clear
  "What is left of numbered ops, and why something was left out: {:ops :left-out [sentence]}."
  [ops]
  (let [calls    (h/calls ops)
        runs     (runs-of calls)
        left-out (unclear runs calls)
        gone     (into #{}
                       (comp (remove #(= :delete-run (:f %)))
                             (filter #(some left-out (subjects runs %)))
                             (mapcat (juxt :index :completion)))
                       (when (seq left-out) calls))]
    {:ops      (if (empty? gone) ops (filterv #(not (gone (:index %))) ops))
     :left-out (vec (sort (vals left-out)))}))
