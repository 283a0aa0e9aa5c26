(ns gossip-rs.cli-arguments-test
  "What the commands make of their arguments."
  (:require [clojure.java.io :as io]
            [clojure.string :as str]
            [clojure.test :refer [deftest is testing]]
            [clojure.tools.cli :as tools]
            [gossip-rs.cli :as cli]
            [jepsen.store :as store]))

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
                              ["--mutant" "--nodes" "3" "--mutant" "no-such-bug"]
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

(deftest a-bug-that-nobody-planted-is-one-line
  (is (= ["--mutant fence-uncheckt: no planted bug has this name; they stand in crates/gossip-core/src/mutants.rs"]
         (refusal "test" "--bin" "/bin/sh" "--nodes" "3" "--mutant" "fence-uncheckt"))))

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
  (is (empty? (refusal "test" "--bin" "/bin/sh" "--nodes" "3" "--mutant" "live-run-deletable")))
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
