(ns gossip-rs.invariants.origins
  "Where the cursor of a split-off shard comes from, a part of S7.

  The leftmost child of a split begins with its parent's cursor. So a cursor that it shows was written on it, or on its parent, or
  on the shard whose leftmost child that was, and so on; a write whose answer was lost may be the one. (Other shards begin with
  none, which the shard model knows.) Where the history does not tell how the first of them was made, its cursor could be any."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [bound cursor-key]]))

(defn- written
  "{[shard key] place}: the first invocation that may have written a cursor on a shard."
  [calls]
  (apply merge-with min {}
         (for [{:keys [f in index] :as call} calls
               :when (and (facts/cursor-writes f) (not (h/failed? call)) (cursor-key (:cursor in)))]
           {[(h/shard-of call) (cursor-key (:cursor in))] index})))

(defn leftmost
  "The child of a split that has the lowest range."
  [{:keys [out]}]
  (first (sort-by #(or (bound (:start %)) "") (:children out))))

(defn- parents-of-leftmost
  "{child parent} of leftmost children; the first that tells counts."
  [calls]
  (into {} (for [call  (reverse calls)
                 :when (and (= :split-replace (:f call)) (not (h/failed? call)) (:shard (leftmost call)))]
             [(:shard (leftmost call)) (h/shard-of call)])))

(defn written-before
  "A function that says whether a cursor may have been written on a shard, or on those that it inherits from, before a place. Where
  the history does not tell how the first of them was made, it could be any."
  [{:keys [calls made]}]
  (let [written (written calls)
        parents (parents-of-leftmost calls)
        made    (into #{} (map :shard) made)]
    (fn [shard key place]
      (loop [shard shard, seen #{}]
        (cond (< (written [shard key] place) place)              true
              (and (parents shard) (not (seen (parents shard)))) (recur (parents shard) (conj seen shard))
              :else                                              (not (made shard)))))))

(defn may-be
  "A function that says whether a cursor that a leftmost child shows at some place may have been written before it. Of others it
  is not asked."
  [{:keys [calls] :as facts}]
  (let [parents  (parents-of-leftmost calls)
        written? (written-before facts)]
    (fn [shard key place]
      (or (not (contains? parents shard))
          (written? shard key place)))))
