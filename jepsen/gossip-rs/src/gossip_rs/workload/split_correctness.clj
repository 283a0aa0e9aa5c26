(ns gossip-rs.workload.split-correctness
  "Shards are split while others read, finish and fight for them.

  Operations: acquire, claim, checkpoint, split-replace, split-residual, complete, release, reads.

  A violation: leaves that do not tile the roots exactly, at any read (S4); a write on a shard that was split (S3).")

(def workload
  {:name            "split-correctness"
   :default-nemesis "none"
   :needs           [:acquire :claim :checkpoint :split-replace :split-residual :complete]
   :required        [:S3]
   :window          4
   :ops-per-shard   50
   :wait            10
   :idle            [[:acquire 45] [:claim 35] [:read-shard 10] [:replay 6] [:stale 4]]
   :held            [[:checkpoint 25] [:split-replace 15] [:split-residual 18] [:complete 17] [:release 15] [:read-shard 10]
                     [:wrong-cursor 4]]})
