(ns gossip-rs.phases
  "What a run does, from the registration to the final reads, as one generator.

    1. the run is made and its shards registered
    2. the load, with the nemesis's schedule beside it
    3. every fault is healed, and every node serves
    4. liveness: every shard is driven to a terminal state, and the runs are ended, brief ones deleted
    5. final reads: each node is asked for everything"
  (:require [gossip-rs.client :as client]
            [gossip-rs.errors :as errors]
            [gossip-rs.rng :as rng]
            [gossip-rs.timed :as timed]
            [gossip-rs.worker :as worker]
            [gossip-rs.workers :as workers]
            [gossip-rs.workload :as workload]
            [jepsen.generator :as gen]))

(def drive-within-s
  "Every shard must have ended so long after the faults did."
  90)

(def read-within-s
  "For each final read: a node that does not answer must not take the others' time."
  15)

(defn- by-one
  "These generators one after the other, on one thread."
  [gens]
  (gen/clients (gen/on-threads #{0} (vec gens))))

(def found-within-s
  "A run that cannot be founded in this time never will be; the checkers then have nothing to check and say unknown."
  60)

(defn- surely
  "This operation until it succeeded, for so many seconds."
  ([op]
   (surely found-within-s op))
  ([within-s op]
   (gen/time-limit within-s (gen/until-ok (gen/delay 0.1 (repeat op))))))

(defn- register
  [seed run shards]
  (surely {:f :register, :value {:run run, :shards shards}, :op-id (rng/hex-id (rng/stream seed (str "register-" run)))}))

(defn- shards-of
  "n shards named after their run."
  [run n]
  (map #(update % :shard (partial str run "-")) (worker/roots n)))

; Asks until somebody was answered who has it settled.
(defrecord Until [gen settled? done?]
  gen/Generator
  (op [this test ctx]
    (when-not done?
      (when-let [[op gen] (gen/op gen test ctx)]
        [op (assoc this :gen gen)])))
  (update [this test ctx event]
    (assoc this :gen (gen/update gen test ctx event), :done? (or done? (settled? event)))))

(defn- settled
  "This operation until it succeeded, or was refused for the state in which its run is, for so many seconds."
  [within-s op]
  (let [refusals #{:run-not-found :run-ended :run-not-ended}]
    (gen/time-limit within-s
                    (->Until (gen/delay 0.1 (repeat op))
                             (fn [{:keys [f type] :as event}]
                               (and (= f (:f op))
                                    (or (= :ok type)
                                        (and (= :fail type) (contains? refusals (errors/reason-of event))))))
                             false))))

(defn- end-run
  [seed f run]
  {:f f, :value {:run run, :op-id (rng/hex-id (rng/stream seed (str (name f) "-" run)))}})

(defn- side-steps
  "The side run's life: it cannot be completed, which is tried more than once, since a fault may take the answer; two shards are
  taken, it cannot be completed over them, it is cancelled, and what comes after must be refused. From the first shard on it
  all fits into one lease, however long the load is."
  [seed time-limit-ms]
  (let [ids     (rng/stream seed "side")
        early   (for [percent [8 18 28]]
                  (-> (end-run seed :complete-run client/side-run)
                      ; Each is a request of its own, and is recorded under the op id that it is sent with.
                      (assoc-in [:value :op-id] (rng/hex-id (rng/stream seed (str "complete-run-side-" percent))))
                      (assoc :at (quot (* percent time-limit-ms) 100))))
        begin   (quot (* 38 time-limit-ms) 100)
        shard   #(str client/side-run "-s00" %)
        acquire (fn [i] {:f :acquire, :value {:shard (shard i), :worker "side", :op-id (rng/hex-id ids)}})
        write   (fn [f more] {:f f, :value (merge {:shard (shard 0), :worker "side", :fence 1, :op-id (rng/hex-id ids)} more)})]
    (concat early
            (map (fn [after-ms op] (assoc op :at (+ begin after-ms)))
                 [0 100 200 400 600 900 1100 1300]
                 [(acquire 0)
                  (write :checkpoint {:cursor "00000001", :ids [1]})
                  (acquire 1)
                  (end-run seed :complete-run client/side-run)
                  (end-run seed :cancel-run client/side-run)
                  (acquire 2)
                  (write :checkpoint {:cursor "00000002", :ids [1 2]})
                  (write :complete {:cursor nil})]))))

(def brief-runs
  "Runs that are founded, ended and deleted: under load, and the last one when the faults are over, so that no run of the
  workload is without a deletion. None of them has a name that comes again."
  (mapv #(str client/brief-run "-" %) (range 4)))

(defn- brief-life
  "A brief run's life. It cannot be deleted before its end, and what comes after its deletion must be refused."
  [seed run how]
  (let [id     #(rng/hex-id (rng/stream seed (str % "-" run)))
        delete (fn [which] {:f :delete-run, :value {:run run, :op-id (id which)}})
        take   (fn [which] {:f :acquire, :value {:shard (:shard (first (shards-of run 1))), :worker run, :op-id (id which)}})]
    [{:f :register, :value {:run run, :shards (shards-of run 1)}, :op-id (id "register")}
     (delete "early")
     (take "take")
     (end-run seed how run)
     (delete "delete")
     (take "late")]))

(defn- brief-steps
  "The lives of all brief runs but the last. They are for one thread: nothing of a run is asked while its founding is under way."
  [seed time-limit-ms]
  (mapcat (fn [run how percent]
            (map (fn [after-ms op] (assoc op :at (+ (quot (* percent time-limit-ms) 100) after-ms)))
                 (range 0 1200 200)
                 (brief-life seed run how)))
          (butlast brief-runs)
          [:cancel-run :fail-run :cancel-run]
          [12 45 70]))

(def ^:private round-s
  "Between two looks of the watcher at all nodes."
  0.25)

(defn- watched
  "The workers, and a watcher on a thread of its own: a node that stands still must not take the workers' time. It asks each
  node by turns how it stands, which is what the node publishes, and what it sees of the others."
  [workers nodes concurrency]
  (let [watcher (dec concurrency)
        looks   (for [node nodes, f [:publish :read-view]] {:f f, :value {:node node}})]
    (gen/any (gen/on-threads (complement #{watcher}) workers)
             (gen/on-threads #{watcher} (gen/delay (/ round-s (count looks)) (cycle looks))))))

(defn- load-phase
  [{:keys [workload nodes plan schedule test-seed rate time-limit concurrency]}]
  (let [{:keys [cancels? deletes? views?]} (workload/by-name workload)
        lives   #(gen/on-threads #{0} (timed/timed (brief-steps test-seed (* 1000 time-limit))))
        workers (workers/generator plan test-seed rate)
        clients (cond-> workers
                  cancels? (gen/any (timed/timed (side-steps test-seed (* 1000 time-limit))))
                  deletes? (gen/any (lives))
                  views?   (watched nodes concurrency))]
    (gen/time-limit time-limit
                    (gen/nemesis (timed/timed (map #(assoc % :type :info) schedule))
                                 clients))))

(defn- end-runs
  "The runs' ends. The side run was cancelled during the load, but that may have been lost."
  [seed cancels?]
  (map surely (cond-> [(end-run seed :complete-run workload/run)]
                cancels? (conj (end-run seed :cancel-run client/side-run)))))

(defn- delete-runs
  "The last brief run's life, and the ends of the others, of which some answers may have been lost."
  [seed]
  (let [[register & life] (brief-life seed (last brief-runs) :fail-run)
        last-ops          (fn [run] [(assoc-in (end-run seed :cancel-run run) [:value :op-id] (rng/hex-id (rng/stream seed (str "last-end-" run))))
                                     {:f :delete-run, :value {:run run, :op-id (rng/hex-id (rng/stream seed (str "last-delete-" run)))}}])]
    (cons (surely register)
          (map (partial settled read-within-s) (concat life (mapcat last-ops brief-runs))))))

(defn- final-reads
  "What each node is asked at the end, one node after the other, each for so long and no longer. Runs that were deleted must be
  gone; one that is not is judged as any other."
  [nodes runs deleted views?]
  (concat (for [node nodes, run runs]
            (surely read-within-s {:f :read-run, :value {:run run, :node node, :final? true}}))
          (for [node nodes, run deleted]
            (settled read-within-s {:f :read-run, :value {:run run, :node node, :final? true}}))
          (when views?
            ; Gossip needs some rounds after the last change.
            (cons (gen/sleep 5)
                  (for [node nodes]
                    (surely read-within-s {:f :read-view, :value {:node node, :final? true}}))))))

(defn generator
  [{:keys [nodes workload plan test-seed concurrency] :as options}]
  (let [{:keys [cancels? deletes? views?]} (workload/by-name workload)
        runs (cond-> [workload/run] cancels? (conj client/side-run))]
    (gen/phases
      (by-one (cond-> [(register test-seed workload/run (:roots plan))]
                cancels? (conj (register test-seed client/side-run (shards-of client/side-run 4)))))
      (load-phase options)
      (gen/log "healing")
      ; Until it is done, no node is known to be mended.
      (gen/nemesis {:type :info, :f :heal, :value {:unmended (vec nodes)}})
      (gen/log "driving every shard to its end")
      (gen/time-limit drive-within-s (gen/clients (workers/drivers plan test-seed concurrency)))
      (by-one (cond-> (end-runs test-seed cancels?)
                deletes? (concat (delete-runs test-seed))))
      (gen/log "final reads")
      (by-one (final-reads nodes runs (when deletes? brief-runs) views?)))))
