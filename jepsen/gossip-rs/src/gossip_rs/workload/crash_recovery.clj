(ns gossip-rs.workload.crash-recovery
  "A steady stream of writes, of which each acknowledged one must be there at the end, after any crash.

  Operations: claim, acquire, checkpoint, complete, splits, park, unpark, release.

  A violation: a cursor, a terminal state, a fence or a split that was acknowledged and is gone (S8), or came undone (S3,
  S7).")

(def workload
  {:name            "crash-recovery"
   :default-nemesis "kill-random-node"
   :needs           [:claim :acquire :checkpoint :complete :release :park :split-replace :split-residual]
   :required        [:S3]
   :least-workers   1
   :window          8
   :ops-per-shard   60
   :wait            10
   :idle            [[:claim 40] [:acquire 40] [:unpark 10] [:read-shard 10]]
   :held            [[:checkpoint 50] [:complete 12] [:release 15] [:park 8] [:split-replace 5] [:split-residual 5] [:renew 5]
                     [:wrong-cursor 3]]})
