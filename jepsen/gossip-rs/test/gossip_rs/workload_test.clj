(ns gossip-rs.workload-test
  (:require [clojure.set :as set]
            [clojure.test :refer [deftest is testing]]
            [gossip-rs.errors :as errors]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.schedule :as schedule]
            [gossip-rs.worker :as worker]
            [gossip-rs.workload :as workload]))

(def ^:private kinds
  "What a worker's kind of choice is in a history."
  {:stale :checkpoint, :wrong-cursor :checkpoint, :replay nil, :conflict nil})

(defn- offered
  "The operations that a workload's workers and its phases make."
  [{:keys [idle held views? cancels? deletes?]}]
  (-> (into #{} (keep #(get kinds (first %) (first %))) (concat idle held))
      ; Drivers finish what is left, and the run is ended.
      (conj :register :acquire :complete :unpark :read-run :complete-run)
      (cond-> views? (conj :publish :read-view), cancels? (conj :cancel-run), deletes? (conj :fail-run :delete-run))))

(deftest every-workload-needs-only-what-it-does
  (doseq [{:keys [name needs] :as workload} workload/catalogue]
    (testing name
      (is (seq needs) "a workload about nothing cannot fall short")
      (doseq [need needs]
        (is (contains? (offered workload) (if (keyword? need) need (second need))) need)
        (when (vector? need)
          (is (every? errors/refusals (last need)) need))))))

(deftest every-workload-is-judged-and-broken-by-what-exists
  (doseq [{:keys [name default-nemesis] :as workload} workload/catalogue]
    (testing name
      (is (contains? schedule/nemeses default-nemesis))
      (is (set/subset? (set (workload/required workload)) (set invariants/ids))))))

(deftest a-window-is-never-larger-than-its-roots
  (doseq [workload workload/catalogue, operations [1 200 20000]]
    (let [{:keys [roots window]} (workload/plan workload 10 operations)]
      (is (<= window (count roots)))
      (is (= roots (worker/roots (count roots)))))))

(deftest wrong-cursors-are-tried-wherever-ranges-are-worked-through
  (doseq [name ["checkpoint-fence" "split-correctness" "full-lifecycle" "crash-recovery" "shard-acquisition"]]
    (is (some #(= :wrong-cursor (first %)) (:held (workload/by-name name))) name)))
