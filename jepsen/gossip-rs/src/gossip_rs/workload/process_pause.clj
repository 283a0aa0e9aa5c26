(ns gossip-rs.workload.process-pause
  "Holders and leaders that stand still past a deadline and go on as if nothing had happened.

  Operations: acquire, claim, section, checkpoint, renew, complete, release; late writes of old leases.

  A violation: a late write accepted (S2), two holders (S1), a finished shard that moves (S3).")

(def workload
  {:name            "process-pause"
   :default-nemesis "pause-random-node"
   :needs           [:acquire :claim :section :checkpoint :renew :release
                     [:refused :checkpoint #{:fence-mismatch :lease-expired}]]
   :required        []
   :window          5
   :ops-per-shard   80
   :wait            30
   :idle            [[:acquire 55] [:claim 20] [:stale 15] [:read-shard 10]]
   :held            [[:checkpoint 40] [:section 20] [:renew 12] [:release 12] [:complete 6] [:stale 10] [:wrong-cursor 3]]})
