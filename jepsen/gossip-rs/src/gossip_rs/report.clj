(ns gossip-rs.report
  "The JEPSEN REPORT: the same text as in the local tier, from a run's options, history and judgement."
  (:require [clojure.string :as str]
            [gossip-rs.history :as h]
            [gossip-rs.invariants :as invariants]))

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
        columns              (fn [x y z] (str/trimr (str (pad a x) (pad b y) z)))]
    [title
     (str/join (repeat (count title) "═"))
     (columns (str "Nodes: " (count nodes))
              (format "Duration: %.1fs" (double duration-s))
              (str "Concurrency: " concurrency))
     (str/trimr (str (pad (+ a b) (str "Operations: " total " (" ok "/" fail "/" info ")")) "Nemesis: " nemesis))
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

(defn- table
  [judgement]
  (concat ["Invariant checks:"
           (rule "┌" "┬" "┐")
           (table-row "Invariant" "Status" "Checks")
           (rule "├" "┼" "┤")]
          (for [id invariants/ids, :let [result (get judgement id)], :when result]
            (table-row (str (invariants/title id) " (" (name id) ")") (row-status result) (:checks result 0)))
          [(rule "└" "┴" "┘")]))

(defn- of-call
  "The ops of the calls that a violation names, and the faults from a little before the first to the last of them."
  [ops indices]
  (let [wanted (set indices)
        calls  (filter (fn [{:keys [index completion]}] (or (wanted index) (wanted completion)))
                       (h/calls ops))
        places (set (mapcat (juxt :index :completion) calls))
        first  (reduce min Long/MAX_VALUE (remove nil? places))
        last   (reduce max -1 (remove nil? places))
        before (:index (peek (filterv #(and (= :nemesis (:process %)) (< (:index %) first)) ops)))]
    (filterv (fn [{:keys [index process]}]
               (or (places index)
                   (and (= :nemesis process)
                        (or (< first index last) (= index before)))))
             ops)))

(defn- still-fails?
  "Whether invariant `id` is violated in these ops alone."
  [id ops]
  (try (false? (:valid? (get (invariants/judge ops [id]) id)))
       ; A part of a history need not be a history.
       (catch clojure.lang.ExceptionInfo _ false)))

(defn- drop-calls
  "Leaves out one call after the other as long as the rest still fails."
  [id ops]
  (reduce (fn [ops {:keys [index completion]}]
            (let [fewer (filterv #(not (#{index completion} (:index %))) ops)]
              (if (still-fails? id fewer) fewer ops)))
          ops
          (h/calls ops)))

(def ^:private most-to-shrink
  "Calls of a shard beyond which only the named ones are shown."
  200)

(defn failing-trace
  "The smallest part of the history found that still violates invariant `id`, as ops of the whole history. Registrations are
  part of it only if the violation needs them."
  [ops id {:keys [at]}]
  (let [ops    (vec ops)
        narrow (of-call ops at)]
    (if (still-fails? id (h/index narrow))
      narrow
      (let [shards (set (keep h/shard-of (filter (fn [{:keys [index completion]}] (some #{index completion} at))
                                                 (h/calls ops))))
            near   (filter #(or (shards (h/shard-of %)) (= :register (:f %))) (h/calls ops))
            places (set (mapcat (juxt :index :completion) near))
            wide   (filterv #(or (places (:index %)) (= :nemesis (:process %))) ops)]
        (if (< most-to-shrink (count near))
          narrow
          ; Judged by its own numbering, shown by the history's.
          (let [small (drop-calls id wide)]
            (if (still-fails? id small) small narrow)))))))

(defn- seconds
  [time]
  (format "t=%.1fs" (/ (double (or time 0)) 1e9)))

(defn- trace-line
  [origin {:keys [process type f value time error]}]
  (if (= :nemesis process)
    (str "  " (seconds (- (or time 0) origin)) " NEMESIS " (name f) (when (some? value) (str " " (pr-str value))))
    (let [fields (when (map? value) value)]
      (str/trimr
        (str "  " (seconds (- (or time 0) origin)) " " (pad 7 (str type)) " " (name f)
             (when-let [target (or (:shard fields) (:run fields) (:node fields))] (str " " target))
             (when-let [worker (:worker fields)] (str " " worker))
             (when-let [fence (:fence fields)] (str " fence=" fence))
             (when-let [cursor (:cursor fields)] (str " cursor=" (pr-str cursor)))
             (when-let [granted (:granted fields)] (str " granted=" granted))
             (when-let [deadline (:deadline fields)] (str " deadline=" deadline))
             (when error (str " " (pr-str error))))))))

(defn- trace
  [ops judgement]
  (when-let [id (first (filter #(false? (:valid? (get judgement %))) invariants/ids))]
    (let [violation (first (:violations (get judgement id)))
          part      (failing-trace ops id violation)
          culprit   (last (:at violation))]
      (concat ["Failing operations:"]
              (for [op part]
                (cond-> (trace-line 0 op)
                  (= culprit (:index op)) (str "   ← VIOLATION " (name id) ": " (:message violation))))
              (let [more (reduce + (map (comp count :violations) (vals judgement)))]
                (when (< 1 more)
                  [(str "  (" (dec more) " more in results.edn)")]))))))

(defn reproduction-line
  "The command that repeats this run's schedule and intents."
  [{:keys [workload nemesis nodes time-limit concurrency rate seed]}]
  (str "lein run test --nodes " (str/join "," nodes) " --workload " workload " --nemesis " nemesis
       " --time-limit " time-limit " --concurrency " concurrency
       (when rate (str " --rate " rate))
       " --test-seed " seed))

(defn text
  "The whole report.

    :run              {:workload :nemesis :nodes [name] :duration-s :concurrency :rate :seed :digest :valid? :time-limit}
    :ops              the history
    :linearizability  {:valid? :checker :anomalies}, or nil when it was not checked
    :judgement        of `invariants/judge`
    :notes            lines about what else was found: [text ...]"
  [{:keys [run ops linearizability judgement notes]}]
  (str (str/join "\n"
                 (concat (head run (h/calls ops))
                         (when linearizability (gossip-rs.report/linearizability linearizability))
                         (table judgement)
                         (trace ops judgement)
                         (when (seq notes) (cons "Notes:" (map #(str "  " %) notes)))
                         ["Reproduction:" (str "  " (reproduction-line run))]))
       "\n"))
