(ns gossip-rs.history
  "Histories in Jepsen's EDN form: one op map per line, with `:process :type :f :value :time :index` and, on a failed or
  open operation, `:error [reason detail]`. Times are nanoseconds of the recorder's monotonic clock.

  The judges do not look at ops but at *calls*: an invocation together with how it ended. A call that never ended, or
  ended as `:info`, is open: it may take effect at any time after its invocation, or never."
  (:require [clojure.edn :as edn]
            [clojure.java.io :as io]
            [clojure.string :as str])
  (:import (java.io BufferedReader Writer)))

(def open-end
  "The completion index of a call that is still open."
  Long/MAX_VALUE)

(defn- bad-op
  [line field message]
  (throw (ex-info (str "line " line ": " (when field (str field " ")) message)
                  {:type ::malformed, :line line, :field field})))

(def ^:private numbers
  "What the judges compare, of a call and of the records in a read of a run. One that cannot be read would be taken for one that
  was not told, and whatever is wrong with it would pass."
  [:fence :granted :deadline :believed-until :entered :left :applied])

(defn- number-of-64-bits?
  [x]
  (and (integer? x) (<= Long/MIN_VALUE x Long/MAX_VALUE)))

(defn- check-told
  "What a client's op tells: its value, and the records in it. A status that is none would be taken for one that was not told, as a
  number would."
  [line {:keys [process value]}]
  (when (and (number? process) (map? value))
    (let [told (cons value (let [records (:shards value)] (when (coll? records) (filter map? records))))]
      (doseq [told told
              k    numbers
              :let [x (get told k)]]
        (when-not (or (nil? x) (number-of-64-bits? x))
          (bad-op line k (str "must be an integer of 64 bits, is " (pr-str x)))))
      (doseq [{:keys [status]} told]
        (when-not (or (nil? status) (ident? status) (string? status))
          (bad-op line :status (str "must be a keyword or a string, is " (pr-str status))))))))

(defn- check-op
  "Returns op, or throws with the line and the field that is wrong."
  [line op]
  (when-not (map? op)
    (bad-op line nil "is not a map"))
  (when-not (contains? #{:invoke :ok :fail :info} (:type op))
    (bad-op line :type (str "must be :invoke, :ok, :fail or :info, is " (pr-str (:type op)))))
  (when-not (or (nat-int? (:process op)) (keyword? (:process op)))
    (bad-op line :process (str "must be a number or :nemesis, is " (pr-str (:process op)))))
  (when-not (keyword? (:f op))
    (bad-op line :f (str "must be a keyword, is " (pr-str (:f op)))))
  (when-not (or (nil? (:time op)) (int? (:time op)))
    (bad-op line :time (str "must be an integer of nanoseconds, is " (pr-str (:time op)))))
  (check-told line op)
  ; For errors that are found when all of them are read.
  (with-meta op {:line line}))

(def ^:private edn-options
  "Jepsen tags its ops in some files; any other tag is data we do not judge by."
  {:readers {'jepsen.history.Op identity}
   :default (fn [_tag value] value)
   :eof     ::eof})

(defn parse-line
  "The op on a line of text, or nil for a blank line. `line` is the line's number, for the error."
  [line ^String text]
  (when-not (str/blank? text)
    (let [op (try (edn/read-string edn-options text)
                  (catch RuntimeException e
                    (bad-op line nil (str "is not EDN: " (.getMessage e)))))]
      (if (= ::eof op)
        nil
        (check-op line op)))))

(defn index
  "Numbers the ops from 0, as Jepsen does."
  [ops]
  (into [] (map-indexed (fn [i op] (assoc op :index i))) ops))

(defn- without-byte-order-mark
  "What some editors put before a text."
  [^String text]
  (if (str/starts-with? text "\ufeff") (subs text 1) text))

(defn- line-of
  [op]
  (:line (meta op) (inc (:index op))))

(defn read-history
  "The ops of an EDN history file, as a vector."
  [file]
  (with-open [^BufferedReader reader (io/reader file)]
    (index (into []
                 (comp (map-indexed (fn [i text] (parse-line (inc i) (if (zero? i) (without-byte-order-mark text) text))))
                       (remove nil?))
                 (line-seq reader)))))

(def ^:private op-keys
  [:process :type :f :value :time :index :error])

(defn op-line
  "An op as one line of EDN, the usual fields first."
  [op]
  (let [fields (concat (filter #(contains? op %) op-keys)
                       (sort-by str (remove (set op-keys) (keys op))))]
    (binding [*print-length* nil
              *print-level* nil
              *print-namespace-maps* false]
      (str "{" (str/join ", " (map #(str (pr-str %) " " (pr-str (get op %))) fields)) "}"))))

(defn write-history!
  "Writes ops to file, one a line."
  [file ops]
  (with-open [^Writer writer (io/writer file)]
    (doseq [op ops]
      (.write writer ^String (op-line op))
      (.write writer "\n"))))

(defn client-op?
  [op]
  (number? (:process op)))

(defn nemesis-ops
  [ops]
  (filterv #(= :nemesis (:process %)) ops))

(defn nemesis-steps
  "The completions of the nemesis's steps, which say what was done and to whom. Jepsen notes each step twice: as it was planned
  and as it was done."
  [ops]
  (take-nth 2 (rest (nemesis-ops ops))))

(defn step-failed?
  "Whether an op of the nemesis tells of something that was not done."
  [{:keys [error type]}]
  (or (some? error) (= :fail type)))

(defn- start-call
  [op]
  {:f       (:f op)
   :process (:process op)
   :type    :info
   :index   (:index op)
   :time    (:time op)
   :end     open-end
   :in      (:value op)
   :out     (:value op)})

(defn- merge-values
  "A completion repeats the invocation's value and adds to it; some recorders write the addition alone."
  [in out]
  (if (and (map? in) (map? out))
    (merge in out)
    (or out in)))

(defn- end-call
  [call op]
  (cond-> (assoc call
                 :type (:type op)
                 :end-time (:time op)
                 :error (:error op)
                 :completion (:index op))
    (not= :info (:type op)) (assoc :end (:index op))
    (= :ok (:type op))      (assoc :out (merge-values (:in call) (:value op)))))

(defn calls
  "The client calls of a history, in order of invocation. `:index` and `:end` are the places of invocation and completion
  in the history, `:time` and `:end-time` their times, `:in` the invocation's value, `:out` the whole of what is known."
  [ops]
  (loop [ops   (filter client-op? ops)
         open  {}
         calls []]
    (if-let [op (first ops)]
      (let [process (:process op)]
        (if (= :invoke (:type op))
          (do (when-let [i (get open process)]
                (bad-op (line-of op) :process
                        (str process " invokes while its call at index " (:index (calls i)) " is under way")))
              (recur (rest ops)
                     (assoc open process (count calls))
                     (conj calls (start-call op))))
          (let [i (get open process)]
            (when-not (and i (= (:f op) (:f (calls i))))
              (bad-op (line-of op) :process
                      (str process " completes " (:f op) ", which it never invoked")))
            (recur (rest ops)
                   (dissoc open process)
                   (update calls i end-call op)))))
      calls)))

(defn ok? [call] (= :ok (:type call)))
(defn open? [call] (= :info (:type call)))
(defn failed? [call] (= :fail (:type call)))

(defn shard-of
  "The shard that a call touched, as far as it is known."
  [call]
  (get-in call [:out :shard]))
