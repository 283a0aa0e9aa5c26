(ns gossip-rs.coverage
  "Whether a run did what its name says. A run whose faults never took hold, in which no lease ran out although the workload is
  about that, or in which an operation that the workload is about never succeeded, proves nothing: it is unknown, not a pass.
  Pure."
  (:require [clojure.string :as str]
            [gossip-rs.errors :as errors]
            [gossip-rs.faults :as faults]
            [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts]))

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

(def ^:private tell-at-end
  "Faults of which only their end shows whether they met anything."
  (select-keys faults/ends [:start-partition :start-client-fault]))

(defn took-hold
  "{kind n}: how often each kind of fault took hold. The completion of a step tells. Some faults show only at their end
  whether anything met them: without an end of their own, that of the heal being none, nobody counted."
  [ops]
  (let [held? (fn [{:keys [begin end]}]
                (if-let [tells (tell-at-end (faults/kind begin))]
                  (and (= tells (:f end)) (nil? (:error end)))
                  true))]
    (frequencies (map (comp faults/kind :begin) (filter held? (faults/spans (h/nemesis-steps ops)))))))

(defn takeovers
  "How many grants took a shard over from a holder who had not given it up: its lease had run out."
  [ops]
  (let [{:keys [leases]} (facts/facts ops)]
    (reduce + (for [[_ granted] leases
                    [a b] (partition 2 1 (sort-by :fence granted))
                    :when (and (nil? (:ended-from a)) (= (inc (:fence a)) (:fence b)))]
                1))))

(defn- met?
  "Whether a need of a workload was met: `:f`, some success of it, or `[:refused :f reasons]`, a refusal for one of these."
  [calls need]
  (if (keyword? need)
    (some #(and (= need (:f %)) (h/ok? %)) calls)
    (let [[_ f reasons] need]
      (some #(and (= f (:f %)) (h/failed? %) (reasons (errors/reason-of %))) calls))))

(defn- in-words
  [need]
  (if (keyword? need)
    (str "no " (name need) " succeeded")
    (let [[_ f reasons] need]
      (str "no " (name f) " was refused as " (str/join " or " (sort (map name reasons)))))))

(defn operation-gaps
  "What the workload is about and never happened: texts. `rare` operations need not succeed, all others that were tried must."
  [ops {:keys [needs rare]}]
  (let [calls (h/calls ops)
        tried (distinct (map :f calls))]
    (for [need (distinct (concat needs (remove (set rare) tried)))
          :when (not (met? calls need))]
      (in-words need))))

(defn check
  "{:valid? true or :unknown, :faults :takeovers :missing}."
  [ops {:keys [nemesis needs-takeover?] :as wanted}]
  (let [faults    (took-hold ops)
        takeovers (takeovers ops)
        kinds     (expected nemesis)
        missing   (vec (concat
                         (when (and (= :any kinds) (empty? faults)) ["no fault took hold"])
                         (when (set? kinds)
                           (for [kind kinds, :when (not (faults kind))] (str "no fault took hold: " kind)))
                         (when (and needs-takeover? (zero? takeovers)) ["no lease ran out under its holder"])
                         (operation-gaps ops wanted)))]
    {:valid?    (if (empty? missing) true :unknown)
     :faults    faults
     :takeovers takeovers
     :missing   missing}))
