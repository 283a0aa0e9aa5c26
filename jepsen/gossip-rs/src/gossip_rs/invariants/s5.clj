(ns gossip-rs.invariants.s5
  "S5, idempotency: one op id, one effect, one answer.

  All answers to one op id must agree in what the service said (shard, fence, times on the lease clock, children, cursor);
  only the same request may be answered at all; and once an answer has been given, the same request must not be refused by
  the state machine afterwards. Each shard keeps the answers of its newest 64 evictable operations: a refusal after so many
  others on the shard proves nothing. Refusals by a node that did not take the request (overload, no leader) prove nothing
  either. An op id counts as a check when two of its answers were compared."
  (:require [gossip-rs.errors :as errors]
            [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]))

(def kept-answers
  "Evictable answers that a shard keeps."
  64)

(def ^:private evictable
  #{:acquire :claim :renew :checkpoint :release :unpark})

(def ^:private answered
  [:shard :fence :granted :deadline :cursor :children :residual])

(defn- payload
  [call]
  [(:f call) (:in call)])

(defn- answer
  "What the service said. An acquire answers with the cursor; a checkpoint only echoes the one it was sent."
  [call]
  (select-keys (:out call) answered))

(defn- may-be-evicted?
  [{:keys [by-shard]} first-ok call]
  (and (evictable (:f call))
       (<= kept-answers
           (count (filter #(and (h/ok? %) (< (:end first-ok) (:end %) (:end call)))
                          (get by-shard (h/shard-of first-ok)))))))

(defn- check-id
  [facts [id calls]]
  (let [oks      (sort-by :end (filter h/ok? calls))
        first-ok (first oks)]
    (when first-ok
      (let [other-payload (first (remove #(= (payload first-ok) (payload %)) oks))
            other-answer  (first (remove #(= (answer first-ok) (answer %)) oks))
            refused       (first (filter #(and (h/failed? %)
                                               (< (:end first-ok) (:index %))
                                               (= (payload first-ok) (payload %))
                                               (errors/refusals (errors/reason-of %))
                                               (not (may-be-evicted? facts first-ok %)))
                                         calls))]
        (cond other-payload
              (violation (str "op id " id " was answered for two different requests") (:end first-ok) (:end other-payload))
              other-answer
              (violation (str "op id " id " was answered with " (pr-str (answer first-ok)) ", then with "
                              (pr-str (answer other-answer)))
                         (:end first-ok) (:end other-answer))
              refused
              (violation (str "op id " id " was answered, then refused: " (name (errors/reason-of refused)))
                         (:end first-ok) (:end refused)))))))

(defn check
  [{:keys [calls] :as facts}]
  (facts/total
    (for [[_ tries :as of-id] (group-by (comp :op-id :in) (filter (comp :op-id :in) calls))
          :when (< 1 (count tries))
          :let  [fault (check-id facts of-id)]]
      {:checks     (if (or fault (< 1 (count (filter h/ok? tries)))) 1 0)
       :violations (when fault [fault])})))
