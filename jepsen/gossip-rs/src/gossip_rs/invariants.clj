(ns gossip-rs.invariants
  "The catalogue of invariants and the judge that runs it over a history. Pure: ops in, verdicts out.

  Each invariant has a file of its own under `invariants/`, with its statement and its argument at the head, and a `check`
  that counts what it compared. Nothing compared is `:unknown`, never a pass. false beats :unknown beats true."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts]
            [gossip-rs.invariants.g1 :as g1]
            [gossip-rs.invariants.g2 :as g2]
            [gossip-rs.invariants.healing :as healing]
            [gossip-rs.invariants.s1 :as s1]
            [gossip-rs.invariants.s2 :as s2]
            [gossip-rs.invariants.s3 :as s3]
            [gossip-rs.invariants.s4 :as s4]
            [gossip-rs.invariants.s5 :as s5]
            [gossip-rs.invariants.s6 :as s6]
            [gossip-rs.invariants.s7 :as s7]
            [gossip-rs.invariants.s8 :as s8]
            [gossip-rs.names :as names]))

(def catalogue
  "In the order of the report."
  [{:id :S1, :title "Lease exclusivity",         :check s1/check}
   {:id :S2, :title "Fence monotonicity",        :check s2/check}
   {:id :S3, :title "Terminal irreversibility",  :check s3/check}
   {:id :S4, :title "Shard coverage",            :check s4/check}
   {:id :S5, :title "Idempotency",               :check s5/check}
   {:id :S6, :title "Progress",                  :check s6/check}
   {:id :S7, :title "Cursor",                    :check s7/check}
   {:id :S8, :title "Durability",                :check s8/check}
   {:id :G1, :title "Gossip convergence",        :check g1/check}
   {:id :G2, :title "Gossip speed",              :check g2/check}])

(def ids
  "In the order of the report."
  (mapv :id catalogue))

(def of-every-history
  "G2 needs views that were read while the facts in them moved."
  (vec (remove #{:G2} ids)))

(def title
  (into {} (map (juxt :id :title)) catalogue))

(defn verdict
  "Of what an invariant's check found."
  [{:keys [checks violations left-out]}]
  (cond (seq violations) false
        (seq left-out)   :unknown
        (pos? checks)    true
        :else            :unknown))

(defn merge-verdicts
  "false beats :unknown beats true; nothing at all is :unknown."
  [verdicts]
  (cond (some false? verdicts)         false
        (and (seq verdicts)
             (every? true? verdicts))  true
        :else                          :unknown))

(defn judge
  "Runs invariants (those of every history by default) over ops: {:S1 {:valid? :checks :violations} ...}. What is about a name that
  stands for several things is left out, and :N says so: {:valid? :unknown, :left-out [sentence]}. What needs nodes whose faults were
  not ended is left out as well, and :S6 says so."
  ([ops]
   (judge ops of-every-history))
  ([ops ids]
   (let [{:keys [ops left-out]} (names/clear (h/index ops))
         facts  (facts/facts ops)
         wanted (set ids)]
     (into (if (seq left-out)
             {:N {:valid? :unknown, :checks 0, :violations [], :left-out left-out}}
             {})
           (for [{:keys [id check]} catalogue
                 :when (wanted id)]
             (let [result   (check facts)
                   left-out (when (= :S6 id) (healing/left-out ops (:unmended facts)))
                   result   (cond-> result left-out (assoc :left-out left-out))]
               [id (assoc result :valid? (verdict result))]))))))

(defn valid?
  "One verdict over a judgement. An invariant that had nothing to check counts only if it is required; one that had to leave something
  out always does."
  [judgement required]
  (merge-verdicts (for [[id {:keys [valid? left-out]}] judgement
                        :when (or (seq left-out) (contains? (set required) id) (not= :unknown valid?))]
                    valid?)))
