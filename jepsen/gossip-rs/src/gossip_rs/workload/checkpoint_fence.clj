(ns gossip-rs.workload.checkpoint-fence
  "Cursors moved by holders, by zombies and by replays. Each checkpoint's token lists all checkpoints before it, so Elle
  sees which were lost, reordered or accepted twice.

  Operations: acquire, many checkpoints, renew, release, reads; writes under old fences; op ids sent again and used twice.

  A violation: a cursor that moves back or leaves its range (S7), a stale fence accepted (S2), an op id with two effects
  (S5), an acknowledged cursor that is gone at the end (S8), an anomaly in the lists.")

(def workload
  {:name            "checkpoint-fence"
   :default-nemesis "none"
   :needs           [:acquire :checkpoint :renew :release
                     [:refused :checkpoint #{:fence-mismatch :lease-expired}]
                     [:refused :checkpoint #{:cursor-regression :cursor-out-of-range}]
                     [:refused :checkpoint #{:op-id-conflict}]]
   :required        [:S5]
   :window          5
   :ops-per-shard   90
   :wait            30
   :idle            [[:acquire 60] [:stale 15] [:replay 8] [:conflict 5] [:read-shard 12]]
   :held            [[:checkpoint 55] [:renew 8] [:release 8] [:stale 8] [:replay 6] [:conflict 3] [:read-shard 12]
                     [:wrong-cursor 6]]})
