(ns gossip-rs.coverage
  "Whether a run did what its name says. A run whose faults never took hold, or in which no lease ran out although the
  workload is about that, proves nothing: it is unknown, not a pass. Pure."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts]))

(def begins
  "Nemesis operations that begin a fault."
  #{:start-partition :kill :pause :skew :shrink :start-client-fault})

(def ^:private expected
  "What a nemesis must have done at least once; :any of several."
  {"none"                    #{}
   "partition-random-halves" #{:start-partition}
   "partition-random-node"   #{:start-partition}
   "partition-asymmetric"    #{:start-partition}
   "kill-random-node"        #{:kill}
   "pause-random-node"       #{:pause}
   "clock-skew"              #{:skew}
   "clock-skew-strong"       #{:skew}
   "membership"              #{:shrink}
   "flaky-links"             #{:start-client-fault}
   "combined"                :any})

(def ^:private ends
  {:start-partition :stop-partition, :start-client-fault :stop-client-fault})

(defn took-hold
  "{f n}: how often each kind of fault took hold. Each step has two ops, its plan and its completion; the completion tells.
  Some faults show only at their end whether anything met them."
  [ops]
  (let [completions (take-nth 2 (rest (h/nemesis-ops ops)))
        failed      (frequencies (map :f (filter :error completions)))]
    (into {} (for [[f n] (frequencies (map :f completions))
                   :when (begins f)
                   :let  [held (- n (failed f 0) (failed (ends f) 0))]
                   :when (pos? held)]
               [f held]))))

(defn takeovers
  "How many grants took a shard over from a holder who had not given it up: its lease had run out."
  [ops]
  (let [{:keys [leases]} (facts/facts ops)]
    (reduce + (for [[_ granted] leases
                    [a b] (partition 2 1 (sort-by :fence granted))
                    :when (and (nil? (:ended-from a)) (= (inc (:fence a)) (:fence b)))]
                1))))

(defn check
  "{:valid? true or :unknown, :faults :takeovers :missing}."
  [ops {:keys [nemesis needs-takeover?]}]
  (let [faults    (took-hold ops)
        takeovers (takeovers ops)
        wanted    (expected nemesis)
        missing   (cond-> []
                    (and (= :any wanted) (empty? faults)) (conj "no fault took hold")
                    (and (set? wanted) (not-every? faults wanted)) (conj (str "no fault took hold: " (first (remove faults wanted))))
                    (and needs-takeover? (zero? takeovers)) (conj "no lease ran out under its holder"))]
    {:valid?    (if (empty? missing) true :unknown)
     :faults    faults
     :takeovers takeovers
     :missing   missing}))
