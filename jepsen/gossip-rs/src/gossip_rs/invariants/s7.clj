(ns gossip-rs.invariants.s7
  "S7, cursor: never moves back, never leaves the range.

  Going through the history in order, the *floor* is the highest cursor that an answered call has shown: a checkpoint or
  complete that was accepted, a grant, a fresh read. What may have taken effect only after that moment must not show or
  write less. The leftmost child of a split goes on from its parent's cursor, so that its floor is at least its parent's before
  the split was invoked; nor can it have one that nobody wrote (`gossip-rs.invariants.origins`). A cursor lies in the range that
  its shard was made with, and below the point where an earlier residual was split off. A sight with no floor, and no cursor or
  no range to hold it against, is not counted as a check."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [bound cursor-key inside? key< violation]]
            [gossip-rs.invariants.floors :as floors]
            [gossip-rs.invariants.origins :as origins]))

(defn- sight
  "A cursor that an answered call showed: {:key :call :index, the earliest place it can stem from}."
  [facts call record]
  {:key   (cursor-key (:cursor record))
   :call  call
   :index (facts/effect-from facts call)})

(defn- sights
  "All sights of cursors on shards, by shard. A grant without a cursor says that there is none, which is a sight too."
  [{:keys [calls] :as facts}]
  (->> (concat (for [call  calls
                     :when (and (h/ok? call)
                                (or (and (facts/cursor-writes (:f call)) (:cursor (:in call)))
                                    (and (facts/grants (:f call)) (contains? (:out call) :cursor))))]
                 [(h/shard-of call) (sight facts call (:out call))])
               (for [{:keys [record call]} (facts/records facts)
                     :when (contains? record :cursor)]
                 [(or (:shard record) (h/shard-of call)) (sight facts call record)]))
       (group-by first)
       (map (fn [[shard pairs]] [shard (map second pairs)]))))

(defn- further?
  [a b]
  (key< (:key b) (:key a)))

(defn- floor-at
  "The sight of the highest cursor that a shard had, or inherited, before a place."
  [floors inherited shard index]
  (let [own       (floors/before (get floors shard (sorted-map)) index)
        inherited (get inherited shard)]
    (if (and own inherited)
      (if (key< (:key own) (:key inherited)) inherited own)
      (or own inherited))))

(defn- inherited
  "From the leftmost child of each split to the highest sight of a cursor that its parent had before."
  [{:keys [calls] :as facts} floors]
  (reduce (fn [known call]
            (let [child (origins/leftmost call)
                  floor (floor-at floors known (h/shard-of call) (facts/effect-from facts call))]
              (cond-> known (and child floor) (assoc (:shard child) floor))))
          {}
          (filter #(and (= :split-replace (:f %)) (h/ok? %)) calls)))

(defn- moved-back
  [shard floor {:keys [key call]}]
  (when floor
    (when (or (nil? key) (key< key (:key floor)))
      (violation (str "shard " shard ": " (name (:f call)) " has cursor " (or key "none") " after " (:key floor))
                 (:end (:call floor)) (:end call)))))

(defn- cut-off
  "The lowest residual split of a shard that was answered before a place."
  [shard-calls index]
  (->> shard-calls
       (filter #(and (= :split-residual (:f %)) (h/ok? %) (< (:end %) index)))
       (map (comp bound :at :in))
       sort
       first))

(defn- left-range
  [{:keys [ranges by-shard]} shard {:keys [key call index]}]
  (when-let [[start end] (and key (get ranges shard))]
    (let [cut   (cut-off (by-shard shard) index)
          range [start (if (and cut (or (nil? end) (key< cut end))) cut end)]]
      (when-not (inside? key range)
        (violation (str "shard " shard ": " (name (:f call)) " has cursor " key " outside of " (pr-str range))
                   (:end call))))))

(defn- unwritten
  [may-be? shard {:keys [key call]}]
  (when (and key (not (may-be? shard key (:end call))))
    (violation (str "shard " shard ": " (name (:f call)) " has cursor " key ", which nobody wrote") (:end call))))

(defn check
  [{:keys [ranges] :as facts}]
  (let [sights    (sights facts)
        floors    (into {} (map (fn [[shard sights]] [shard (floors/floors (comp :end :call) further? (filter :key sights))])) sights)
        inherited (inherited facts floors)
        may-be?   (origins/may-be facts)]
    (facts/total
      (for [[shard sights] sights
            sight          sights
            :let  [floor (floor-at floors inherited shard (:index sight))]
            ; Nor does a range say anything of a shard that has no cursor yet.
            :when (or floor (and (:key sight) (contains? ranges shard)))]
        {:checks     1
         :violations (filterv some? [(moved-back shard floor sight)
                                     (left-range facts shard sight)
                                     (unwritten may-be? shard sight)])}))))
