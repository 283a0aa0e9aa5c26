(ns gossip-rs.cli-test
  (:require [clojure.java.io :as io]
            [clojure.test :refer [deftest is testing]]
            [clojure.tools.cli :as tools]
            [gossip-rs.cli :as cli]
            [gossip-rs.phases :as phases]
            [gossip-rs.schedule :as schedule]
            [gossip-rs.workload :as workload]
            [jepsen.generator :as gen]
            [jepsen.generator.context :as context]
            [jepsen.generator.test :as gen-test]))

(defn- options
  [workload nemesis seed]
  (let [options {:workload workload, :nemesis-name nemesis, :nodes ["n1" "n2" "n3"], :concurrency 4, :time-limit 20
                 :rate 20.0, :test-seed seed}]
    (merge options (cli/plan-of options))))

(deftest the-seed-decides-schedule-and-intents
  (doseq [nemesis (keys schedule/nemeses)]
    (let [digest #(:digest (options "full-lifecycle" nemesis %))]
      (is (= (digest 7) (digest 7)) nemesis)
      (is (not= (digest 7) (digest 8)) nemesis))))

(deftest each-run-has-its-own-seed-and-the-first-is-the-one-given
  (is (= 7 (cli/sub-seed 7 0)))
  (is (= 10 (count (distinct (map #(cli/sub-seed 7 %) (range 10)))))))

(deftest a-checkout-without-a-build-is-refused
  (let [root (io/file (System/getProperty "java.io.tmpdir") (str "gossip-" (random-uuid)))
        out  (io/file root "target/release/build/gossip-proto-1/out/gossip_descriptors.bin")]
    (is (= ["no descriptor set"] (map #(re-find #"^no descriptor set" %) (:errors (cli/with-contract {} root)))))
    (io/make-parents out)
    (spit out "")
    (is (nil? (:errors (cli/with-contract {} root))))
    (run! io/delete-file (reverse (file-seq root)))))

(defn- refused
  "Simulates a run in which the service refuses all that workers try."
  [options n]
  (gen-test/simulate (context/context {:concurrency 4})
                     (gen/limit n (phases/generator options))
                     (fn [_ {:keys [f process] :as op}]
                       (-> (assoc op :type (cond (= :nemesis process) :info, (= :register f) :ok, :else :fail)
                                  :error [:lease-held "held"])
                           (update :time + 1000000)))))

(deftest every-workload-registers-and-then-works
  (doseq [{:keys [name cancels?]} workload/catalogue]
    (testing name
      (let [ops (filter #(= :invoke (:type %)) (refused (options name "pause-random-node" 7) 120))]
        (is (= (if cancels? [:register :register] [:register]) (map :f (take-while #(= :register (:f %)) ops))))
        (is (some #{:acquire :claim} (map :f ops)))))))

(deftest a-run-is-ended-too-early-more-than-once
  (let [steps  (#'phases/side-steps 7 30000)
        before (filter #(= :complete-run (:f %)) (take-while #(not= :cancel-run (:f %)) steps))]
    (is (apply < (map :at steps)))
    (is (= 4 (count before) (count (distinct (map (comp :op-id :value) before)))) "a refusal is no answer to replay")
    (is (not-any? :op-id steps) "each is sent under the op id that the history tells")
    (is (< 2000 (- (:at (second before)) (:at (first before)))) "one fault takes one of them")))

(deftest faults-come-at-their-offsets
  (let [options (options "lease-exclusivity" "pause-random-node" 7)
        ops     (refused options 400)
        begun   (:time (first (remove #(= :register (:f %)) ops)))
        steps   (take-nth 2 (filter #(and (= :nemesis (:process %)) (not= :heal (:f %))) ops))]
    (is (< 1 (count steps)))
    (doseq [[{:keys [at f]} op] (map vector (:schedule options) steps)]
      (is (= f (:f op)))
      (is (<= 0 (- (quot (- (:time op) begun) 1000000) at) 100)))))

(defn- served
  "Simulates a run of no load in which these nodes answer no final read. What was asked at the end, and of whom."
  [options mute]
  (->> (gen-test/simulate (context/context {:concurrency 4})
                          (phases/generator options)
                          (fn [_ {:keys [f process value] :as op}]
                            (-> (assoc op :type (cond (= :nemesis process)                          :info
                                                      (and (:final? value) (mute (:node value)))    :fail
                                                      (#{:register :read-run :read-view
                                                         :complete-run :cancel-run} f)              :ok
                                                      :else                                         :fail)
                                          :error [:lease-held "held"])
                                (update :time + 1000000))))
       (filter #(and (not= :invoke (:type %)) (:final? (:value %))))))

(deftest a-node-that-does-not-answer-takes-no-other-nodes-time
  (let [options (assoc (options "full-lifecycle" "none" 7) :time-limit 1)
        asked   (served options #{"n1"})
        ok      (fn [f] (set (map (comp :node :value) (filter #(and (= f (:f %)) (= :ok (:type %))) asked))))]
    (is (= #{"n2" "n3"} (ok :read-run) (ok :read-view)))
    (testing "and is asked more than once"
      (is (< 5 (count (filter #(= "n1" (:node (:value %))) asked)))))))

(defn- remembers
  "A service of runs that loses every answer of `lost`, a number of a call, and else says how each run stands."
  [lost]
  (let [runs (atom {}), calls (atom 0)]
    (fn [_ {:keys [f process value] :as op}]
      (let [run    (:run value)
            status (get @runs run)
            fail   #(assoc op :type :fail, :error [% ""])
            done   #(do (swap! runs assoc run %) (assoc op :type :ok))
            answer (cond (= :nemesis process)                     (assoc op :type :info)
                         (= :register f)                          (if status (fail :run-exists) (done :active))
                         (not (#{:fail-run :cancel-run :complete-run :delete-run :read-run} f)) (fail :lease-held)
                         (nil? status)                            (fail :run-not-found)
                         (= :read-run f)                          (assoc op :type :ok)
                         (and (= :delete-run f) (= :active status)) (fail :run-not-ended)
                         (= :delete-run f)                        (done nil)
                         (= :active status)                       (done :ended)
                         :else                                    (fail :run-ended))]
        (-> (if (and (not= :nemesis process) (zero? (mod (swap! calls inc) lost)))
              (assoc op :type :info, :error [:timeout ""])
              answer)
            (update :time + 1000000))))))

(deftest brief-runs-are-deleted-after-their-end-and-gone-from-every-node
  (doseq [lost [1000000 7 3]]
    (let [options (assoc (options "full-lifecycle" "none" 7) :time-limit 6)
          ops     (gen-test/simulate (context/context {:concurrency 4}) (phases/generator options) (remembers lost))
          brief   (filter #(and (some #{(:run (:value %))} phases/brief-runs) (not= :invoke (:type %))) ops)
          ended   (fn [f type & [reason]]
                    (set (map (comp :run :value)
                              (filter #(and (= [f type] [(:f %) (:type %)]) (or (nil? reason) (= reason (first (:error %))))) brief))))]
      (testing (str "one answer of " lost " is lost")
        (is (contains? (ended :delete-run :fail :run-not-ended) (last phases/brief-runs)) "it lived")
        (when (= 1000000 lost)
          (is (= (butlast phases/brief-runs)
                 (for [{:keys [f type value]} (take-while #(not= :heal (:f %)) ops)
                       :when (= [:delete-run :ok] [f type])]
                   (:run value)))
              "the load deletes all but the last"))
        (is (= (set phases/brief-runs) (into (ended :delete-run :ok) (ended :delete-run :fail :run-not-found))))
        (is (empty? (ended :read-run :ok)) "nothing is left at the end")
        (is (= (set (for [run phases/brief-runs, node (:nodes options)] [run node]))
               (set (for [{:keys [f type value error]} brief
                          :when (and (= [:read-run :fail] [f type]) (= :run-not-found (first error)))]
                      [(:run value) (:node value)]))))))))

(deftest a-stored-run-is-judged-without-any-node
  (with-redefs [cli/answers? (constantly false)]
    (let [nodes #(:nodes (:options (#'cli/parse-stored (tools/parse-opts % (:opt-spec (get cli/commands "test"))))))]
      (is (= ["n1" "n2" "n3" "n4" "n5"] (nodes [])))
      (is (= ["n1" "n2" "n3"] (nodes ["--nodes" "3"])))
      (is (= ["n1" "n2" "n3" "n4" "n5"] (nodes ["--nodes-file" "/gone"]))))))
