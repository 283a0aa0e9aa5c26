(ns gossip-rs.cli-test
  (:require [clojure.java.io :as io]
            [clojure.string :as str]
            [clojure.test :refer [deftest is testing]]
            [clojure.tools.cli :as tools]
            [gossip-rs.cli :as cli]
            [gossip-rs.phases :as phases]
            [gossip-rs.schedule :as schedule]
            [gossip-rs.workload :as workload]
            [jepsen.generator :as gen]
            [jepsen.generator.context :as context]
            [jepsen.generator.test :as gen-test]
            [jepsen.store :as store]))

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
    (is (= 4 (count before) (count (distinct (map :op-id before)))) "a refusal is no answer to replay")
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

(defn- parsed
  "What a command makes of its arguments."
  [command & arguments]
  (let [{:keys [opt-spec opt-fn]} (get cli/commands command)]
    (opt-fn (tools/parse-opts arguments opt-spec))))

(defn- refusal
  "What a command complains of."
  [& arguments]
  (with-redefs [cli/answers?      (constantly false)
                cli/with-contract (fn [parsed _] parsed)
                cli/ip            identity]
    (:errors (apply parsed arguments))))

(deftest a-wrong-flag-is-one-line-that-names-it
  (doseq [[flag & arguments] [["--nodes-file" "--nodes-file" "/nonexistent"]
                              ["--nodes" "--nodes" "n1,n2"]
                              ["--nodes" "--nodes" "n1,n1,n2"]
                              ["--nodes" "--nodes" "3" "-n" "n1" "-n" "n4"]
                              ["--nodes" "--nodes" "1" "--nemesis" "membership"]
                              ["--nodes" "--nodes" "1" "--workload" "gossip-convergence" "--nemesis" "none"]
                              ["--nodes" "--workload" "full-lifecycle"]
                              ["--rate" "--rate" "0"]
                              ["--rate" "--rate" "Infinity"]
                              ["--concurrency" "--concurrency" "abc"]
                              ["--concurrency" "--nodes" "3" "--concurrency" "1"]
                              ["--concurrency" "--nodes" "3" "--concurrency" "500n"]
                              ["--concurrency" "--nodes" "3" "--concurrency" "99999999999999999999"]
                              ["--time-limit" "--time-limit" "-1"]
                              ["--time-limit" "--time-limit" "soon"]
                              ["--time-limit" "--nodes" "3" "--time-limit" "6"]
                              ["--test-count" "--test-count" "0"]
                              ["--test-seed" "--test-seed" "x"]
                              ["--workload" "--workload" "full"]
                              ["--nemesis" "--nemesis" "chaos"]
                              ["--ssh-private-key" "--ssh-private-key" "/nonexistent"]
                              ["--bin" "--bin" "/nonexistent"]
                              ["--mutannt" "--mutannt" "m"]
                              ["full-lifecycle" "full-lifecycle"]]]
    (testing (pr-str arguments)
      (let [[line] (apply refusal "test" arguments)]
        (is (string? line))
        (is (str/includes? (str line) flag))))))

(deftest a-refusal-is-short
  (is (= ["--nodes: a cluster has 1, 3 or 5 nodes, not 2"] (refusal "test" "--bin" "/bin/sh" "--nodes" "n1,n2")))
  (is (= ["--concurrency 2: full-lifecycle needs at least 3, of which one watches what the nodes see of each other"
          "--time-limit 6: one fault of combined and its end take up to 7 s"]
         (refusal "test" "--bin" "/bin/sh" "--nodes" "3" "--workload" "full-lifecycle" "--nemesis" "combined" "--concurrency" "2" "--time-limit" "6"))))

(deftest a-program-that-is-not-there-is-refused-also-where-no-flag-names-it
  (with-redefs [cli/with-contract (fn [parsed _] parsed)
                cli/ip            identity]
    (let [{:keys [opt-spec opt-fn]} (get cli/commands "test")]
      (is (= ["--bin /gone: is no executable file: cargo build --release"]
             (:errors (opt-fn (assoc-in (tools/parse-opts ["--nodes" "3"] opt-spec) [:options :bin] "/gone"))))))))

(deftest a-node-that-nobody-knows-is-refused
  (with-redefs [cli/with-contract (fn [parsed _] parsed)
                cli/ip            {"n1" "10.0.0.1"}]
    (let [[line & more] (:errors (parsed "test" "--bin" "/bin/sh" "--nodes" "n1,n2,n3"))]
      (is (empty? more))
      (is (str/starts-with? line "--nodes: no such host: n2, n3;")))))

(deftest what-is-announced-is-what-the-report-says-and-no-more
  (let [parsed (#'cli/parse-stored (tools/parse-opts ["--nodes" "3" "--test-seed" "7" "--mutant" "m"] (:opt-spec (get cli/commands "test"))))]
    (with-redefs [cli/sub-seed (fn [seed _] seed)]
      (is (= (str "lein run test --nodes n1,n2,n3 --workload lease-exclusivity --nemesis pause-random-node --time-limit 60"
                  " --concurrency 10 --rate 40.0 --test-seed 7 --mutant m")
             (str/trim (with-out-str (#'cli/announced (assoc (:options parsed) :bin "../../target/release/gossip-worker")))))))))

(deftest what-makes-sense-is-not-refused
  (is (empty? (refusal "test" "--bin" "/bin/sh" "--nodes" "3")))
  (is (empty? (refusal "test" "--bin" "/bin/sh" "--nodes" "n1" "-n" "n2" "-n" "10.0.0.3" "--concurrency" "2n")))
  (testing "on one node the pairs that need more are left out, unless none is left"
    (is (empty? (refusal "test-all" "--bin" "/bin/sh" "--nodes" "1")))
    (is (seq (refusal "test-all" "--bin" "/bin/sh" "--nodes" "1" "--nemesis" "membership")))))

(deftest nodes-come-from-every-flag-and-else-from-those-that-answer
  (let [file  (doto (java.io.File/createTempFile "nodes" nil) (spit "\n a1 \n\na2\n"))
        nodes (fn [answering & arguments]
                (with-redefs [cli/answers?      answering
                              cli/with-contract (fn [parsed _] parsed)
                              cli/ip            identity]
                  (:nodes (:options (apply parsed "test" "--bin" "/bin/sh" arguments)))))]
    (is (= ["a1" "a2" "n1"] (nodes nil "--nodes-file" (str file) "--node" "n1")))
    (is (= ["n1" "n2" "n3"] (nodes (complement #{"n4"}))) "four make no cluster")
    (is (= ["n1" "n2" "n3" "n4" "n5"] (nodes (constantly true))))
    (io/delete-file file)))

(deftest what-is-not-stored-cannot-be-judged-again
  (doseq [which ["/tmp" "nope" "123456"]]
    (is (= [(str "--test " which ": no such run is stored here; give its folder under store, or a number such as -1, the last")]
           (refusal "analyze" "-t" which))))
  (with-redefs [store/test {-1 {:argv ["test" "--nodes" "3"]}}]
    (is (empty? (refusal "analyze")))))

(deftest every-command-explains-itself-whatever-else-is-wrong
  (doseq [command ["test" "test-all" "analyze" "serve"]]
    (is (str/includes? (:summary (parsed command "--help" "--rate" "0")) "--help") command)))

(deftest a-stored-run-is-judged-without-any-node
  (with-redefs [cli/answers? (constantly false)]
    (let [nodes #(:nodes (:options (#'cli/parse-stored (tools/parse-opts % (:opt-spec (get cli/commands "test"))))))]
      (is (= ["n1" "n2" "n3" "n4" "n5"] (nodes [])))
      (is (= ["n1" "n2" "n3"] (nodes ["--nodes" "3"])))
      (is (= ["n1" "n2" "n3" "n4" "n5"] (nodes ["--nodes-file" "/gone"]))))))
