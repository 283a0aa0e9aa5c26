(ns gossip-rs.workload
  "The workload catalogue. What each does and what would be a violation stands at the head of its file; here is what they
  share. A workload is a map:

    :name
    :default-nemesis  what runs when none is named
    :needs-peers?     shows nothing on one node
    :least-workers    how many must be there to get into each other's way; 2 unless it says so
    :needs            what must have happened, else the run shows nothing of what it is named for: an operation that
                      succeeded, or `[:refused :f reasons]`
    :required         invariants that a run must have given the judge something to check by, or else it is unknown
    :window, :ops-per-shard, :wait, :retry, :section-ms, :idle, :held   see `worker`
    :views?           reads each node's gossip view, while the load runs and at the end
    :lease-ms         where leases are not as short as elsewhere
    :cancels?         cancels a side run on the way
    :deletes?         founds brief runs, ends and deletes them, on the way and at the end"
  (:require [gossip-rs.worker :as worker]
            [gossip-rs.workload.asymmetric-partition :as asymmetric-partition]
            [gossip-rs.workload.checkpoint-fence :as checkpoint-fence]
            [gossip-rs.workload.concurrent-acquisition :as concurrent-acquisition]
            [gossip-rs.workload.crash-recovery :as crash-recovery]
            [gossip-rs.workload.full-lifecycle :as full-lifecycle]
            [gossip-rs.workload.full-partition :as full-partition]
            [gossip-rs.workload.gossip-convergence :as gossip-convergence]
            [gossip-rs.workload.lease-exclusivity :as lease-exclusivity]
            [gossip-rs.workload.process-pause :as process-pause]
            [gossip-rs.workload.shard-acquisition :as shard-acquisition]
            [gossip-rs.workload.split-correctness :as split-correctness]))

(def catalogue
  [shard-acquisition/workload
   lease-exclusivity/workload
   checkpoint-fence/workload
   split-correctness/workload
   concurrent-acquisition/workload
   crash-recovery/workload
   full-partition/workload
   asymmetric-partition/workload
   process-pause/workload
   gossip-convergence/workload
   full-lifecycle/workload])

(def by-name
  (into {} (map (juxt :name identity)) catalogue))

(defn lease-ms
  "The length of every lease of the workload of this name: short, so that faults outlast it."
  [workload]
  (:lease-ms (by-name workload) 2000))

(defn least-workers
  "How many threads the workload of this name needs: its workers, and one that watches views."
  [workload]
  (let [{:keys [least-workers views?]} (by-name workload)]
    (cond-> (or least-workers 2) views? inc)))

(def run "The run that every workload has." "main")

(def always-required
  [:S1 :S2 :S4 :S6 :S7 :S8])

(def rare
  "Operations that a run may be too short or too unlucky for; a workload that is about one of them needs it all the same."
  #{:claim :complete :park :unpark :split-replace :split-residual})

(defn required
  [workload]
  (into always-required (:required workload)))

(defn plan
  "What the workers of this workload do, for about so many operations."
  [workload threads operations]
  (let [; Whoever waits for longer than a lease learns nothing more.
        shared {:run run, :threads threads, :retry 60, :section-ms 200, :wait-ms (quot (lease-ms (:name workload)) 2)}
        plan   (merge shared (select-keys workload [:window :ops-per-shard :wait :retry :section-ms :idle :held]))]
    (assoc plan :roots (worker/roots (worker/roots-for plan operations)))))
