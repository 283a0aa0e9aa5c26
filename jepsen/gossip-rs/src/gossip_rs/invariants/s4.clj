(ns gossip-rs.invariants.s4
  "S4, shard coverage: the leaves tile the roots exactly, at all times: no gap, no overlap.

  Each answered split is judged by itself: what it made must tile what its parent had. A parent's start never moves and its
  end is the one it was made with, or a point at which a residual was split off. Each fresh read of a run is judged as a
  whole: leaves (all shards but Split ones) must not overlap, must lie inside roots that may exist by then, and must cover
  every root whose registration was answered before the read was asked."
  (:require [gossip-rs.history :as h]
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

(defn- possible-ends
  "The ends that a shard may have had before a call: the one it was made with, or where a residual may have been cut off."
  [shard-calls made-end call]
  (cons made-end
        (for [c shard-calls
              :when (and (= :split-residual (:f c)) (not (h/failed? c)) (not= (:index c) (:index call)))]
          (bound (:at (:in c))))))

(defn- split-fault
  "Why what a split made is no tiling of its parent; nil if it is, or if the parent's range is not known."
  [{:keys [ranges by-shard]} call]
  (when-let [[start made-end] (get ranges (:shard (:in call)))]
    (let [ends   (possible-ends (by-shard (:shard (:in call))) made-end call)
          parts  (case (:f call)
                   :split-replace  (sort-by start-order (map (juxt (comp bound :start) (comp bound :end)) (:children (:out call))))
                   :split-residual (let [residual (:residual (:out call))]
                                     [[start (bound (:at (:in call)))]
                                      [(bound (:start residual)) (bound (:end residual))]]))]
      (or (when (empty? parts) "it has no parts")
          (some (fn [[s e :as part]] (when (and s e (not (key< s e))) (str (show part) " is empty"))) parts)
          (tiling-fault parts)
          (when (not= start (ffirst parts)) (str "its parts begin at " (show (first parts)) ", it at " (show [start made-end])))
          (when-not (contains? (set ends) (second (last parts)))
            (str "its parts end with " (show (last parts)) ", it with " (show [start made-end])))))))

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

(defn- read-fault
  [{:keys [made]} call]
  (let [run      (:run (:in call))
        roots    (filter #(and (:root? %) (= run (:run %)) (< (:index (:call %)) (:end call))) made)
        certain  (filter #(and (h/ok? (:call %)) (< (:end (:call %)) (:index call))) roots)
        leaves   (->> (:shards (:out call))
                      (remove #(= :split (facts/status (:status %))))
                      (map (juxt (comp bound :start) (comp bound :end)))
                      (sort-by start-order))
        range-of (juxt :start :end)]
    (when (seq roots)
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
                  leaves))))))

(defn- check-reads
  [{:keys [calls] :as facts}]
  (for [call (facts/linearizable-reads calls :read-run)]
    (when-let [fault (read-fault facts call)]
      (violation (str "run " (:run (:in call)) ": " fault) (:end call)))))

(defn check
  [facts]
  (facts/tally (concat (check-splits facts) (check-reads facts))))
