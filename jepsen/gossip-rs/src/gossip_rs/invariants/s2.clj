(ns gossip-rs.invariants.s2
  "S2, fence monotonicity: fences on one shard rise strictly from grant to grant in real time; no write with a fence below
  one already granted is accepted.

  Going through the history in order, the *floor* is the highest fence that an answered grant or unpark has shown. Whatever
  may have taken effect only after that moment must lie above it (a new grant) or not below it (a write). A replayed answer
  is judged by the first try of its op id. No two grants share a fence, in whatever order they were answered. What has no
  floor below it is not counted as a check."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]
            [gossip-rs.invariants.floors :as floors]))

(defn- shows-fence?
  "Calls that raise the fence and say so."
  [call]
  (and (h/ok? call)
       (or (facts/grants (:f call)) (= :unpark (:f call)))
       (:fence (:out call))))

(defn- higher?
  [a b]
  (> (:fence (:out a)) (:fence (:out b))))

(defn- check-shard
  [facts shard calls]
  (let [floors  (floors/floors :end higher? (filter shows-fence? calls))
        results (for [call  calls
                      :when (h/ok? call)
                      :let  [grant? (shows-fence? call)
                             write? (and (facts/lease-writes (:f call)) (:fence (:in call)))]
                      :when (or grant? write?)
                      :let  [floor (floors/before floors (facts/effect-from facts call))]
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
  [facts shard calls]
  (for [[fence calls] (group-by (comp :fence :out) (filter shows-fence? calls))
        :let  [firsts (vals (into {} (map (juxt #(facts/operation facts %) identity)) (reverse calls)))]
        :when (< 1 (count firsts))]
    (apply violation (str "shard " shard ": fence " fence " was given " (count firsts) " times") (map :end firsts))))

(defn check
  [{:keys [by-shard] :as facts}]
  (facts/total
    (mapcat (fn [[shard calls]]
              [(check-shard facts shard calls)
               {:violations (shared-fences facts shard calls)}])
            by-shard)))
