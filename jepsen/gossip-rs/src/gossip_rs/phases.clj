(ns gossip-rs.phases
  "What a run does, from the registration to the final reads, as one generator.

    1. the run is made and its shards registered
    2. the load, with the nemesis's schedule beside it
    3. every fault is healed, and every node serves
    4. liveness: every shard is driven to a terminal state, and the runs are ended
    5. final reads: each node is asked for everything"
  (:require [gossip-rs.client :as client]
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

(defn- side-shards
  []
  (map #(update % :shard (partial str client/side-run "-")) (worker/roots 4)))

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
                  (assoc (end-run seed :complete-run client/side-run)
                         :op-id (rng/hex-id (rng/stream seed (str "complete-run-side-" percent)))
                         :at    (quot (* percent time-limit-ms) 100)))
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
  (let [{:keys [cancels? views?]} (workload/by-name workload)
        workers (workers/generator plan test-seed rate)
        clients (cond-> workers
                  cancels? (gen/any (timed/timed (side-steps test-seed (* 1000 time-limit))))
                  views?   (watched nodes concurrency))]
    (gen/time-limit time-limit
                    (gen/nemesis (timed/timed (map #(assoc % :type :info) schedule))
                                 clients))))

(defn- end-runs
  "The runs' ends. The side run was cancelled during the load, but that may have been lost."
  [seed cancels?]
  (map surely (cond-> [(end-run seed :complete-run workload/run)]
                cancels? (conj (end-run seed :cancel-run client/side-run)))))

(defn- final-reads
  "What each node is asked at the end, one node after the other, each for so long and no longer."
  [nodes runs views?]
  (concat (for [node nodes, run runs]
            (surely read-within-s {:f :read-run, :value {:run run, :node node, :final? true}}))
          (when views?
            ; Gossip needs some rounds after the last change.
            (cons (gen/sleep 5)
                  (for [node nodes]
                    (surely read-within-s {:f :read-view, :value {:node node, :final? true}}))))))

(defn generator
  [{:keys [nodes workload plan test-seed concurrency] :as options}]
  (let [{:keys [cancels? views?]} (workload/by-name workload)
        runs (cond-> [workload/run] cancels? (conj client/side-run))]
    (gen/phases
      (by-one (cond-> [(register test-seed workload/run (:roots plan))]
                cancels? (conj (register test-seed client/side-run (side-shards)))))
      (load-phase options)
      (gen/log "healing")
      (gen/nemesis {:type :info, :f :heal})
      (gen/log "driving every shard to its end")
      (gen/time-limit drive-within-s (gen/clients (workers/drivers plan test-seed concurrency)))
      (by-one (end-runs test-seed cancels?))
      (gen/log "final reads")
      (by-one (final-reads nodes runs views?)))))
