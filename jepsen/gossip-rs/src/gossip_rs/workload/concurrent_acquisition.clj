(ns gossip-rs.workload.concurrent-acquisition
  "Everybody wants the same shard at the same moment.

  Operations: acquire, in line or not, section, release, reads.

  A violation: two holders (S1), fences out of order (S2), a waiter that is granted what it was not (no linearization).")

(def workload
  {:name            "concurrent-acquisition"
   :default-nemesis "none"
   :needs           [:acquire :section :checkpoint :release [:refused :acquire #{:lease-held}]]
   :required        []
   :least-workers   4
   :window          1
   :ops-per-shard   110
   :wait            60
   :idle            [[:acquire 88] [:read-shard 8] [:stale 4]]
   :held            [[:section 35] [:release 40] [:checkpoint 15] [:renew 10]]
   :section-ms      100})
