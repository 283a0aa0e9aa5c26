(ns gossip-rs.model
  "One shard as a sequential state machine, for a linearizability checker. Pure: `step` takes a state and an operation and
  gives the next state, or an inconsistency.

  A lease may run out at any moment, so a grant is possible whenever the shard is Active; what binds is the fence, which each
  grant and unpark raises by exactly one and each write must match. Times on the lease clock bind as far as answers tell
  them: a grant does not precede the last known deadline unless the lease was given up, a lease that ran out is not renewed,
  and the clock does not run backwards.

  What the history does not tell is *absent*, in a state as in an operation, and matches anything; the first operation that
  tells it settles it. A state has

    :status           :absent (not made yet), :barred (not made, and its run has ended), :active :parked :done :split :cancelled
    :fence :cursor :start :end
    :lease            nil when there is none, or what is known of it: {:worker :deadline}
    :clock            the last time that an answer told"
  (:require [gossip-rs.invariants.facts :as facts :refer [bound cursor-key inside? key<]]))

(defn inconsistent
  "No state: why the operation cannot happen here."
  [message]
  {:inconsistent message})

(defn inconsistent?
  [state]
  (contains? state :inconsistent))

(def absent
  "A shard whose making is in the history and is yet to come."
  {:status :absent})

(def unknown
  "A shard whose making the history does not tell."
  {})

(defn shard
  "A new shard that owns [start, end), with the fence it begins at and the cursor it inherits."
  ([start end]
   (shard start end 0 nil))
  ([start end fence cursor]
   {:status :active
    :fence  fence
    :lease  nil
    :cursor (cursor-key cursor)
    :start  (bound start)
    :end    (bound end)}))

(defn- known
  "A map with this field if it is told, and without it if not."
  [m field told? value]
  (if told? (assoc m field value) (dissoc m field)))

(defn- settle
  "The state in which a field has this value, or why it has not; `what` begins the sentence."
  [state what field value]
  (cond (inconsistent? state)             state
        (not (contains? state field))     (assoc state field value)
        (= value (get state field))       state
        :else (inconsistent (str what " " (name field) " " (pr-str value) ", it is " (pr-str (get state field))))))

(defn- being
  "The state if it has, or may have, this status."
  [state what status]
  (let [state (if (contains? state :status) state (assoc state :status status))]
    (if (= status (:status state))
      state
      (inconsistent (str what " while " (name (:status state)))))))

(defn- at-time
  "The state at that time on the lease clock, if an answer told it."
  [{:keys [clock] :as state} now]
  (cond (or (inconsistent? state) (nil? now)) state
        (and clock (< now clock))             (inconsistent (str "answered at " now " after an answer at " clock))
        :else                                 (assoc state :clock now)))

(defn- raise-fence
  [{:keys [fence] :as state}]
  (cond-> state fence (assoc :fence (inc fence))))

(defn- untold
  "A fence of which an answer tells was not made by an operation that got none: `:untold` has those it may have made. What
  it does not name is left out because it can make no difference, which keeps a search small."
  [{:keys [fence] :as state} value]
  (if (and fence (:untold value) (not (contains? (:untold value) fence)))
    (inconsistent (str "fence " fence " was made by another operation"))
    state))

(defn- told-fence
  [state what value]
  (cond-> state (:fence value) (settle what :fence (:fence value))))

(defn- grant
  [{:keys [lease] :as state} {:keys [granted deadline worker] :as value}]
  (let [next (being state "granted" :active)
        live (:deadline lease)]
    (cond (inconsistent? next)
          next

          (and live granted (< granted live))
          (inconsistent (str "granted at " granted ", while a lease lives until " live))

          :else
          (let [next (-> next raise-fence (untold value) (told-fence "granted" value))
                next (cond-> next (contains? value :cursor) (settle "granted" :cursor (cursor-key (:cursor value))))
                next (at-time next granted)]
            (if (inconsistent? next)
              next
              (assoc next :lease (cond-> {} worker (assoc :worker worker) deadline (assoc :deadline deadline))))))))

(defn- under-lease
  "The state as `change` makes it, if the write's fence and worker are, or may be, those of the lease on record."
  [state {:keys [worker] :as value} change]
  (let [{:keys [fence lease] :as next} (-> state
                                           (being "written" :active)
                                           (settle "written under" :fence (:fence value)))]
    (cond (inconsistent? next)
          next

          (and (contains? next :lease) (nil? lease))
          (inconsistent (str "written under fence " fence " after its lease was given up"))

          (and (:worker lease) (not= worker (:worker lease)))
          (inconsistent (str "written by " worker ", the lease is " (:worker lease) "'s"))

          :else
          (change (assoc next :lease (assoc lease :worker worker))))))

(defn- renew
  "Where another renewal was never answered the true deadline is unknown, and none is told here."
  [{:keys [lease] :as state} {:keys [granted deadline]}]
  (let [until (:deadline lease)]
    (if (and until granted (<= until granted))
      (inconsistent (str "renewed at " granted ", but the lease had run out at " until))
      (let [next (at-time state granted)]
        (cond-> next
          (not (inconsistent? next)) (update :lease known :deadline deadline deadline))))))

(defn- move-cursor
  [{:keys [cursor start end] :as state} to]
  (let [to (cursor-key to)]
    (cond (nil? to)                       state
          (not (inside? to [start end]))  (inconsistent (str "cursor " to " is outside of the range"))
          (and cursor (key< to cursor))   (inconsistent (str "cursor moves back from " cursor " to " to))
          :else                           (assoc state :cursor to))))

(defn- end-as
  [state status]
  (if (inconsistent? state)
    state
    (assoc state :status status, :lease nil)))

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
  [state value]
  (let [next (being state "unparked" :parked)]
    (if (inconsistent? next)
      next
      (let [next (-> next raise-fence (untold value) (told-fence "unparked with" value))]
        (if (inconsistent? next)
          next
          (assoc next :status :active, :lease nil))))))

(defn- create
  [state {:keys [start end] :as value}]
  (if (= :absent (:status state))
    (-> (shard start end)
        ; A child goes on from its parent's cursor; after a run was deleted, fences do not begin at 0.
        (known :cursor (contains? value :cursor) (cursor-key (:cursor value)))
        (known :fence (contains? value :fence) (:fence value)))
    (inconsistent (str "made while " (name (:status state :unknown))))))

(defn- end-run
  "The run failed or was cancelled: what was not terminal is cancelled, and its worker fenced."
  [{:keys [status] :as state}]
  (case status
    :absent           (assoc state :status :barred)
    (:active :parked) (end-as (raise-fence state) :cancelled)
    ; It may have been terminal before.
    nil               unknown
    state))

(defn- complete-run
  [{:keys [status] :as state}]
  (case status
    :absent           (assoc state :status :barred)
    (:active :parked) (inconsistent (str "run completed while its shard is " (name status)))
    state))

(def ^:private record-fields
  "What a record says, and in which form the state has it."
  {:status facts/status, :fence identity, :cursor cursor-key, :start bound, :end bound})

(defn- read-lease
  "A lease stays on record, and is shown, until it is given up or another takes its place: running out changes nothing in it.
  A deadline counts with the fence that it belongs to, since it is by its fence that a lease with a lost renewal is known."
  [{:keys [fence lease] :as state} {:keys [worker deadline] :as value}]
  (let [deadline (when fence deadline)]
    (cond (or (inconsistent? state) (not (contains? value :worker)))
          state

          (nil? worker)
          (settle state "read" :lease nil)

          (and (contains? state :lease) (nil? lease))
          (inconsistent (str "read a lease of " worker ", there is none"))

          (and (:worker lease) (not= worker (:worker lease)))
          (inconsistent (str "read a lease of " worker ", it is " (:worker lease) "'s"))

          (and deadline (:deadline lease) (not= deadline (:deadline lease)))
          (inconsistent (str "read deadline " deadline ", it is " (:deadline lease)))

          :else
          (assoc state :lease (cond-> (assoc lease :worker worker) deadline (assoc :deadline deadline))))))

(defn- read-record
  [{:keys [status] :as state} value]
  (if (#{:absent :barred} status)
    (inconsistent (str "read while " (name status)))
    (-> (reduce (fn [state [field form]]
                  (if (or (not (contains? value field))
                          ; A record always has a status and a fence: nil says that they were not noted.
                          (and (#{:status :fence} field) (nil? (get value field))))
                    state
                    (settle state "read" field (form (get value field)))))
                state
                record-fields)
        (read-lease value))))

(defn step
  "The state after the operation, or an inconsistency."
  [state {:keys [f value]}]
  (case f
    :create                 (create state value)
    (:acquire :claim)       (grant state value)
    :renew                  (under-lease state value #(renew % value))
    :checkpoint             (under-lease state value #(move-cursor % (:cursor value)))
    :release                (under-lease state value #(assoc % :lease nil))
    :complete               (under-lease state value #(end-as (move-cursor % (:cursor value)) :done))
    :park                   (under-lease state value #(end-as % :parked))
    :unpark                 (unpark state value)
    :split-replace          (under-lease state value #(end-as % :split))
    :split-residual         (under-lease state value #(split-residual % value))
    (:fail-run :cancel-run) (end-run state)
    :complete-run           (complete-run state)
    :read-shard             (read-record state value)
    (inconsistent (str "no shard operation is called " f))))
