(ns gossip-rs.claims
  "Claims that were never answered, across shards. Pure.

  Each shard's history may take a lost claim of its run as granted, whatever the others do. But one claim was granted one shard
  at most: if two shards that have an order with it have none without it, there is none for both. This stands beside the
  search on each shard, and what it finds counts to linearizability.

  Only shards in which a lost claim may be at all, and whose calls change without it, are searched again, so that it is little.
  Sets of claims are not weighed against sets of shards: two claims that three shards need pass. What is lenient in a shard's
  history (`linear/lost-grants`) is lenient here, so what is found is sure."
  (:require [gossip-rs.linear :as linear]))

(defn- touched
  "The shards whose calls are others without the claim: [[shard part-without-it]]."
  [claim parts]
  (for [[shard part] parts
        :let  [without (linear/without-claim part claim)]
        :when (not= (:calls part) (:calls without))]
    [shard without]))

(defn- weighed
  "The first two that need the claim, or else those of which two may: {:claim :needing}, {:claim :unknown}, or nil."
  [claim candidates check]
  (let [results (map (fn [[shard without]] [shard (check without)]) candidates)
        of      (fn [verdict] (filter #(= verdict (:valid? (second %))) results))
        needing (take 2 (of false))
        unknown (when (< (count needing) 2) (of :unknown))]
    (cond (= 2 (count needing))                               {:claim claim, :needing (vec needing)}
          (< 1 (+ (count needing) (count unknown)))           {:claim claim, :unknown (vec unknown)})))

(defn granted-twice
  "Lost claims that two shards need: [{:claim call, :needing [[shard result] [shard result]]}], and those of which that is not
  known: [{:claim call, :unknown [[shard result] ...]}]. `parts` are {shard part} that each have an order; `check` searches one
  and gives {:valid? true, false or :unknown}, and more."
  [parts check]
  (let [parts (filter (comp pos? :lost val) parts)]
    (for [claim (sort-by :claim (vals (into {} (map (juxt :claim identity)) (mapcat (comp :claims val) parts))))
          :let  [candidates (touched claim parts)]
          :when (< 1 (count candidates))
          :let  [weighed (weighed claim candidates check)]
          :when weighed]
      weighed)))
