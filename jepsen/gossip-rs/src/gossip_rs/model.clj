(ns gossip-rs.model
  "One shard as a sequential state machine, for a linearizability checker. Pure: `step` takes a state and an operation and
  gives the next state, or an inconsistency.

  Time is not in the model. A lease may expire at any moment, so a grant is possible whenever the shard is Active; what
  binds is the fence, which each grant raises by exactly one and each write must match. A field that an operation does not
  carry is unknown (its answer was lost) and matches anything."
  (:require [gossip-rs.invariants.facts :as facts :refer [bound cursor-key inside? key<]]))

(defn inconsistent
  "No state: why the operation cannot happen here."
  [message]
  {:inconsistent message})

(defn inconsistent?
  [state]
  (contains? state :inconsistent))

(defn shard
  "A new shard that owns [start, end), with the fence it begins at and the cursor it inherits."
  ([start end]
   (shard start end 0 nil))
  ([start end fence cursor]
   {:status :active
    :fence  fence
    :worker nil
    :cursor (cursor-key cursor)
    :start  (bound start)
    :end    (bound end)}))

(defn- matches?
  "Whether an answer, if it is known at all, says this."
  [value field expected]
  (or (not (contains? value field))
      (= expected (get value field))))

(defn- grant
  [{:keys [status fence cursor] :as state} value]
  (let [next-fence (inc fence)]
    (cond (not= :active status)
          (inconsistent (str "granted while " (name status)))

          (not (or (nil? (:fence value)) (= next-fence (:fence value))))
          (inconsistent (str "granted fence " (:fence value) " after fence " fence))

          (and (contains? value :cursor) (not= cursor (cursor-key (:cursor value))))
          (inconsistent (str "granted with cursor " (pr-str (cursor-key (:cursor value))) ", it is " (pr-str cursor)))

          :else
          (assoc state :fence next-fence, :worker (:worker value)))))

(defn- under-lease
  "The state as `change` makes it, if the write's fence and worker are those of the lease on record."
  [{:keys [status fence worker] :as state} value change]
  (cond (not= :active status)
        (inconsistent (str "written while " (name status)))

        (not= fence (:fence value))
        (inconsistent (str "written under fence " (:fence value) ", it is " fence))

        (nil? worker)
        (inconsistent (str "written under fence " fence " after its lease was given up"))

        (not= worker (:worker value))
        (inconsistent (str "written by " (:worker value) ", the lease is " worker "'s"))

        :else
        (change state)))

(defn- move-cursor
  [{:keys [cursor start end] :as state} to]
  (let [to (cursor-key to)]
    (cond (nil? to)                       state
          (not (inside? to [start end]))  (inconsistent (str "cursor " to " is outside of the range"))
          (and cursor (key< to cursor))   (inconsistent (str "cursor moves back from " cursor " to " to))
          :else                           (assoc state :cursor to))))

(defn- end-as
  [status]
  (fn [state]
    (if (inconsistent? state)
      state
      (assoc state :status status, :worker nil))))

(defn- split-residual
  [{:keys [start end cursor] :as state} value]
  (let [at (bound (:at value))]
    (cond (not (and at (inside? at [start end]) (not= at start)))
          (inconsistent (str "cut " at " is not inside of the range"))

          (and cursor (not (key< cursor at)))
          (inconsistent (str "cut " at " is behind cursor " cursor))

          :else
          (assoc state :end at))))

(defn- unpark
  [{:keys [status fence] :as state} value]
  (cond (not= :parked status)
        (inconsistent (str "unparked while " (name status)))

        (not (or (nil? (:fence value)) (= (inc fence) (:fence value))))
        (inconsistent (str "unparked with fence " (:fence value) " after fence " fence))

        :else
        (assoc state :status :active, :fence (inc fence))))

(defn- cancel
  "The end of the run: what was not terminal is cancelled, and its worker fenced."
  [{:keys [status fence] :as state}]
  (if (facts/terminal? status)
    state
    (assoc state :status :cancelled, :fence (inc fence), :worker nil)))

(defn- read-record
  [{:keys [status fence cursor start end] :as state} value]
  (let [seen (cond-> value
               (contains? value :status) (update :status facts/status)
               (contains? value :cursor) (update :cursor cursor-key)
               (contains? value :start)  (update :start bound)
               (contains? value :end)    (update :end bound))
        wrong (first (remove #(matches? seen (key %) (val %))
                             {:status status, :fence fence, :cursor cursor, :start start, :end end}))]
    (if wrong
      (inconsistent (str "read " (name (key wrong)) " " (pr-str (get seen (key wrong))) ", it is " (pr-str (val wrong))))
      state)))

(defn step
  "The state after the operation, or an inconsistency."
  [state {:keys [f value]}]
  (case f
    (:acquire :claim)       (grant state value)
    :renew                  (under-lease state value identity)
    :checkpoint             (under-lease state value #(move-cursor % (:cursor value)))
    :release                (under-lease state value #(assoc % :worker nil))
    :complete               (under-lease state value #((end-as :done) (move-cursor % (:cursor value))))
    :park                   (under-lease state value (end-as :parked))
    :unpark                 (unpark state value)
    :split-replace          (under-lease state value (end-as :split))
    :split-residual         (under-lease state value #(split-residual % value))
    (:fail-run :cancel-run) (cancel state)
    :complete-run           (if (facts/terminal? (:status state))
                              state
                              (inconsistent (str "run completed while its shard is " (name (:status state)))))
    :read-shard             (read-record state value)
    (inconsistent (str "no shard operation is called " f))))
