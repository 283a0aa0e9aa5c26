(ns gossip-rs.workload.shard-acquisition
  "Workers claim and acquire whatever is free, work a little, and give it back or finish it.

  Operations: claim, acquire, checkpoint, release, complete, reads; lost answers are asked for again.

  A violation: two grants of one shard that overlap (S1), a fence that does not rise (S2), a finished shard that is granted
  (S3), a shard's history without a linearization.")

(def workload
  {:name            "shard-acquisition"
   :default-nemesis "none"
   :needs           [:claim :acquire :checkpoint :release :complete]
   :required        []
   :window          6
   :ops-per-shard   60
   :wait            20
   :idle            [[:claim 55] [:acquire 35] [:read-shard 10]]
   :held            [[:checkpoint 45] [:release 30] [:complete 15] [:read-shard 10] [:wrong-cursor 3]]})
