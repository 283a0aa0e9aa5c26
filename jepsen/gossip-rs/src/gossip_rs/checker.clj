(ns gossip-rs.checker
  "Everything that a run is judged by, put together, and the report."
  (:require [clojure.java.io :as io]
            [clojure.java.shell :as shell]
            [clojure.string :as str]
            [clojure.tools.logging :refer [warn]]
            [gossip-rs.checker.elle :as elle]
            [gossip-rs.checker.knossos :as knossos]
            [gossip-rs.coverage :as coverage]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.report :as report]
            [gossip-rs.schedule :as schedule]
            [gossip-rs.timeline :as timeline]
            [gossip-rs.workload :as workload]
            [jepsen.checker :as checker]
            [jepsen.checker.timeline :as op-timeline]
            [jepsen.store :as store]))

(def knossos-limit-ms
  "For each shard."
  20000)

(defn plain
  "A Jepsen history as maps."
  [history]
  (mapv #(into {} %) history))

(defrecord Invariants []
  checker/Checker
  (check [_ test history _]
    (let [judgement (invariants/judge (plain history))
          required  (workload/required (workload/by-name (:workload test)))]
      {:valid?    (invariants/valid? judgement required)
       :required  required
       :judgement judgement})))

(defrecord Coverage []
  checker/Checker
  (check [_ test history _]
    (coverage/check (plain history)
                    {:nemesis         (:nemesis-name test)
                     :needs-takeover? (and (contains? #{"lease-exclusivity" "process-pause"} (:workload test))
                                           (= "pause-random-node" (:nemesis-name test)))})))

(def ^:private bad-line
  "What no node may ever log."
  #"panicked at|\"level\":\"ERROR\"|stack backtrace")

(defn- bad-lines
  "[node line] of the stored node logs."
  [test]
  (for [node (:nodes test)
        :let [file (store/path test node "gossip-worker.log")]
        :when (.exists (io/file file))
        line (with-open [reader (io/reader file)] (doall (take 5 (filter #(re-find bad-line %) (line-seq reader)))))]
    [node line]))

(defrecord Nodes []
  checker/Checker
  (check [_ test _ _]
    (let [deaths @(:deaths test)
          lines  (bad-lines test)
          logs   (filter #(.exists (io/file (store/path test % "gossip-worker.log"))) (:nodes test))]
      {:valid? (cond (or (seq deaths) (seq lines)) false
                     ; Without logs nobody looked.
                     (empty? logs)                 :unknown
                     :else                         true)
       :deaths deaths
       :lines  (vec lines)})))

(defrecord RustJudge []
  checker/Checker
  (check [_ test _ _]
    (let [judge (io/file (:repo test) "target/release/gossip-verify")
          file  (store/path test "history.edn")]
      (if (and (.canExecute judge) (.exists (io/file file)))
        (let [{:keys [exit out err]} (shell/sh (str judge) "check" (str file))
              rows   (into (sorted-map) (for [[_ id status] (re-seq #"\((S\d|G1)\)\s*│ (\S+)" out)] [(keyword id) status]))]
          ; What it says is compared when all results are there.
          {:valid? true, :exit exit, :rows rows, :err err})
        {:valid? true, :skipped "target/release/gossip-verify is not built"}))))

(defn perf
  "Plots; without gnuplot they are left out, which is no verdict on the service."
  []
  (let [plots (checker/perf {:nemeses #{{:name "partition", :start #{:start-partition}, :stop #{:stop-partition :heal}, :color "#E9A0A0"}
                                        {:name "kill", :start #{:kill}, :stop #{:start :heal}, :color "#E9C3A0"}
                                        {:name "pause", :start #{:pause}, :stop #{:resume :heal}, :color "#A0C8E9"}
                                        {:name "skew", :start #{:skew}, :stop #{:reset-clock :heal}, :color "#C5A0E9"}
                                        {:name "members", :start #{:shrink}, :stop #{:grow :heal}, :color "#A0E9DB"}
                                        {:name "clients", :start #{:start-client-fault}, :stop #{:stop-client-fault :heal}, :color "#E9E1A0"}}})]
    (reify checker/Checker
      (check [_ test history opts]
        (try (checker/check plots test history opts)
             (catch Exception e
               (warn e "no plots")
               {:valid? true, :skipped (ex-message e)}))))))

(defn tolerant
  "A checker whose findings are worth keeping and no verdict: rare operations may never succeed."
  [inner]
  (reify checker/Checker
    (check [_ test history opts]
      (assoc (checker/check-safe inner test history opts) :valid? true))))

(defn- agreement
  "Whether both judges give each invariant the same verdict."
  [judgement {:keys [rows skipped exit err]}]
  (let [word      (fn [{:keys [valid?]}] (case valid? true "PASS", false "FAIL", "-"))
        different (for [[id status] rows
                        :let [ours (word (get judgement id))
                              theirs (if (= "UNKN" status) "-" status)]
                        :when (and (get judgement id) (not= ours theirs))]
                    {:invariant id, :clojure ours, :rust theirs})]
    (cond skipped        {:valid? true, :skipped skipped}
          (empty? rows)  {:valid? :unknown, :exit exit, :err err}
          :else          {:valid? (empty? different), :compared (count rows), :different (vec different)})))

(defn- notes
  [{:keys [coverage nodes elle rust linearizable]}]
  (concat (map #(str "coverage: " %) (:missing coverage))
          [(str "faults that took hold: " (pr-str (:faults coverage)) ", leases that ran out under their holder: " (:takeovers coverage))]
          (map #(str "node: " %) (:deaths nodes))
          (map #(str "log of " (first %) ": " (second %)) (:lines nodes))
          (when (seq (:unknown linearizable))
            [(str "Knossos gave up on " (str/join ", " (keys (:unknown linearizable))))])
          [(str "Elle: " (pr-str (:valid? elle))
                (when (seq (:anomaly-types elle)) (str " " (pr-str (:anomaly-types elle)))))]
          (if (:skipped rust)
            [(str "Rust judge: skipped, " (:skipped rust))]
            [(str "Rust judge: " (case (:valid? rust) true "agrees", false "DISAGREES", "gave no verdict")
                  (when (seq (:different rust)) (str " " (pr-str (:different rust)))))])))

(defn- run-facts
  [test ops valid?]
  {:workload    (:workload test)
   :nemesis     (:nemesis-name test)
   :nodes       (:nodes test)
   :duration-s  (/ (reduce max 0 (keep :time ops)) 1e9)
   :time-limit  (:time-limit test)
   :concurrency (:concurrency test)
   :rate        (:rate test)
   :seed        (:test-seed test)
   :digest      (:digest test)
   :valid?      valid?})

(defn- write-report!
  [test ops {:keys [judgement linearizable valid?] :as results}]
  (let [text (report/text {:run             (run-facts test ops valid?)
                           :ops             ops
                           :linearizability {:valid? (:valid? linearizable), :checker "knossos"
                                             :anomalies (count (:anomalies linearizable))}
                           :judgement       judgement
                           :notes           (notes results)})]
    (spit (store/path! test "report.txt") text)
    (spit (store/path! test "report.html") (timeline/html ops judgement text))
    (spit (store/path! test "schedule.edn") (schedule/edn-text (:schedule test)))
    (println (str "\n" text))))

(defrecord Everything [parts]
  checker/Checker
  (check [_ test history opts]
    (let [results   (checker/check (checker/compose parts) test history opts)
          judgement (get-in results [:invariants :judgement])
          rust      (agreement judgement (:rust results))
          results   (assoc results :rust rust)
          valid?    (checker/merge-valid (map :valid? (vals (dissoc results :valid?))))
          results   (assoc results :valid? valid?)]
      (try (write-report! test (plain history) (assoc results :judgement judgement))
           (catch Exception e (warn e "the report was not written")))
      results)))

(defn checker
  []
  (->Everything {:invariants   (->Invariants)
                 :linearizable (knossos/->Checker knossos-limit-ms)
                 :elle         (elle/->Checker)
                 :coverage     (->Coverage)
                 :nodes        (->Nodes)
                 :rust         (->RustJudge)
                 :exceptions   (checker/unhandled-exceptions)
                 :stats        (tolerant (checker/stats))
                 :perf         (perf)
                 :clock        (tolerant (checker/clock-plot))
                 :timeline     (tolerant (op-timeline/html))}))
