(ns gossip-rs.checker
  "Everything that a run is judged by, put together, and the report."
  (:require [clojure.java.io :as io]
            [clojure.java.shell :as shell]
            [clojure.tools.logging :refer [warn]]
            [gossip-rs.checker.elle :as elle]
            [gossip-rs.checker.knossos :as knossos]
            [gossip-rs.checker.nodes :as nodes]
            [gossip-rs.client :as client]
            [gossip-rs.coverage :as coverage]
            [gossip-rs.findings :as findings]
            [gossip-rs.harness :as harness]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.invariants.g2 :as g2]
            [gossip-rs.other-judge :as other-judge]
            [gossip-rs.phases :as phases]
            [gossip-rs.plots :as plots]
            [gossip-rs.report :as report]
            [gossip-rs.schedule :as schedule]
            [gossip-rs.timeline :as timeline]
            [gossip-rs.views :as views]
            [gossip-rs.workload :as workload]
            [jepsen.checker :as checker]
            [jepsen.checker.timeline :as op-timeline]
            [jepsen.history :as history]
            [jepsen.store :as store]))

(def knossos-limit-ms
  "For each shard."
  20000)

(defn plain
  "A Jepsen history as maps."
  [history]
  (mapv #(into {} %) history))

(defn- workload-of
  [test]
  (workload/by-name (:workload test)))

(defn- by-ops
  "A checker that is a pure function of test and ops."
  [f]
  (reify checker/Checker
    (check [_ test history _] (f test (plain history)))))

(defn- check-invariants
  [test ops]
  (let [{:keys [views?] :as workload} (workload-of test)
        judgement (invariants/judge ops (if views? invariants/ids invariants/of-every-history))
        required  (workload/required workload)]
    {:valid?    (invariants/valid? judgement required)
     :required  required
     :judgement judgement}))

(defn- check-coverage
  [test ops]
  (let [{:keys [needs]} (workload-of test)]
    (coverage/check ops {:nemesis         (:nemesis-name test)
                         :needs           needs
                         :rare            workload/rare
                         :needs-takeover? (and (contains? #{"lease-exclusivity" "process-pause"} (:workload test))
                                               (= "pause-random-node" (:nemesis-name test)))})))

(defn- check-final-reads
  [test ops]
  (let [{:keys [cancels? deletes? views?]} (workload-of test)]
    (harness/final-reads ops {:nodes   (:nodes test)
                              :runs    (cond-> [workload/run] cancels? (conj client/side-run))
                              :deleted (when deletes? phases/brief-runs)
                              :views?  views?})))

(defn- check-views
  [test ops]
  (if (:views? (workload-of test))
    (views/check ops (:nodes test))
    {:valid? true, :skipped "the workload reads no views"}))

(defn ask-rust
  "What the Rust judge says of the stored history: {:exit :out :err}, or {:absent why}."
  [test]
  (let [judge (io/file (:repo test) "target/release/gossip-verify")
        file  (io/file (store/path test "history.edn"))]
    (cond (not (.canExecute judge)) {:absent "target/release/gossip-verify is not built: cargo build --release"}
          (not (.exists file))      {:absent "there is no history.edn"}
          :else                     (try (apply shell/sh (str judge) "check" (str file)
                                                (when (:views? (workload-of test))
                                                  ["--gossip-bound" (str (quot g2/bound-ns 1000000000))]))
                                         (catch java.io.IOException e
                                           {:absent (str "it did not start: " (ex-message e))})))))

(defrecord RustJudge []
  checker/Checker
  (check [_ test _ _]
    ; Its answer becomes a verdict when ours are there to be compared with it.
    {:valid? true, :answer (ask-rust test)}))

(defn- drawn
  "A history as Jepsen's plots are drawn from it."
  [history]
  (history/history (plots/drawn (plain history))))

(defn perf
  "Plots; without gnuplot they are left out, which is no verdict on the service."
  []
  (let [plots (checker/perf {:nemeses plots/nemeses})]
    (reify checker/Checker
      (check [_ test history opts]
        (try (checker/check plots test (drawn history) opts)
             (catch Exception e
               (warn e "no plots")
               {:valid? true, :skipped (ex-message e)}))))))

(defn tolerant
  "A checker whose findings are worth keeping and no verdict: what it would fail by is judged elsewhere, in our words."
  [inner]
  (reify checker/Checker
    (check [_ test history opts]
      (assoc (checker/check-safe inner test history opts) :valid? true))))

(defn- run-facts
  [test ops valid?]
  (merge (select-keys test [:workload :nodes :time-limit :concurrency :rate :digest])
         (report/particulars test)
         {:nemesis    (:nemesis-name test)
          :duration-s (/ (reduce max 0 (keep :time ops)) 1e9)
          :seed       (:test-seed test)
          :valid?     valid?}))

(defn- write-report!
  [test ops {:keys [valid? invariants linearizable] :as results}]
  (let [judgement (:judgement invariants)
        findings  (findings/beside-invariants results)
        text      (report/text {:run             (run-facts test ops valid?)
                                :ops             ops
                                :linearizability {:valid? (:valid? linearizable), :checker "knossos"
                                                  :anomalies (count (:anomalies linearizable))}
                                :judgement       judgement
                                :findings        findings
                                :notes           (findings/notes results)})]
    (spit (store/path! test "report.txt") text)
    (spit (store/path! test "report.html") (timeline/html ops judgement findings text))
    (spit (store/path! test "schedule.edn") (schedule/edn-text (:schedule test)))
    (println (str "\n" text))))

(defn merge-verdicts
  "The results with one verdict over all of them."
  [results]
  (assoc results :valid? (checker/merge-valid (map :valid? (vals (dissoc results :valid?))))))

(defn compare-judges
  "The results with the comparison in the place of what the Rust judge said."
  [{:keys [invariants linearizable rust] :as results}]
  (assoc results :rust (other-judge/agreement {:judgement    (:judgement invariants)
                                               :required     (:required invariants)
                                               :linearizable (:valid? linearizable)}
                                              ; Without an answer it crashed on our side.
                                              (:answer rust {:absent (str "it was not asked: " (:error rust))}))))

(defrecord Everything [parts]
  checker/Checker
  (check [_ test history opts]
    (let [results (-> (checker/check (checker/compose parts) test history opts)
                      compare-judges
                      merge-verdicts)]
      (try (write-report! test (plain history) results)
           results
           (catch Exception e
             (warn e "the report was not written")
             (merge-verdicts (assoc results :report {:valid? :unknown, :error (str e)})))))))

(defn checker
  []
  (->Everything {:invariants   (by-ops check-invariants)
                 :linearizable (knossos/->Checker knossos-limit-ms)
                 :elle         (elle/->Checker)
                 :coverage     (by-ops check-coverage)
                 :healing      (by-ops (fn [_ ops] (harness/healing ops)))
                 :final-reads  (by-ops check-final-reads)
                 :views        (by-ops check-views)
                 :answers      (by-ops (fn [_ ops] (harness/understood ops)))
                 :nodes        (nodes/->Checker)
                 :rust         (->RustJudge)
                 :exceptions   (tolerant (checker/unhandled-exceptions))
                 :stats        (tolerant (checker/stats))
                 :perf         (perf)
                 :clock        (tolerant (checker/clock-plot))
                 :timeline     (tolerant (op-timeline/html))}))
