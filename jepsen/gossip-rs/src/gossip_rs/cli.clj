(ns gossip-rs.cli
  "The command line: `lein run test --workload lease-exclusivity --nemesis pause-random-node`. See --help."
  (:require [clojure.java.io :as io]
            [clojure.string :as str]
            [gossip-rs.checker :as checker]
            [gossip-rs.client :as client]
            [gossip-rs.db :as db]
            [gossip-rs.grpc :as grpc]
            [gossip-rs.nemesis :as nemesis]
            [gossip-rs.options :as options]
            [gossip-rs.phases :as phases]
            [gossip-rs.remote :as remote]
            [gossip-rs.report :as report]
            [gossip-rs.rng :as rng]
            [gossip-rs.schedule :as schedule]
            [gossip-rs.worker :as worker]
            [gossip-rs.workload :as workload]
            [jepsen.cli :as cli]
            [jepsen.net :as net]
            [jepsen.os :as os]
            [jepsen.random :as random]
            [jepsen.store :as store]
            [jepsen.tests :as tests])
  (:import (java.net InetAddress InetSocketAddress Socket UnknownHostException))
  (:gen-class))

(def repo
  "The checkout: binaries and the contract's descriptors are in its target folder."
  (io/file "../.."))

(def ^:private binary
  (or (System/getenv "BIN") (str (io/file repo "target/release/gossip-worker"))))

(defn- complain
  [parsed & lines]
  (update parsed :errors (fnil into []) lines))

;; Nodes

(defn- answers?
  "Whether somebody serves SSH there."
  [node]
  (try (with-open [socket (Socket.)]
         (.connect socket (InetSocketAddress. (InetAddress/getByName node) 22) 500)
         true)
       (catch java.io.IOException _ false)))

(defn- with-nodes
  "The options with every node that was named under `:nodes`, or else with those of n1 to n5 that answer."
  [{:keys [options] :as parsed}]
  (let [named (options/all-nodes options)
        nodes (if (seq named) named (options/cluster-of (filterv answers? cli/default-nodes)))]
    (cond-> (update parsed :options #(-> % (dissoc :node :nodes-file) (assoc :nodes nodes)))
      (empty? nodes) (complain "none of n1 to n5 answers by SSH: docker/up, or name others by --nodes"))))

(defn- ip
  "A node's address, or nil."
  [node]
  (try (.getHostAddress (InetAddress/getByName node))
       (catch UnknownHostException _ nil)))

(defn- with-addresses
  "Refuses nodes that this machine does not know."
  [{:keys [options] :as parsed}]
  (let [unknown (remove ip (:nodes options))]
    (cond-> parsed
      (seq unknown) (complain (str "--nodes: no such host: " (str/join ", " unknown)
                                   "; the containers' names are known in control: see jepsen/gossip-rs/README.md")))))

(defn- addresses
  [nodes]
  (into {} (for [node nodes] [node (or (ip node) node)])))

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
  (let [workload (or workload options/default-workload)
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
            :command      (System/getenv "GOSSIP_COMMAND")
            :os           os/noop
            :net          net/iptables
            :remote       (remote/ssh)
            :db           (db/db)
            :client       (client/client)
            :nemesis      (nemesis/nemesis)
            :generator    (phases/generator options)
            :checker      (checker/checker)
            ; Not read to judge a stored run again.
            :contract     (delay (grpc/load-contract (grpc/find-contract repo)))
            :sent           (atom {})
            :paused-workers (atom {})
            :client-faults  (atom {})
            :fault-effects  (atom 0)
            :up             (atom #{})
            :joiners        (atom #{})
            :away           (atom #{})
            :nonserializable-keys [:contract :sent :paused-workers :client-faults :fault-effects :up :joiners :away]})))

(defn- announced
  "The test of a run that is about to begin. The line stands there even if the run never comes to a report."
  [options]
  (let [{:keys [nemesis-name test-seed] :as test} (gossip-test options)]
    (println (report/reproduction-line (merge (select-keys test [:workload :nodes :time-limit :concurrency :rate])
                                              {:nemesis nemesis-name, :seed test-seed}
                                              (report/particulars test))))
    test))

(defn- pairs-of-one
  "The pair [workload nemesis] that these options name, in a list."
  [{:keys [workload nemesis]}]
  (let [workload (or workload options/default-workload)]
    [[workload (or nemesis (:default-nemesis (workload/by-name workload)))]]))

(defn- pairs-of-all
  "Those that these options name, and that make sense on so many nodes; if none does, all of them."
  [{:keys [workload nemesis nodes]}]
  (let [pairs (for [workload (if workload [workload] options/workload-names)
                    nemesis  (if nemesis [nemesis] (keys schedule/nemeses))]
                [workload nemesis])]
    (or (seq (remove (partial apply options/needs-more-nodes nodes) pairs)) pairs)))

(defn all-tests
  "Every workload under every nemesis, or those of the ones named, so often."
  [{:keys [test-count] :as options}]
  (for [_                  (range test-count)
        [workload nemesis] (pairs-of-all options)]
    (announced (assoc options :workload workload :nemesis nemesis))))

;; Commands

(defn- with-seed
  [parsed]
  (cli/test-opt-fn
    (update-in parsed [:options :test-seed] #(or % (abs (random/long 1000000000))))))

(defn with-contract
  "Refuses a checkout in which nothing was built: without the descriptor set every node would seem not to serve."
  [parsed root]
  (cond-> parsed
    (not (grpc/find-contract root))
    (complain (str "no descriptor set of the contract under " root ": cargo build --release"))))

(defn- with-binary
  "Refuses a node's program that is not there, also where no flag named it."
  [{:keys [options] :as parsed}]
  (cond-> parsed
    (not (options/program? (:bin options)))
    (complain (str "--bin " (:bin options) ": is no executable file: cargo build --release"))))

(def ^:private bug-table
  "Every bug that can be planted, one a line."
  (io/file repo "crates/gossip-core/src/mutants.rs"))

(defn- with-bug
  "Refuses a bug that nobody planted. The nodes would refuse it as well, but only when they start."
  [{:keys [options] :as parsed}]
  (let [{:keys [mutant]} options]
    (cond-> parsed
      (and mutant (not-any? #{mutant} (if (.isFile bug-table) (options/planted (slurp bug-table)) [])))
      (complain (str "--mutant " mutant ": no planted bug has this name; they stand in crates/gossip-core/src/mutants.rs")))))

(defn- with-problems
  [{:keys [options] :as parsed} pairs-of]
  (apply complain parsed (options/problems options (pairs-of options))))

(defn- step-by-step
  "What was parsed, after each of these steps until one complains."
  [parsed & steps]
  (reduce (fn [parsed step] (if (seq (:errors parsed)) (reduced parsed) (step parsed)))
          parsed
          steps))

(defn- parse
  [pairs-of parsed]
  (step-by-step parsed with-nodes with-seed #(with-problems % pairs-of) with-addresses with-bug with-binary #(with-contract % repo)))

(defn- parse-stored
  "Of the options that a stored run was given: its nodes need not answer, nor need its files still be there."
  [{:keys [options] :as parsed}]
  (let [named (options/all-nodes options)]
    (with-seed (update parsed :options #(-> % (dissoc :node :nodes-file)
                                            (assoc :nodes (if (seq named) named cli/default-nodes)))))))

(defn- find-stored
  "Complains of a test that is not in the store, or that no command of ours left there."
  [{:keys [options] :as parsed}]
  (let [which (:test options)
        argv  (try (:argv (store/test which))
                   (catch Exception _ nil))]
    (cond-> parsed
      (not (#{"test" "test-all"} (first argv)))
      (complain (str "--test " which ": no such run is stored here; give its folder under store, or a number such as -1, the last")))))

(defn- run-all!
  [{:keys [options]}]
  (-> (all-tests options)
      cli/test-all-run-tests!
      cli/test-all-print-summary!
      keys
      options/exit-code-of-all
      System/exit))

(defn- judge!
  "Judges a stored run again, as Jepsen does, and exits with the verdict's code, which Jepsen does not."
  [run]
  (fn [parsed]
    (System/exit (options/exit-code (:valid? (:results (run parsed)))))))

(defn- ours
  "A command of Jepsen's that takes our flags and explains them in our order. `prepare` is what becomes of them."
  [[command spec] prepare]
  [command
   (assoc spec
          :opt-spec (options/specs command binary)
          :usage    (options/usage command)
          :opt-fn   (fn [{:keys [options arguments] :as parsed}]
                      (cond (:help options)   (assoc parsed :summary (options/explanation command binary))
                            (seq arguments)   (complain parsed (str (first arguments) ": no option; see lein run " command " --help"))
                            :else             (step-by-step parsed prepare))))])

(def commands
  "What the command line offers. To judge a stored run again no node need answer: the stored test says which it had."
  (let [of-jepsen (merge (cli/single-test-cmd {:test-fn announced})
                         (cli/test-all-cmd {:tests-fn all-tests})
                         (cli/serve-cmd))
        analyze   (get (cli/single-test-cmd {:test-fn  gossip-test
                                             :opt-spec (options/specs "test" binary)
                                             :opt-fn*  parse-stored})
                       "analyze")]
    (into {} [(ours (find of-jepsen "test") (partial parse pairs-of-one))
              (ours ["test-all" (assoc (of-jepsen "test-all") :run run-all!)] (partial parse pairs-of-all))
              (ours ["analyze" (update analyze :run judge!)] find-stored)
              (ours (find of-jepsen "serve") (:opt-fn (of-jepsen "serve")))])))

(defn -main
  [& [command :as args]]
  (if (contains? commands command)
    (cli/run! commands args)
    (do (println options/overview)
        (System/exit (if (#{"help" "--help" "-h"} command) 0 254)))))
