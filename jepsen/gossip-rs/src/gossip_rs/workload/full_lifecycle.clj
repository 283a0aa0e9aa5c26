(ns gossip-rs.workload.full-lifecycle
  "Everything that the service can do, on a main run, on a side run that is cancelled on the way, and on brief runs that are
  ended and deleted, and must not be deleted before their end.

  Operations: all of them.

  A violation: any of S1 to S8, or a shard without a linearization.")

(def workload
  {:name            "full-lifecycle"
   :default-nemesis "none"
   :needs           [:claim :acquire :checkpoint :section :renew :release :complete :park :unpark :split-replace :split-residual
                     :cancel-run :fail-run :complete-run [:refused :complete-run #{:run-unfinished}]
                     :delete-run [:refused :delete-run #{:run-not-ended}] :read-view]
   :required        [:S3 :S5]
   :views?          true
   :cancels?        true
   :deletes?        true
   :window          6
   :ops-per-shard   60
   :wait            20
   :idle            [[:acquire 40] [:claim 25] [:unpark 10] [:read-shard 8] [:stale 7] [:replay 7] [:conflict 3]]
   :held            [[:checkpoint 35] [:section 8] [:renew 10] [:release 12] [:complete 10] [:park 5] [:split-replace 5]
                     [:split-residual 5] [:stale 4] [:replay 4] [:conflict 2] [:wrong-cursor 3]]})
