(ns gossip-rs.trace
  "The part of a history that shows a violation, as small as can be, and its ops as lines. Pure."
  (:require [gossip-rs.faults :as faults]
            [gossip-rs.history :as h]
            [gossip-rs.invariants :as invariants]))

(defn- faults-before
  "The steps that began the faults under way just before the op at `index`; where there is none, the last step of all."
  [steps index]
  (let [steps (filter #(< (:index %) index) steps)
        open  (map :begin (remove :end (faults/spans steps)))]
    (if (seq open) open (take-last 1 steps))))

(defn- with-faults
  "The ops at these places, the nemesis's steps between them, and those whose faults were under way when the first of them began.
  Of a step only its completion is shown: it names what was hit."
  [ops places]
  (let [steps  (h/nemesis-steps ops)
        first  (reduce min Long/MAX_VALUE places)
        last   (reduce max -1 places)
        shown  (into places (map :index) (concat (faults-before steps first)
                                                 (filter #(< first (:index %) last) steps)))]
    (filterv (comp shown :index) ops)))

(defn- places-of
  [calls]
  (into #{} (comp (mapcat (juxt :index :completion)) (remove nil?)) calls))

(defn- of-call
  "The ops of the calls that a violation names."
  [ops indices]
  (let [wanted (set indices)]
    (with-faults ops (places-of (filter (fn [{:keys [index completion]}] (or (wanted index) (wanted completion)))
                                        (h/calls ops))))))

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
            steps  (into #{} (map :index) (h/nemesis-steps ops))
            wide   (filterv #(or (places (:index %)) (steps (:index %))) ops)]
        (if (< most-to-shrink (count near))
          narrow
          ; Judged by its own numbering, shown by the history's.
          (let [small (drop-calls id wide)]
            (if (still-fails? id small) small narrow)))))))

(def ^:private shown-before
  "How many calls of a shard lead up to one that has no place among them."
  8)

(def ^:private steps-before
  "How many of the nemesis's steps lead up to a node's end."
  4)

(defn leading-up
  "The ops that lead up to what a checker beside the invariants found: of its shard, or of the places it names, or the faults
  before its time; none when it names nothing."
  [ops {:keys [shard at time]}]
  (let [ops (vec ops)]
    (cond shard    (let [last  (reduce max 0 at)
                         named (fn [{:keys [index completion]}] (some #{index completion} at))]
                     (->> (h/calls ops)
                          ; What is named may be about the whole run.
                          (filter #(and (or (= shard (h/shard-of %)) (named %)) (<= (:index %) last)))
                          (take-last shown-before)
                          places-of
                          (with-faults ops)
                          (filterv #(<= (:index %) last))))
          (seq at) (of-call ops at)
          time     (vec (take-last steps-before (filter #(<= (or (:time %) 0) time) (h/nemesis-steps ops))))
          :else    [])))

(defn- seconds
  [time]
  (format "t=%.1fs" (/ (double (or time 0)) 1e9)))

(defn line
  "An op as one line: when, what, on what, by whom, and what tells right from wrong."
  [{:keys [process type f value time error]}]
  (if (= :nemesis process)
    (str (seconds time) " NEMESIS " (name f) (when (some? value) (str " " (pr-str value))) (when error (str " " (pr-str error))))
    (let [fields (when (map? value) value)]
      (str (seconds time) " " (format "%-7s" (str type)) " " (name f)
           (when-let [target (or (:shard fields) (:run fields) (:node fields))] (str " " target))
           (when-let [worker (:worker fields)] (str " " worker))
           (when-let [fence (:fence fields)] (str " fence=" fence))
           (when-let [cursor (:cursor fields)] (str " cursor=" (pr-str cursor)))
           (when-let [granted (:granted fields)] (str " granted=" granted))
           (when-let [deadline (:deadline fields)] (str " deadline=" deadline))
           (when error (str " " (pr-str error)))))))
