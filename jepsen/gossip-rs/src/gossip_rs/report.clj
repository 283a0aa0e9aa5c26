(ns gossip-rs.report
  "The JEPSEN REPORT: the same text as in the local tier, from a run's options, history and judgement."
  (:require [clojure.string :as str]
            [gossip-rs.history :as h]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.trace :as trace]))

(def ^:private width
  "Where the second column of the head begins."
  [20 23])

(defn counts
  "[operations ok fail info] of a history's client calls."
  [calls]
  (let [by-type (frequencies (map :type calls))]
    [(count calls) (by-type :ok 0) (by-type :fail 0) (by-type :info 0)]))

(defn- verdict-word
  [valid?]
  (case valid? true "PASS", false "FAIL", "UNKNOWN"))

(defn- pad
  [n text]
  (format (str "%-" n "s") text))

(defn- pad-left
  [n text]
  (format (str "%" n "s") text))

(defn- head
  [{:keys [workload nemesis nodes duration-s concurrency seed digest valid?]} calls]
  (let [[total ok fail info] (counts calls)
        [a b]                width
        title                (str "JEPSEN REPORT — " workload)
        ; Apart from the next one also where it is too long.
        column               (fn [n text] (pad n (str text "  ")))
        columns              (fn [x y z] (str/trimr (str (column a x) (column b y) z)))]
    [title
     (str/join (repeat (count title) "═"))
     (columns (str "Nodes: " (count nodes))
              (format "Duration: %.1fs" (double duration-s))
              (str "Concurrency: " concurrency))
     (str/trimr (str (column (+ a b) (str "Operations: " total " (" ok "/" fail "/" info ")")) "Nemesis: " nemesis))
     (columns (str "Result: " (verdict-word valid?)) (str "Seed: " seed) (str "Schedule: " digest))]))

(defn- linearizability
  [{:keys [valid? checker anomalies]}]
  [""
   "Linearizability:"
   (str "  Valid history: " (case valid? true "yes", false "no", "unknown")
        "     Checker: " checker
        "     Anomalies: " anomalies)])

(def ^:private columns [30 8 8])

(defn- rule
  [left middle right]
  (str left (str/join middle (map #(str/join (repeat % "─")) columns)) right))

(defn- table-row
  [name status checks]
  (let [[a b c] columns]
    (str "│ " (pad (dec a) name) "│ " (pad (dec b) status) "│" (pad-left (dec c) checks) " │")))

(defn- row-status
  [{:keys [valid? checks]}]
  (if (and (= :unknown valid?) (zero? (or checks 0)))
    "-"
    (case valid? true "PASS", false "FAIL", "UNKN")))

(def ^:private not-judged
  "Also what this workload gives nobody to judge by has its row, as that of the other judge."
  {:valid? :unknown, :checks 0})

(defn- table
  [judgement]
  (concat ["Invariant checks:"
           (rule "┌" "┬" "┐")
           (table-row "Invariant" "Status" "Checks")
           (rule "├" "┼" "┤")]
          (for [id invariants/ids, :let [result (get judgement id not-judged)]]
            (table-row (str (invariants/title id) " (" (name id) ")") (row-status result) (:checks result 0)))
          [(rule "└" "┴" "┘")]))

(def ^:private most-findings
  "Of those beside the invariants that are shown, and more where there are more kinds."
  3)

(defn- shown
  "Some findings: the first of each kind, and the next as far as there is room."
  [findings]
  (let [firsts (into #{} (map (comp first val)) (group-by :id findings))
        room   (max 0 (- most-findings (count firsts)))
        more   (into #{} (take room) (remove firsts findings))]
    (filter (some-fn firsts more) findings)))

(defn- marked
  "Ops as lines, the culprit's with what is wrong."
  [part {:keys [at message]} id]
  (let [culprit (last at)]
    (concat (for [op part]
              (cond-> (str "  " (trace/line op))
                (= culprit (:index op)) (str "   ← VIOLATION " id ": " message)))
            (when (not-any? #(= culprit (:index %)) part)
              [(str "  VIOLATION " id ": " message)]))))

(defn- trace-lines
  "What failed, and what shows it: the first violation of an invariant, then what the checkers beside them found."
  [ops judgement findings]
  (let [id        (first (filter #(false? (:valid? (get judgement %))) invariants/ids))
        violation (first (:violations (get judgement id)))
        shown     (shown findings)
        more      (+ (max 0 (dec (reduce + (map (comp count :violations) (vals judgement)))))
                     (- (count findings) (count shown)))]
    (when (or id (seq findings))
      (concat ["Failing operations:"]
              (when id
                (marked (trace/failing-trace ops id violation) violation (name id)))
              (mapcat #(marked (trace/leading-up ops %) % (:id %)) shown)
              (when (pos? more)
                [(str "  (" more " more in results.edn)")])))))

(defn- common-options
  "Options that every tier has."
  [{:keys [workload nemesis time-limit concurrency rate seed mutant]}]
  (str " --workload " workload " --nemesis " nemesis " --time-limit " time-limit " --concurrency " concurrency
       (when rate (str " --rate " rate))
       " --test-seed " seed
       (when mutant (str " --mutant " mutant))))

(defn particulars
  "What a test was given beside the options that every tier has, where it is not the usual."
  [{:keys [repo binary mutant ssh command]}]
  (cond-> {}
    command                                                      (assoc :command command)
    mutant                                                       (assoc :mutant mutant)
    (not= (str repo "/target/release/gossip-worker") binary)     (assoc :bin binary)
    (not= "root" (:username ssh "root"))                         (assoc :username (:username ssh))
    (:private-key-path ssh)                                      (assoc :ssh-private-key (:private-key-path ssh))))

(defn reproduction-line
  "The command that repeats this run's schedule and intents, by what started it: `:command`, or else lein. Nodes are named one by
  one, however they were found: a file of machines may change."
  [{:keys [nodes command bin username ssh-private-key] :as run}]
  (str (or command "lein run") " test --nodes " (str/join "," nodes) (common-options run)
       (when bin (str " --bin " bin))
       (when username (str " --username " username))
       (when ssh-private-key (str " --ssh-private-key " ssh-private-key))))

(defn- lower-tiers
  "Where it may show faster. The same seed means the same schedule of faults there."
  [{:keys [nodes] :as run}]
  ["Lower tiers:"
   (str "  gossip-verify test --nodes " (count nodes) (common-options run))
   "  make sim"])

(defn text
  "The whole report.

    :run              {:workload :nemesis :nodes [name] :duration-s :concurrency :rate :seed :digest :valid? :time-limit},
                      and :command :mutant :bin :username :ssh-private-key where they are not the usual ones
    :ops              the history
    :linearizability  {:valid? :checker :anomalies}, or nil when it was not checked
    :judgement        of `invariants/judge`
    :findings         of `findings/beside-invariants`
    :notes            lines about what else was found: [text ...]"
  [{:keys [run ops linearizability judgement findings notes]}]
  (str (str/join "\n"
                 (concat (head run (h/calls ops))
                         (when linearizability (gossip-rs.report/linearizability linearizability))
                         (table judgement)
                         (map str/trimr (trace-lines ops judgement findings))
                         (when (seq notes) (cons "Notes:" (map #(str "  " %) notes)))
                         ["Reproduction:" (str "  " (reproduction-line run))]
                         (when (false? (:valid? run)) (lower-tiers run))))
       "\n"))
