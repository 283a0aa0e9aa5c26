(ns gossip-rs.cli
  "The command line: `lein run test --workload lease-exclusivity --nemesis pause-random-node`. See --help."
  (:require [clojure.java.io :as io]
            [clojure.string :as str]
            [gossip-rs.checker :as checker]
            [gossip-rs.client :as client]
            [gossip-rs.db :as db]
            [gossip-rs.grpc :as grpc]
            [gossip-rs.nemesis :as nemesis]
            [gossip-rs.phases :as phases]
            [gossip-rs.report :as report]
            [gossip-rs.rng :as rng]
            [gossip-rs.schedule :as schedule]
            [gossip-rs.worker :as worker]
            [gossip-rs.workload :as workload]
            [jepsen.cli :as cli]
            [jepsen.net :as net]
            [jepsen.os :as os]
            [jepsen.random :as random]
            [jepsen.tests :as tests])
  (:import (java.net InetAddress InetSocketAddress Socket UnknownHostException))
  (:gen-class))

(def repo
  "The checkout: binaries and the contract's descriptors are in its target folder."
  (io/file "../.."))

(defn- one-of
  [names]
  [(set names) (str "must be one of " (str/join ", " names))])

(def ^:private workload-names (map :name workload/catalogue))

(def ^:private options
  "Of test and test-all. Those of Jepsen are merged in; where the flag is the same, ours replaces it."
  [["-w" "--workload NAME" (str "What the workers do: " (str/join ", " workload-names))
    :validate (one-of workload-names)]
   [nil "--nemesis NAME" (str "What breaks meanwhile; by default the workload's own:\n"
                              (str/join "\n" (for [[name does] schedule/nemeses]
                                               (format "%44s%-24s %s" "" name does))))
    :validate (one-of (keys schedule/nemeses))]
   [nil "--nodes NODE_LIST" "Comma-separated names, or a number: 3 is n1,n2,n3. By default those of n1 to n5 that answer"
    :parse-fn #(if (re-matches #"[1-9]" %)
                 (mapv (partial str "n") (range 1 (inc (parse-long %))))
                 (str/split % #",\s*"))
    :validate [#(and (seq %) (every? seq %) (apply distinct? %)) "must be names, each once, or a number from 1 to 9"]]
   [nil "--concurrency NUMBER" "How many workers; with an n behind it, so many for each node"
    :default "10"
    :validate [(partial re-find #"^[1-9]\d*n?$") "must be a whole number, n behind it or not"]]
   [nil "--rate HZ" "Operations a second that all workers together try"
    :default 40.0
    :parse-fn parse-double
    :validate [#(and % (pos? %)) "must be a positive number"]]
   [nil "--test-seed NUMBER" "Same seed, same schedule of faults and same intents. By default a fresh one, which is printed"
    :parse-fn parse-long
    :validate [some? "must be a whole number"]]
   [nil "--bin FILE" "The node's binary, uploaded to each node; also by the environment's BIN"
    :default (or (System/getenv "BIN") (str (io/file repo "target/release/gossip-worker")))
    :validate [#(.canExecute (io/file %)) "is no executable file: cargo build --release"]]
   [nil "--mutant NAME" "A bug to plant in every node; the binary must be built with the feature `mutants`"]])

;; Nodes

(defn- answers?
  "Whether somebody serves SSH there."
  [node]
  (try (with-open [socket (Socket.)]
         (.connect socket (InetSocketAddress. (InetAddress/getByName node) 22) 500)
         true)
       (catch java.io.IOException _ false)))

(defn- default-nodes
  "Those of n1 to n5 that answer, unless nodes were named."
  [{:keys [options] :as parsed}]
  (if (or (:nodes options) (:nodes-file options) (not= cli/default-nodes (:node options)) (:no-ssh options))
    parsed
    (let [nodes (filterv answers? cli/default-nodes)]
      (if (seq nodes)
        (assoc-in parsed [:options :nodes] nodes)
        (update parsed :errors (fnil conj []) "none of n1 to n5 answers by SSH: docker/up, or name others by --nodes")))))

(defn- addresses
  [nodes]
  (into {} (for [node nodes]
             [node (try (.getHostAddress (InetAddress/getByName node))
                        (catch UnknownHostException _ node))])))

;; Tests

(defonce ^:private runs
  ; How many tests this process has made: each run of --test-count has a seed of its own.
  (atom -1))

(defn sub-seed
  "The seed of the i-th run. The first is the seed itself, so that a printed one repeats its run."
  [seed i]
  (if (zero? i)
    seed
    (bit-and Long/MAX_VALUE (rng/bits (rng/stream seed (str "run-" i))))))

(defn plan-of
  "Plan, schedule and digest of a run, from its options alone."
  [{:keys [workload nemesis-name nodes concurrency time-limit rate test-seed]}]
  (let [plan     (workload/plan (workload/by-name workload) concurrency (* rate time-limit))
        schedule (schedule/build nemesis-name test-seed {:nodes         (vec nodes)
                                                         :workers       concurrency
                                                         :time-limit-ms (* 1000 time-limit)
                                                         :lease-ms      (workload/lease-ms workload)})]
    {:plan     plan
     :schedule schedule
     :digest   (schedule/digest schedule (worker/intents-text test-seed concurrency 64))}))

(defn gossip-test
  "The test map of a run."
  [{:keys [workload nodes] :as options}]
  (let [workload (or workload "lease-exclusivity")
        options  (assoc options
                        :workload     workload
                        :nemesis-name (or (:nemesis options) (:default-nemesis (workload/by-name workload)))
                        :test-seed    (sub-seed (:test-seed options) (swap! runs inc)))
        options  (merge options (plan-of options))]
    (merge tests/noop-test
           (dissoc options :nemesis)
           {:name         (str workload "-" (:nemesis-name options))
            :run          workload/run
            :lease-ms     (workload/lease-ms workload)
            :binary       (:bin options)
            :repo         (str repo)
            :addresses    (addresses nodes)
            :os           os/noop
            :net          net/iptables
            :db           (db/db)
            :client       (client/client)
            :nemesis      (nemesis/nemesis)
            :generator    (phases/generator options)
            :checker      (checker/checker)
            ; Not read to judge a stored run again.
            :contract     (delay (grpc/load-contract (grpc/find-contract repo)))
            :sent           (atom {})
            :paused-workers (atom #{})
            :client-faults  (atom {})
            :fault-effects  (atom 0)
            :up             (atom #{})
            :joiners        (atom #{})
            :nonserializable-keys [:contract :sent :paused-workers :client-faults :fault-effects :up :joiners]})))

(defn- announced
  "The test of a run that is about to begin. The line stands there even if the run never comes to a report."
  [options]
  (let [{:keys [workload nemesis-name nodes test-seed] :as test} (gossip-test options)]
    (println (report/reproduction-line (assoc options :workload workload :nodes nodes :seed test-seed :nemesis nemesis-name)))
    test))

(defn all-tests
  "Every workload under every nemesis, or those of the ones named, so often."
  [{:keys [workload nemesis test-count nodes] :as options}]
  (for [_        (range test-count)
        workload (if workload [workload] workload-names)
        nemesis  (if nemesis [nemesis] (keys schedule/nemeses))
        :when    (or (< 1 (count nodes)) (not (schedule/needs-peers? nemesis)))]
    (announced (assoc options :workload workload :nemesis nemesis))))

(defn- with-seed
  [parsed]
  (cli/test-opt-fn
    (update-in parsed [:options :test-seed] #(or % (abs (random/long 1000000000))))))

(defn with-contract
  "Refuses a checkout in which nothing was built: without the descriptor set every node would seem not to serve."
  [parsed root]
  (cond-> parsed
    (not (grpc/find-contract root))
    (update :errors (fnil conj []) (str "no descriptor set of the contract under " root ": cargo build --release"))))

(defn- parse
  [parsed]
  (let [{:keys [errors] :as parsed} (with-contract (default-nodes parsed) repo)]
    (if (seq errors)
      parsed
      (with-seed parsed))))

(def ^:private usage
  "Usage: lein run test [OPTIONS]

Deploys gossip-worker on the nodes by SSH, puts load on it while the nemesis breaks things by a schedule drawn from the seed,
heals everything, drives every shard to its end, and judges the history with Knossos, Elle and S1 to S8, G1 and G2.

  lein run test --workload lease-exclusivity --nemesis pause-random-node
  lein run test --nodes 3 --workload split-correctness --time-limit 60 --test-seed 7
  lein run analyze                  judges the last run again
  lein run test-all --nodes 3       every workload under every nemesis

Exit codes: 0 valid, 1 a violation, 2 unknown, 254 bad arguments, 255 a crash before anything was judged.

Options:\n")

(def commands
  "What the command line offers. To judge a stored run again no node need answer: the stored test says which it had."
  (merge (cli/single-test-cmd {:test-fn announced, :opt-spec options, :opt-fn* parse, :usage usage})
         (select-keys (cli/single-test-cmd {:test-fn gossip-test, :opt-spec options, :opt-fn* with-seed, :usage usage}) ["analyze"])
         (cli/test-all-cmd {:tests-fn all-tests, :opt-spec options, :opt-fn* parse})
         (cli/serve-cmd)))

(defn -main
  [& args]
  (cli/run! commands args))
