(ns gossip-rs.invariants.s2
  "S2, fence monotonicity: fences on one shard rise strictly from grant to grant in real time; no write with a fence below
  one already granted is accepted.

  Going through the history in order, the *floor* is the highest fence that an answered grant or unpark has shown. Whatever
  may have taken effect only after that moment must lie above it (a new grant) or not below it (a write). A replayed answer
  is judged by the first try of its op id. No two grants share a fence, in whatever order they were answered. What has no
  floor below it is not counted as a check."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]))

(defn- shows-fence?
  "Calls that raise the fence and say so."
  [call]
  (and (h/ok? call)
       (or (facts/grants (:f call)) (= :unpark (:f call)))
       (:fence (:out call))))

(defn- floors
  "A sorted map from a place in the history to the highest fence shown up to there, with the call that showed it."
  [calls]
  (->> (filter shows-fence? calls)
       (sort-by :end)
       (reductions (fn [best call]
                     (if (or (nil? best) (< (:fence (:out best)) (:fence (:out call)))) call best))
                   nil)
       rest
       (map vector (sort (map :end (filter shows-fence? calls))))
       (into (sorted-map))))

(defn- floor-at
  "The call that showed the highest fence before this place."
  [floors index]
  (val (or (first (rsubseq floors < index)) (first {nil nil}))))

(defn- check-shard
  [facts shard calls]
  (let [floors  (floors calls)
        results (for [call  calls
                      :when (h/ok? call)
                      :let  [grant? (shows-fence? call)
                             write? (and (facts/lease-writes (:f call)) (:fence (:in call)))]
                      :when (or grant? write?)
                      :let  [floor (floor-at floors (facts/effect-from facts call))]
                      ; Without a floor there is nothing to compare with, which is no check.
                      :when floor
                      :let  [fence (if grant? (:fence (:out call)) (:fence (:in call)))
                             high  (:fence (:out floor))]]
                  (cond (and grant? (<= fence high))
                        (violation (str "shard " shard ": " (name (:f call)) " gave fence " fence " after fence " high)
                                   (:end floor) (:end call))
                        (and write? (< fence high))
                        (violation (str "shard " shard ": " (name (:f call)) " of " (:worker (:in call)) " under fence "
                                        fence " was accepted after fence " high " was granted")
                                   (:end floor) (:end call))))]
    (facts/tally results)))

(defn- shared-fences
  "Different operations that were given the same fence."
  [shard calls]
  (for [[fence calls] (group-by (comp :fence :out) (filter shows-fence? calls))
        :let  [firsts (vals (into {} (map (juxt #(or (:op-id (:in %)) (:index %)) identity)) (reverse calls)))]
        :when (< 1 (count firsts))]
    (apply violation (str "shard " shard ": fence " fence " was given " (count firsts) " times") (map :end firsts))))

(defn check
  [{:keys [by-shard] :as facts}]
  (facts/total
    (mapcat (fn [[shard calls]]
              [(check-shard facts shard calls)
               {:violations (shared-fences shard calls)}])
            by-shard)))
