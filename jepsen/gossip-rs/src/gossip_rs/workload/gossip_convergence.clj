(ns gossip-rs.workload.gossip-convergence
  "Leaders and leases move while the nodes gossip about themselves. Each node is asked how it stands and what it sees of the
  others. After the faults every node's view of the cluster is read, node by node.

  Operations: publish, read-view; acquire, claim, checkpoint, release, reads to keep the log growing. Leases are long, so that
  faults last long enough to see whether facts go round by way of a third node.

  A violation: a fact that a node which it could reach does not see within the bound, or sees in an older version than before
  (G2); live nodes whose last views differ, or lack what was published (G1).")

(def workload
  {:name            "gossip-convergence"
   :default-nemesis "none"
   :needs           [:acquire :checkpoint :release :publish :read-view]
   :required        [:G1 :G2]
   :views?          true
   :needs-peers?    true
   :least-workers   1
   :lease-ms        5000
   :window          5
   :ops-per-shard   80
   :wait            10
   :idle            [[:acquire 70] [:claim 20] [:read-shard 10]]
   :held            [[:checkpoint 55] [:release 45]]})
