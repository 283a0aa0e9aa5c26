(ns gossip-rs.invariants.lease-clock
  "What the lease clock tells, a part of S1: it never goes back, and what it is told of a lease fits together.

  There is one lease clock for all shards. A grant or renewal that may have taken effect only after another one was answered
  comes no earlier on it. A lease ends after it begins, and a renewal never takes time from its holder: of the answers about one
  lease those that are later on the clock tell no earlier deadline."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]
            [gossip-rs.invariants.floors :as floors]))

(defn- later?
  [a b]
  (> (:granted (:out a)) (:granted (:out b))))

(defn- gone-back
  [facts calls]
  (let [floors (floors/floors :end later? calls)]
    (for [{:keys [f out end] :as call} calls
          :let  [before (floors/before floors (facts/effect-from facts call))]
          :when (and before (< (:granted out) (:granted (:out before))))]
      (violation (str "shard " (h/shard-of call) ": " (name f) " came at " (:granted out) ", after the lease clock had shown "
                      (:granted (:out before)))
                 (:end before) end))))

(defn- ended-before
  [calls]
  (for [{:keys [f out end] :as call} calls
        :when (and (:deadline out) (<= (:deadline out) (:granted out)))]
    (violation (str "shard " (h/shard-of call) ": " (name f) " at " (:granted out) " gave a lease until " (:deadline out)) end)))

(defn- shortened
  [leases]
  (for [[shard leases] leases
        {:keys [fence end renewals call]} leases
        :let  [first (:deadline (:out call))
               steps (sort-by (juxt (comp :granted :out) (comp :deadline :out))
                              (filter #(and (:granted (:out %)) (:deadline (:out %))) renewals))]
        :when first
        [until step] (map vector (reductions max first (map (comp :deadline :out) steps)) steps)
        :when (< (:deadline (:out step)) until)]
    (violation (str "shard " shard ": fence " fence " lived until " until ", renewed at " (:granted (:out step)) " until "
                    (:deadline (:out step)))
               end (:end step))))

(defn check
  "{:violations}; what it compares counts for no check of leases against each other."
  [{:keys [calls leases] :as facts}]
  (let [told (filter #(and (h/ok? %) (or (facts/grants (:f %)) (= :renew (:f %))) (:granted (:out %))) calls)]
    {:violations (into [] cat [(gone-back facts told) (ended-before told) (shortened leases)])}))
