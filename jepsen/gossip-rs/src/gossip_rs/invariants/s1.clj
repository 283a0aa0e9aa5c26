(ns gossip-rs.invariants.s1
  "S1, lease exclusivity: no two leases on one shard overlap.

  As granted: a lease lives on the lease clock from its grant to its deadline, which renewals move. It ends earlier when its
  holder gave it up (release, complete, park, split), and then no later grant overlaps it, if the giving up was invoked
  before that grant was answered. A renewal whose answer was lost may have moved the deadline; such a lease's true end is
  unknown and only its last known deadline counts, which a grant may not precede either. The deadline itself is outside:
  live means `now < deadline`. A lease that had run out cannot be renewed, nor written under; after a renewal that was answered
  without its deadline nobody knows when it runs out, and one that does not tell when it came may have come first. The clock
  itself never goes back (`gossip-rs.invariants.lease-clock`).

  As believed: a holder believes from the answer on until `:believed-until`, in the recorder's real time, or until it sent
  what gives the lease up. Sections are what it did in that belief: no section may meet another holder's section or belief. One
  that tells until when its holder believed counts no longer than that, since what is done after it is the holder's own risk.
  Judged only while the rates of monotonic clocks were sane: beyond the drift margin beliefs may overlap, and the fence (S2)
  must do."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]
            [gossip-rs.invariants.lease-clock :as lease-clock]))

(def drift-margin-ppm
  "A holder counts its lease shorter by this much, so that rates off by less cannot make beliefs overlap."
  100000)

(defn sane-rates?
  "Whether no skew in the history went beyond the drift margin. The value of a `:skew` is a map from nodes to their clocks, one
  node's clock alone, or a list of either; whatever tells no `:rate-ppm` tells of no rate."
  [{:keys [nemesis]}]
  (->> (filter #(= :skew (:f %)) nemesis)
       (mapcat #(tree-seq coll? seq (:value %)))
       (filter map?)
       (keep :rate-ppm)
       (not-any? #(< drift-margin-ppm (abs (- % 1000000))))))

(defn- given-up-before?
  "Whether lease a may have been given up by the time that lease b was answered."
  [a b]
  (and (:ended-from a) (< (:ended-from a) (:end b))))

(defn- granted-overlaps
  "Compares each lease with the one before it on the lease clock that reaches furthest."
  [shard leases]
  (let [timed (sort-by (juxt :granted :fence) (filter :granted leases))]
    (loop [timed timed, reach nil, checks 0, found []]
      (if-let [b (first timed)]
        (let [a     reach
              clash (when (and a (:known-deadline a)
                               (< (:granted b) (:known-deadline a))
                               (not (given-up-before? a b)))
                      (violation (str "shard " shard ": fence " (:fence b) " was granted to " (:worker b) " at " (:granted b)
                                      ", while fence " (:fence a) " of " (:worker a) " lived until " (:known-deadline a))
                                 (:end a) (:end b)))
              b     (assoc b :known-deadline (apply max 0 (keep :deadline (cons (:out (:call b)) (map :out (:renewals b))))))]
          (recur (rest timed)
                 (if (or (nil? a) (<= (:known-deadline a) (:known-deadline b)) (given-up-before? a b)) b a)
                 (cond-> checks a inc)
                 (cond-> found clash (conj clash))))
        {:checks checks, :violations found}))))

(defn- timed-renewals
  "[deadline renewal]: the renewals of a lease that tell when they came, in order, each with the time until which the lease lived
  at least before it; up to the first after which nobody knows. Of those that came at one moment the one that does not say until
  when is the first."
  [{:keys [deadline call renewals]}]
  (let [until   (comp :deadline :out)
        granted (comp :granted :out)
        untimed (remove granted renewals)]
    (when (and deadline (every? until (cons call untimed)))
      (let [steps (sort-by (juxt granted until) (filter granted renewals))]
        (map vector
             (reductions max (apply max (map until (cons call untimed))) (map until (take-while until steps)))
             steps)))))

(defn- late-renewals
  "Renewals of a lease that had run out when they were applied."
  [shard leases]
  (facts/tally
    (for [{:keys [fence end] :as lease} leases
          [deadline {:keys [out] :as renewal}] (timed-renewals lease)]
      (when (<= deadline (:granted out))
        (violation (str "shard " shard ": fence " fence " was renewed at " (:granted out) ", but had run out at " deadline)
                   end (:end renewal))))))

(defn- interval-overlaps
  "Intervals {:from :to :id :what :at} of different leases must be disjoint in real time. It is enough to compare each with the
  one before it that reaches furthest: if that is of the same lease, whatever else it meets has met that one already."
  [shard intervals]
  (loop [todo (sort-by (juxt :from :to) intervals), reach nil, checks 0, found []]
    (if-let [b (first todo)]
      (let [clash (when (and reach (< (:from b) (:to reach)) (not= (:id b) (:id reach)))
                    (violation (str "shard " shard ": " (:what b) " from " (:from b) " ns, but "
                                    (:what reach) " until " (:to reach) " ns")
                               (:at reach) (:at b)))]
        (recur (rest todo)
               (if (or (nil? reach) (<= (:to reach) (:to b))) b reach)
               (cond-> checks (and reach (not= (:id b) (:id reach))) inc)
               (cond-> found clash (conj clash))))
      {:checks checks, :violations found})))

(defn- beliefs
  "When the holder of each lease believed. A renewal extends a belief; it does not fill a gap in it."
  [leases]
  (for [{:keys [fence worker answers renewals ended-at]} leases
        :let [id [fence worker]]
        {:keys [out end-time index]} (concat answers renewals)
        :let [until (:believed-until out)
              to    (if (and until ended-at) (min until ended-at) until)]
        :when (and to end-time (< end-time to))]
    {:from end-time, :to to, :id id, :at index
     :what (str worker " believed in fence " fence)}))

(defn- sections
  [calls]
  (for [{:keys [out index] :as call} calls
        :when (and (= :section (:f call)) (h/ok? call) (:entered out) (:left out))
        :let  [from (:entered out)
               to   (min (:left out) (:believed-until out Long/MAX_VALUE))]
        :when (< from to)]
    {:from from, :to to, :id [(:fence out) (:worker out)], :at index
     :what (str (:worker out) " was in a section under fence " (:fence out))}))

(defn check
  [{:keys [leases by-shard] :as facts}]
  (let [sane? (sane-rates? facts)]
    (facts/total
      (cons (lease-clock/check facts)
            (for [[shard leases] leases
                  result (cond-> [(granted-overlaps shard leases)
                                  (late-renewals shard leases)]
                           sane? (conj (interval-overlaps shard (concat (beliefs leases) (sections (by-shard shard))))))]
              result)))))
