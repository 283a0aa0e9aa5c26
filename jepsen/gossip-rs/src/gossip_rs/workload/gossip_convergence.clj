(ns gossip-rs.workload.gossip-convergence
  "Leaders and leases move while the nodes gossip about themselves; after the faults every node's view of the cluster is
  read, node by node.

  Operations: acquire, checkpoint, release, reads; each node's view at the end.

  A violation: live nodes whose last views differ, or lack what another has (G1).")

(def workload
  {:name            "gossip-convergence"
   :default-nemesis "none"
   :needs           [:acquire :checkpoint :release :read-view]
   :required        [:G1]
   :views?          true
   :window          5
   :ops-per-shard   80
   :idle            [[:acquire 70] [:claim 20] [:read-shard 10]]
   :held            [[:checkpoint 55] [:release 45]]})
