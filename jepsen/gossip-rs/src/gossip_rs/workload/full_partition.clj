(ns gossip-rs.workload.full-partition
  "Leases on both sides of a cut: the network is cut into a majority and the rest.

  Operations: acquire, section, checkpoint, renew, release, reads from any node.

  A violation: holders on both sides (S1), a write accepted on the side that lost (S2), a read from the past.")

(def workload
  {:name            "full-partition"
   :default-nemesis "partition-random-halves"
   :needs           [:acquire :section :checkpoint :renew :release :read-shard]
   :required        []
   :window          5
   :ops-per-shard   80
   :wait            30
   :idle            [[:acquire 65] [:read-shard 25] [:stale 10]]
   :held            [[:checkpoint 35] [:section 15] [:renew 15] [:release 15] [:read-shard 15] [:stale 5] [:wrong-cursor 3]]})
