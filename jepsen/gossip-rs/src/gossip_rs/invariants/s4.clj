(ns gossip-rs.invariants.s4
  "S4, shard coverage: the leaves tile the roots exactly, at all times: no gap, no overlap.

  Each answered split is judged by itself: what it made must tile what its parent had, and be cut where it was asked to be. A
  parent's start never moves. Its end is the one it was made with or the lowest point at which a residual is known to have
  been split off before the split was invoked; it may be lower where a residual split was under way then, or was never
  answered. Each fresh read of a run is judged as a whole: leaves (all shards but Split ones) must not overlap, must lie
  inside roots that may exist by then, and must cover every root whose registration was answered before the read was asked.

  No two roots of a run overlap, whether or not anybody reads it: registrations that were answered are held against each other.
  A run need not cover all keys, so that a gap between roots is none. That roots were compared counts for no check: it says
  nothing of splits. `gossip-rs.invariants.makers` holds what a run shows against who made it."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.makers :as makers]
            [gossip-rs.invariants.facts :as facts :refer [bound end<= key< violation]]))

(defn- show
  [[start end]]
  (str "[" (or start "-inf") ", " (or end "+inf") ")"))

(defn- tiling-fault
  "Why these ranges, in order, are no tiling without gap and overlap; nil if they are."
  [ranges]
  (some (fn [[[_ end :as a] [start _ :as b]]]
          (cond (or (nil? end) (nil? start) (key< start end)) (str (show a) " and " (show b) " overlap")
                (key< end start)                              (str "nothing owns [" end ", " start ")")))
        (partition 2 1 ranges)))

(defn- start-order
  "Minus infinity first."
  [[start end]]
  [(or start "") (if end 0 1) (or end "")])

(defn- same?
  "Whether two calls are tries of one operation."
  [a b]
  (or (= (:index a) (:index b))
      (and (:op-id (:in a)) (= (:op-id (:in a)) (:op-id (:in b))))))

(defn- lower
  [a b]
  (if (end<= a b) a b))

(defn- possible-ends
  "The ends that a shard may have had before a call: the lowest that is known, and lower ones where a residual may have been
  cut off."
  [facts shard-calls made-end call]
  (let [others (filter #(and (= :split-residual (:f %)) (not (h/failed? %)) (not (same? % call))) shard-calls)
        from   (facts/effect-from facts call)
        known  (reduce lower made-end (for [c others :when (and (h/ok? c) (< (:end c) from))] (bound (:at (:in c)))))]
    (cons known (for [c others
                      :let  [at (bound (:at (:in c)))]
                      :when (and at (< (:index c) (:end call)) (or (nil? known) (key< at known)))]
                  at))))

(defn- asked-fault
  "Where a split was cut otherwise than it was asked to be; nil if it was not."
  [{:keys [f in out]} parts]
  (let [[seams asked] (case f
                        :split-replace  [(map first (rest parts)) (map bound (:cuts in))]
                        :split-residual [[(bound (:start (:residual out)))] [(bound (:at in))]])
        told?         (case f :split-replace (contains? in :cuts), :split-residual (and (:at in) (:residual out)))]
    (when (and told? (not= seams asked))
      (str "it is cut at " (pr-str seams) ", asked for was " (pr-str asked)))))

(defn- split-fault
  "Why what a split made is no tiling of its parent; nil if it is, or as far as the parent's range is not known."
  [{:keys [ranges by-shard] :as facts} call]
  (let [[start made-end :as made] (get ranges (:shard (:in call)))
        ends  (possible-ends facts (by-shard (:shard (:in call))) made-end call)
        parts (case (:f call)
                :split-replace  (sort-by start-order (map (juxt (comp bound :start) (comp bound :end)) (:children (:out call))))
                :split-residual (let [residual (:residual (:out call))]
                                  [[start (bound (:at (:in call)))]
                                   [(bound (:start residual)) (bound (:end residual))]]))]
    (or (asked-fault call parts)
        (when made
          (or (when (empty? parts) "it has no parts")
              (some (fn [[s e :as part]] (when (and s e (not (key< s e))) (str (show part) " is empty"))) parts)
              (tiling-fault parts)
              (when (not= start (ffirst parts)) (str "its parts begin at " (show (first parts)) ", it at " (show [start (first ends)])))
              (when-not (contains? (set ends) (second (last parts)))
                (str "its parts end with " (show (last parts)) ", it with " (show [start (first ends)]))))))))

(defn- check-splits
  [{:keys [calls] :as facts}]
  (for [call  calls
        :when (and (#{:split-replace :split-residual} (:f call)) (h/ok? call))]
    (when-let [fault (split-fault facts call)]
      (violation (str "shard " (:shard (:in call)) ": " (name (:f call)) ": " fault) (:end call)))))

(defn- covered?
  "Whether one of the disjoint segments holds the whole root."
  [segments [start end]]
  (some (fn [[s e]]
          (and (or (nil? s) (and start (not (key< start s))))
               (end<= end e)))
        segments))

(defn- merge-adjacent
  "Joins ranges that touch."
  [ranges]
  (reduce (fn [done [start end :as range]]
            (let [[s e] (peek done)]
              (if (and (seq done) e (= e start))
                (conj (pop done) [s end])
                (conj done range))))
          []
          ranges))

(defn- possible-roots
  [{:keys [made]} call]
  (filter #(and (:root? %) (= (:run (:in call)) (:run %)) (< (:index (:call %)) (:end call))) made))

(defn- read-fault
  [roots call]
  (let [certain  (filter #(and (h/ok? (:call %)) (< (:end (:call %)) (:index call))) roots)
        leaves   (->> (:shards (:out call))
                      (remove #(= :split (facts/status (:status %))))
                      (map (juxt (comp bound :start) (comp bound :end)))
                      (sort-by start-order))
        range-of (juxt :start :end)]
    (or (some (fn [[[_ end :as a] [start _ :as b]]]
                (when (or (nil? end) (nil? start) (key< start end))
                  (str (show a) " and " (show b) " overlap")))
              (partition 2 1 leaves))
        (let [segments (merge-adjacent leaves)]
          (some #(when-not (covered? segments (range-of %))
                   (str "the leaves do not cover " (show (range-of %)) " of root " (:shard %)))
                certain))
        (let [owned (merge-adjacent (sort-by start-order (map range-of roots)))]
          (some #(when-not (covered? owned %) (str "leaf " (show %) " lies outside of every root"))
                leaves)))))

(defn- check-reads
  [{:keys [calls] :as facts}]
  (for [call  (facts/linearizable-reads calls :read-run)
        :let  [roots (possible-roots facts call)]
        ; Of a run of which nothing is known the leaves could be any.
        :when (seq roots)]
    (when-let [fault (read-fault roots call)]
      (violation (str "run " (:run (:in call)) ": " fault) (:end call)))))

(defn- root-overlaps
  "Roots of one run that own the same keys. A registration that was answered twice made its shards once."
  [run roots]
  (let [range-of (juxt :start :end)
        ends     (fn [{:keys [call]}] (:end call))
        once     (map #(apply min-key ends %) (vals (group-by (juxt :shard :start :end) roots)))]
    (loop [[b & more] (sort-by (juxt (comp start-order range-of) :shard) once), reach nil, found []]
      (cond (nil? b)     found
            (nil? reach) (recur more b found)
            :else
            (recur more
                   (if (end<= (:end reach) (:end b)) b reach)
                   (cond-> found
                     (or (nil? (:end reach)) (nil? (:start b)) (key< (:start b) (:end reach)))
                     (conj (violation (str "run " run ": roots " (:shard reach) " " (show (range-of reach)) " and "
                                           (:shard b) " " (show (range-of b)) " overlap")
                                      (ends reach) (ends b)))))))))

(defn- check-roots
  [{:keys [made]}]
  (for [[run roots] (group-by :run (filter #(and (:root? %) (:run %) (h/ok? (:call %))) made))]
    {:violations (root-overlaps run roots)}))

(defn check
  [facts]
  (facts/total (cons (facts/tally (concat (check-splits facts) (check-reads facts)))
                     (cons (makers/check facts) (check-roots facts)))))
