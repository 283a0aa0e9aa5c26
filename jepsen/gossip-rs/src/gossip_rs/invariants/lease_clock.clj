(ns gossip-rs.invariants.lease-clock
  "What the lease clock tells, a part of S1: it never goes back, what it is told of a lease fits together, and nothing is done under a
  lease that it has passed.

  There is one lease clock for all shards. A grant or renewal that may have taken effect only after another one was answered
  comes no earlier on it. A lease ends after it begins, and a renewal never takes time from its holder: of the answers about one
  lease those that are later on the clock tell no earlier deadline.

  A write under a lease is taken while the clock is below its deadline. So one that may have taken effect only after an answer, on
  whatever shard, that showed the clock at the deadline or beyond came too late. A replay counts from the first try of its op id.
  The deadline is the latest that any answer tells, of renewals that came after the write as well; where a renewal was not
  answered, or did not say until when, the lease may have lived any longer, and nothing is said. (A renewal tells its own time, and
  what is written below a fence that was granted before is S2's to tell.)"
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]
            [gossip-rs.invariants.floors :as floors]))

(defn- later?
  [a b]
  (> (:granted (:out a)) (:granted (:out b))))

(defn- gone-back
  [facts floors calls]
  (for [{:keys [f out end] :as call} calls
        :let  [before (floors/before floors (facts/effect-from facts call))]
        :when (and before (< (:granted out) (:granted (:out before))))]
    (violation (str "shard " (h/shard-of call) ": " (name f) " came at " (:granted out) ", after the lease clock had shown "
                    (:granted (:out before)))
               (:end before) end)))

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

(defn- deadlines
  "{fence deadline}: until when each fence was good at the latest; nil where that is not known."
  [leases]
  (apply merge-with #(when (and %1 %2) (max %1 %2)) {}
         (for [{:keys [fence deadline renewals call]} leases]
           {fence (when (and (:deadline (:out call)) (every? (comp :deadline :out) renewals))
                    deadline)})))

(defn- late-writes
  "Writes under a lease that had run out before they were sent."
  [{:keys [by-shard leases] :as facts} clock]
  (for [[shard leases] leases
        :let  [deadlines (deadlines leases)
               fences    (floors/floors :end #(> (:fence %1) (:fence %2)) leases)]
        {:keys [f in end] :as call} (by-shard shard)
        :when (and (h/ok? call) (facts/lease-writes f) (not= :renew f))
        :let  [deadline (get deadlines (:fence in))]
        :when deadline
        :let  [from   (facts/effect-from facts call)
               before (floors/before clock from)
               now    (:granted (:out before))]
        :when (and before
                   (<= deadline now)
                   (<= (:fence (floors/before fences from) (:fence in)) (:fence in)))]
    (violation (str "shard " shard ": " (name f) " under fence " (:fence in) " was accepted after the lease clock had shown " now
                    ", but the lease had run out at " deadline)
               (:end before) end)))

(defn check
  "{:violations}; what it compares counts for no check of leases against each other."
  [{:keys [calls leases] :as facts}]
  (let [told   (filter #(and (h/ok? %) (or (facts/grants (:f %)) (= :renew (:f %))) (:granted (:out %))) calls)
        floors (floors/floors :end later? told)]
    {:violations (into [] cat [(gone-back facts floors told) (ended-before told) (shortened leases) (late-writes facts floors)])}))
