(ns gossip-rs.workers
  "Workers and drivers (`worker.clj`) as generators: one state machine for each thread, told how its operations ended.

  Pure, as generators must be: Jepsen asks again and throws answers away, and a worker's intents are lazy and memoised, so
  asking twice draws once."
  (:require [gossip-rs.worker :as worker]
            [jepsen.generator :as gen]))

(defn- op-of
  [{:keys [f value op-id wait-ms]}]
  (cond-> {:f f, :value value}
    op-id   (assoc :op-id op-id)
    wait-ms (assoc :wait-ms wait-ms)))

(defn- due-thread
  "[thread time]: the free thread whose turn comes first, and when; nil when none is free."
  [ctx due]
  (when-let [threads (seq (sort (gen/free-threads ctx)))]
    (let [thread (apply min-key #(get due % 0) threads)]
      [thread (max (:time ctx) (get due thread 0))])))

; `due`: when each thread may try its next operation, `interval` nanoseconds after its last.
(defrecord Workers [states asked due interval]
  gen/Generator
  (op [this _ ctx]
    (if-let [[thread time] (due-thread ctx due)]
      (let [[op state] (worker/next-op (get states thread))]
        [(gen/fill-in-op (assoc (op-of op) :process (gen/thread->process ctx thread), :time time) ctx)
         (assoc this
                :states (assoc states thread state)
                :asked  (assoc asked thread op)
                :due    (assoc due thread (+ time interval)))])
      [:pending this]))

  (update [this _ ctx {:keys [process type] :as event}]
    (let [thread (gen/process->thread ctx process)]
      (if (or (= :invoke type) (not (contains? asked thread)))
        this
        (assoc this
               :states (update states thread worker/learn (get asked thread) event)
               :asked  (dissoc asked thread))))))

(defn generator
  "Workers of a plan on threads 0.. . `rate`: operations a second, all workers together."
  [{:keys [threads] :as plan} seed rate]
  (->Workers (into {} (for [thread (range threads)] [thread (worker/worker plan seed thread)]))
             {}
             ; Not all at once at the start.
             (into {} (for [thread (range threads)] [thread (long (/ (* 1e9 thread) rate))]))
             (long (/ (* 1e9 threads) rate))))

(def ^:private pauses
  "Nanoseconds before a driver that was refused tries again: the first, and what it grows to while nothing succeeds. Where
  everything is refused at once it would else fill the history with refusals that no checker can read."
  [100000000 2000000000])

(defn- next-pause
  "The pause after an operation. That a run can be read is no progress."
  [pause {:keys [f type]}]
  (let [[first most] pauses]
    (cond (not= :ok type)  (min most (* 2 pause))
          (= :read-run f)  pause
          :else            first)))

; `due`: not before this time, in nanoseconds.
(defrecord Driver [state asked due pause]
  gen/Generator
  (op [this _ ctx]
    (if asked
      [:pending this]
      (when-let [[op next-state] (worker/next-drive state)]
        (let [filled (gen/fill-in-op (assoc (op-of op) :time (max due (:time ctx))) ctx)]
          (if (= :pending filled)
            [:pending this]
            [filled (Driver. next-state op due pause)])))))

  (update [this _ _ {:keys [type time] :as event}]
    (if (or (= :invoke type) (nil? asked))
      this
      (Driver. (worker/learn-drive state event) nil (if (= :ok type) 0 (+ time pause)) (next-pause pause event)))))

(defn drivers
  "After the faults: drives every shard to its end, each thread its share."
  [plan seed threads]
  (apply gen/any
         (for [thread (range threads)]
           (gen/on-threads #{thread} (->Driver (worker/driver plan seed thread threads) nil 0 (first pauses))))))
