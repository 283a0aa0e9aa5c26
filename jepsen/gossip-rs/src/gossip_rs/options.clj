(ns gossip-rs.options
  "The flags of each command, the text that explains them, and why some are refused before anything starts. Pure, but for
  looking whether a file that a flag names is there.

  Flags are given as tools.cli wants them, in groups and in the order in which they are explained."
  (:require [clojure.java.io :as io]
            [clojure.string :as str]
            [gossip-rs.schedule :as schedule]
            [gossip-rs.workload :as workload]))

(def default-workload "lease-exclusivity")

(def workload-names (map :name workload/catalogue))

(def ^:private help
  ["-h" "--help" "Explains this command, and does nothing"])

;; Values

(defn node-list
  "Names from a flag: a number n stands for n1 to n<n>."
  [text]
  (if (re-matches #"[1-9]" text)
    (mapv (partial str "n") (range 1 (inc (parse-long text))))
    (str/split text #",\s*")))

(defn nodes-in
  "Names from a file, one to a line; none when it cannot be read."
  [file]
  (try (->> (str/split-lines (slurp file))
            (map str/trim)
            (remove str/blank?)
            vec)
       (catch java.io.IOException _ [])))

(defn- one-of
  [names]
  [(set names) (str "must be one of " (str/join ", " names))])

(defn- whole
  "A whole number from 1 to most."
  [most]
  [#(and % (<= 1 % most)) (str "must be a whole number from 1 to " most)])

(defn- readable?
  [file]
  (let [file (io/file file)]
    (and (.isFile file) (.canRead file))))

(defn program?
  [file]
  (and (readable? file) (.canExecute (io/file file))))

(def ^:private longest-s "A week." 604800)

(def ^:private most-workers 1000)

;; Flags. `:shown` is what stands for a default that a flag has no value for. Flags that Jepsen has as well are spelled as there
;; to the letter, since it takes ours in place of its own by that.

(defn- run-flags
  [all?]
  [["-w" "--workload NAME" "What the workers do; see below"
    :shown (if all? "every workload" default-workload)
    :validate (one-of workload-names)]
   [nil "--nemesis NAME" "What goes wrong meanwhile; see below"
    :shown (if all? "every nemesis" "the workload's own, in brackets below")
    :validate (one-of (keys schedule/nemeses))]
   [nil "--nodes NODE_LIST" "1, 3 or 5 names, separated by commas; 3 is n1,n2,n3"
    :shown "those of n1 to n5 that answer by SSH"
    :parse-fn node-list
    :validate [#(and (seq %) (every? (complement str/blank?) %)) "must be names, or a number from 1 to 9"]]
   [nil "--time-limit SECONDS" "How long the load runs; start, healing and judging take about a minute more"
    :default 60
    :parse-fn parse-long
    :validate (whole longest-s)]
   [nil "--concurrency NUMBER" "Workers that work at the same time; 2n is two for each node"
    :default "10"
    :validate [(partial re-find #"^[1-9]\d{0,3}n?$") "must be a whole number, n behind it or not"]]
   [nil "--rate HZ" "Operations a second that all workers together try"
    :default 40.0
    :parse-fn parse-double
    :validate [#(and % (<= 0.01 % 1000000.0)) "must be a number from 0.01 to 1000000"]]
   [nil "--test-seed NUMBER" "Same seed, same schedule of faults and same intents"
    :shown "a fresh one, printed"
    :parse-fn parse-long
    :validate [#(and % (<= 0 %)) "must be a whole number, not below 0"]]
   [nil "--test-count NUMBER" (if all?
                                "How often all of it is run, each run with a seed of its own"
                                "Runs in a row, each with a seed of its own; ends at the first that is not valid")
    :default 1
    :parse-fn parse-long
    :validate (whole 100000)]])

(defn- node-flags
  [binary]
  [[nil "--bin FILE" "The program to upload to each node; also by the environment's BIN"
    :default binary
    :validate [program? "is no executable file: cargo build --release"]]
   [nil "--mutant NAME" "A bug of gossip-core/src/mutants.rs to plant in every node; the program must have the feature `mutants`"]
   [nil "--leave-db-running" "Leaves the nodes running at the end, for a look at them"
    :default false, :shown "no"]])

(def ^:private ssh-flags
  [["-n" "--node HOSTNAME" "One node; may be given several times, and is added to those of --nodes"
    :assoc-fn (fn [options id node] (update options id (fnil conj []) node))
    :validate [(complement str/blank?) "must be a name"]]
   [nil "--nodes-file FILENAME" "Nodes from a file, one to a line"
    :validate [(comp seq nodes-in) "must be a readable file with a node's name on each line"]]
   [nil "--username USER" "Who logs in"
    :default "root"]
   [nil "--password PASS" "For sudo"
    :default "root"]
   [nil "--ssh-private-key FILE" "The key to log in with"
    :shown "those of SSH"
    :validate [readable? "is no readable file"]]
   [nil "--strict-host-key-checking" "Refuses a node whose host key SSH does not know"
    :default false, :shown "no"]])

(def ^:private other-flags
  [[nil "--logging-json" "Writes Jepsen's log as JSON"
    :default false, :shown "no"]
   help])

(defn groups
  "What a command takes: [[title [flag ...]] ...]. `binary` is what nodes run unless the user names another."
  [command binary]
  (case command
    ("test" "test-all") [["What is run" (run-flags (= "test-all" command))]
                         ["What runs on the nodes" (node-flags binary)]
                         ["How the nodes are reached" ssh-flags]
                         ["Other" other-flags]]
    "analyze" [["Options" [["-t" "--test WHICH" "A folder under store, or a number: 0 is the first run there, -1 the last"
                            :default -1
                            :parse-fn #(or (parse-long %) %)]
                           help]]]
    "serve"   [["Options" [["-b" "--host ADDRESS" "Where to listen"
                            :default "0.0.0.0"]
                           ["-p" "--port NUMBER" "The port"
                            :default 8080
                            :parse-fn parse-long
                            :validate (whole 65535)]
                           help]]]))

(defn specs
  "A command's flags for tools.cli."
  [command binary]
  (into [] (comp (mapcat second)
                 (map (fn [[short long text & {:as more}]] (into [short long text] cat (dissoc more :shown)))))
        (groups command binary)))

;; Explanation

(defn- line
  "Two columns."
  [left right]
  (format "  %-34s %s" left right))

(defn- flag-line
  [[short long text & {:keys [default shown]}]]
  (line (str (if short (str short ", ") "    ") long)
        (str text (when-let [default (or shown default)] (str " [default: " default "]")))))

(defn- first-sentence
  "Of what stands at the head of a workload's file."
  [workload]
  (let [space (find-ns (symbol (str "gossip-rs.workload." workload)))]
    (-> (:doc (meta space))
        (str/split #"\.\s" 2)
        first
        (str/replace #"\s+" " ")
        (str/replace #"\.$" ""))))

(def ^:private catalogue
  "Workloads and nemeses, for whoever must choose."
  (delay
    (concat [""
             "Workloads. The head of each one's file in src/gossip_rs/workload says more, and what would be a violation."]
            (for [{:keys [name default-nemesis]} workload/catalogue]
              (line name (str (first-sentence name) " [" default-nemesis "]")))
            ["" "Nemeses"]
            (for [[name does] schedule/nemeses] (line name does)))))

(def ^:private abouts
  {"test"     "Deploys gossip-worker on the nodes by SSH, puts load on it while the nemesis breaks things by a schedule drawn from the seed,
heals everything, drives every shard to its end, and judges the history with Knossos, Elle, S1 to S8, G1 and G2, and the
Rust judge. Results are in store/latest: read report.txt first, then report.html.

Healing flushes every iptables rule of the nodes and removes /opt/gossip there: take machines that are for this alone."
   "test-all" "Runs every workload under every nemesis, or those that you name, one after the other, as `test` does. Goes on after a run
that fails, and lists at the end which folders hold what. With one node, pairs that need more are left out."
   "analyze"  "Judges a stored run again with today's checkers and writes its reports anew. Needs no node."
   "serve"    "Shows the results in store in a browser."})

(def ^:private verdicts
  ["" "Exit codes: 0 valid, 1 a violation, 2 unknown (nothing was violated, and too little was shown), 254 bad arguments, nothing"
   "was started, 255 a crash before anything was judged."])

(def ^:private endings
  {"test"     (concat verdicts
                      ["" "Examples"
                       "  lein run test --workload lease-exclusivity --nemesis pause-random-node"
                       "  lein run test --nodes 3 --workload split-correctness --time-limit 60 --test-seed 7"
                       "  lein run test --nodes-file ~/machines --username admin --ssh-private-key ~/.ssh/id_ed25519"])
   "test-all" ["" "Exit codes: that of the worst run, a violation before a crash before an unknown: 1, 255, 2. 0: all valid. 254: bad arguments."
               "" "Examples"
               "  lein run test-all --nodes 3 --time-limit 30"
               "  lein run test-all --nodes 3 --workload full-lifecycle --test-count 5"]
   "analyze"  (concat verdicts
                      ["" "Examples"
                       "  lein run analyze"
                       "  lein run analyze -t store/full-lifecycle-combined/20260101T120000.000Z"])
   "serve"    ["" "Example" "  lein run serve --port 8081"]})

(defn usage
  "How a command is called, and what it does."
  [command]
  (str "Usage: lein run " command " [OPTIONS]\n\n" (abouts command)))

(defn explanation
  "Everything that follows the usage: a command's flags in groups, each with its default in brackets, what there is to choose
  from, and examples."
  [command binary]
  (str/join "\n" (concat (butlast (mapcat (fn [[title flags]] (concat [title] (map flag-line flags) [""])) (groups command binary)))
                         (when (#{"test" "test-all"} command) @catalogue)
                         (endings command))))

(def overview
  "What the program can do."
  (str "Usage: lein run COMMAND [OPTIONS]\n\n"
       (str/join "\n" [(line "test" "one workload under one nemesis, and what to think of it")
                       (line "test-all" "every workload under every nemesis")
                       (line "analyze" "judges a stored run again")
                       (line "serve" "shows the results in a browser")])
       "\n\nlein run COMMAND --help explains a command."))

;; Refusals

(defn planted
  "The names of all bugs that can be planted, from the text of their table in gossip-core."
  [table]
  (mapv second (re-seq #"(?m)^ +[A-Z]\w* = \"([a-z0-9-]+)\",$" table)))

(defn all-nodes
  "Every node that was named, by whichever flag."
  [{:keys [nodes nodes-file node]}]
  (into [] cat [(when nodes-file (nodes-in nodes-file)) nodes node]))

(defn cluster-of
  "The first so many of these that a cluster can be made of."
  [nodes]
  (vec (take (or (first (filter #(<= % (count nodes)) [5 3 1])) 0) nodes)))

(defn needs-more-nodes
  "Why a workload under a nemesis makes no sense on one node, or nil."
  [nodes workload nemesis]
  (when (= 1 (count nodes))
    (cond (schedule/needs-peers? nemesis)             (str "--nodes: " nemesis " needs nodes that can be parted; take 3 or 5, not 1")
          (:needs-peers? (workload/by-name workload)) (str "--nodes: " workload " needs nodes that talk to each other; take 3 or 5, not 1"))))

(defn- bad-nodes
  [nodes]
  (let [twice (for [[node n] (frequencies nodes), :when (< 1 n)] node)]
    (cond (seq twice)                         [(str "--nodes, --node, --nodes-file: named more than once: " (str/join ", " (sort twice)))]
          (not (#{1 3 5} (count nodes)))      [(str "--nodes: a cluster has 1, 3 or 5 nodes, not " (count nodes))])))

(defn- bad-pair
  [{:keys [nodes concurrency time-limit]} [workload nemesis]]
  (let [least (workload/least-workers workload)
        cycle (long (Math/ceil (/ (schedule/cycle-ms nemesis (workload/lease-ms workload)) 1000.0)))]
    (remove nil? [(needs-more-nodes nodes workload nemesis)
                  (when (< concurrency least)
                    (str "--concurrency " concurrency ": " workload " needs at least " least
                         (when (:views? (workload/by-name workload)) ", of which one watches what the nodes see of each other")))
                  (when (< time-limit cycle)
                    (str "--time-limit " time-limit ": one fault of " nemesis " and its end take up to " cycle " s"))])))

(defn problems
  "Why a run of these pairs [workload nemesis] with these options makes no sense: lines that name the flag."
  [{:keys [nodes concurrency] :as options} pairs]
  (or (seq (bad-nodes nodes))
      (when (< most-workers concurrency)
        [(str "--concurrency " concurrency ": at most " most-workers)])
      ; One line for each flag is enough to mend it.
      (vals (into (sorted-map) (map (juxt #(first (str/split % #"[ :]")) identity))
                  (reverse (mapcat (partial bad-pair options) pairs))))))

;; Verdicts

(defn exit-code
  "Of a run."
  [valid?]
  (case valid? true 0, false 1, 2))

(defn exit-code-of-all
  "Of many: their verdicts, :crashed among them. What was violated stays so whatever became of the others."
  [verdicts]
  (let [verdicts (set verdicts)]
    (cond (contains? verdicts false)     1
          (contains? verdicts :crashed)  255
          (contains? verdicts :unknown)  2
          :else                          0)))
