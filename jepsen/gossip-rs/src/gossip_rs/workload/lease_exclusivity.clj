(ns gossip-rs.workload.lease-exclusivity
  "Many workers fight for few shards and do two things under each lease.

  The *unfenced section* is a critical section that only the holder's belief protects, entered and left on the holder's own
  clock. Two of them on one shard must not overlap in real time while monotonic rates are sane (S1). The *fenced effect* is
  a checkpoint under the lease's fence: one below a fence already granted must never be accepted, whatever clocks do (S2).
  Holders stall past their deadline and then write, and old leases are tried again on purpose.

  Operations: acquire, section, checkpoint, renew, release; late writes of old leases; replays and reused op ids.

  A violation: overlapping grants or beliefs (S1), a stale fence accepted (S2), one op id with two answers (S5).")

(def workload
  {:name            "lease-exclusivity"
   :default-nemesis "pause-random-node"
   :needs           [:acquire :section :checkpoint :renew :release
                     [:refused :checkpoint #{:fence-mismatch :lease-expired}]]
   :required        [:S5]
   :window          4
   :ops-per-shard   90
   :wait            50
   :idle            [[:acquire 70] [:stale 10] [:replay 8] [:conflict 4] [:read-shard 8]]
   :held            [[:section 25] [:checkpoint 30] [:renew 15] [:release 18] [:stale 6] [:replay 4] [:conflict 2]
                     [:wrong-cursor 3]]})
