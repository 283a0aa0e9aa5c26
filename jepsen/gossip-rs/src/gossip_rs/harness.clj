(ns gossip-rs.harness
  "Whether the run itself was carried out: faults were ended, every node was read at the end, every answer was understood.
  Pure. Trouble of ours is never a violation and never a pass: it is unknown."
  (:require [clojure.string :as str]
            [gossip-rs.errors :as errors]
            [gossip-rs.history :as h]))

(def ^:private no-trouble
  "Steps that were done and met nothing. They are no fault that took hold, which is `coverage`'s affair."
  #{:no-effect})

(defn heal-error
  "What a heal completes with that did not go as it should, or nil: `:not-serving` where the service owed an answer and gave none,
  else `:heal-failed`.

    :nodes     all of them
    :unmended  those on which a fault may not be over, for a reason of ours
    :grown?    whether the group has every node again
    :silent    those that did not serve within the bound
    :said      what went wrong, in words

  When all are mended each of them must serve, whatever else the service refused. When some are not, the others must if they are a
  majority of the group. A group that has not grown again may be one that needs the very nodes that were not mended."
  [{:keys [nodes unmended grown? silent said]}]
  (let [mended (remove (set unmended) nodes)
        owed?  (or (empty? unmended)
                   (and grown? (< (count nodes) (* 2 (count mended)))))]
    (when (seq said)
      [(if (and owed? (some (set silent) mended)) :not-serving :heal-failed)
       (str/join "; " said)])))

(defn named-unmended
  "The nodes that a heal which failed in this way names to the judges as unmended, from what `heal-error` is given. All of them, where
  some are not mended, the group has not grown again and the service is not to blame: then nobody knows who can serve."
  [{:keys [nodes unmended grown?]} [kind]]
  (vec (sort (if (or grown? (empty? unmended) (= :not-serving kind)) unmended nodes))))

(defn healing
  "How the end of all faults went: {:valid? :error :steps}. A node that does not serve within the bound after every fault was
  ended is a violation of progress, S6, whatever it does later. A fault that could not be ended is our trouble."
  [ops]
  (let [done  (h/nemesis-steps ops)
        heal  (last (filter #(= :heal (:f %)) done))
        error (errors/reason-of heal)]
    {:valid? (cond (nil? heal)             :unknown
                   (nil? error)            true
                   (= :not-serving error)  false
                   :else                   :unknown)
     :error  (if heal (:error heal) [:not-healed "the run ended before its faults were"])
     ; Those before may have been mended by the heal; who reads the report should know.
     :steps  (vec (for [{:keys [f error time] :as op} done
                        :when (and error (not= :heal f) (not (no-trouble (errors/reason-of op))))]
                    {:f f, :time time, :error error}))}))

(defn final-reads
  "{:valid? :missing [[f run node]]}: the final reads that each node owes, and those that were never answered. Of a run that was
  `deleted` it is an answer as well that it is not there."
  [ops {:keys [nodes runs deleted views?]}]
  (let [deleted? (set deleted)
        gone?    (fn [{:keys [in] :as call}]
                   (and (h/failed? call) (= :run-not-found (errors/reason-of call)) (deleted? (:run in))))
        answered (set (for [{:keys [f in] :as call} (h/calls ops)
                            :when (and (:final? in) (or (h/ok? call) (gone? call)))]
                        [f (:run in) (:node in)]))
        missing  (vec (remove answered (concat (for [node nodes, run (concat runs deleted)] [:read-run run node])
                                               (when views? (for [node nodes] [:read-view nil node])))))]
    {:valid?  (if (empty? missing) true :unknown)
     :missing missing}))

(defn- completions
  [ops]
  (filter #(and (h/client-op? %) (not= :invoke (:type %))) ops))

(defn unknown-reasons
  "{reason n}: reasons of errors that the error table does not have. What the judges make of such an answer is a guess."
  [ops]
  (into (sorted-map)
        (frequencies (for [op (completions ops)
                           :let [reason (errors/reason-of op)]
                           :when (and reason (not (:exception op)) (not (errors/known? reason)))]
                       reason))))

(defn exceptions
  "{class n}: operations that ended in an exception nobody expected. Their outcome is open, so that they hide what they met."
  [ops]
  (into (sorted-map)
        (frequencies (for [{:keys [exception]} (completions ops), :when exception]
                       (str (or (-> exception :via first :type) (class exception)))))))

(defn understood
  "Whether every answer was: {:valid? :unknown-reasons :exceptions}."
  [ops]
  (let [reasons    (unknown-reasons ops)
        exceptions (exceptions ops)]
    {:valid?          (if (and (empty? reasons) (empty? exceptions)) true :unknown)
     :unknown-reasons reasons
     :exceptions      exceptions}))
