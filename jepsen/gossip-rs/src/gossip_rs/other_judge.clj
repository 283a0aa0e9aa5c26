(ns gossip-rs.other-judge
  "What the Rust judge says of the same history, and whether it is what we say. Pure.

  Two judges that share no code and read one file must come to one verdict; where they do not, one of them is wrong and the
  run fails. Where the other one did not speak, nobody compared: that is unknown, and never a pass."
  (:require [clojure.string :as str]
            [gossip-rs.invariants :as invariants]))

(def ^:private word->verdict
  {"PASS" true, "FAIL" false, "-" :unknown, "UNKN" :unknown, "yes" true, "no" false, "unknown" :unknown})

(defn parse
  "The verdicts of its report: {:rows {:S1 verdict ...} :linearizable verdict}; nil where it said nothing."
  [report]
  {:rows         (into (sorted-map)
                       (for [[_ id word] (re-seq #"\(([A-Z]\d+|N)\)\s*│\s*(\S+)\s*│" report)]
                         [(keyword id) (get word->verdict word word)]))
   :linearizable (some->> (re-find #"Valid history: (\w+)" report) second word->verdict)})

(defn- opposite?
  [a b]
  (= #{true false} (set [a b])))

(defn- contradictions
  [{:keys [judgement linearizable]} {:keys [rows exit] :as theirs}]
  (let [ours (assoc (update-vals judgement :valid?) :L linearizable)]
    (concat (for [[id verdict] (assoc rows :L (:linearizable theirs))
                  :when (or (opposite? (ours id) verdict)
                            ; A violation that the other judge had nothing to check for.
                            (and (not= :L id) (contains? ours id) (= #{false :unknown} (set [(ours id) verdict]))))]
              {:what id, :clojure (ours id), :rust verdict})
            (let [false? (boolean (some false? (vals ours)))]
              (when (or (and (= 1 exit) (not false?))
                        (and (= 0 exit) false?))
                [{:what :exit, :clojure (if false? 1 0), :rust exit}])))))

(defn- gaps
  "What was not compared: texts."
  [{:keys [judgement required]} {:keys [rows linearizable exit err]}]
  (concat (when-not (contains? #{0 1 2} exit)
            [(str "it ended with " exit (when-not (str/blank? err) (str ": " (str/trim err))))])
          (when (nil? linearizable)
            ["it says nothing of linearizability"])
          ; A row of one judge alone that had nothing to check is no gap; that names could not be told apart, :N, is one.
          (for [id (sort (distinct (concat invariants/of-every-history (keys judgement)
                                           (keys (remove (fn [[id verdict]] (and (= :unknown verdict) (not= :N id))) rows)))))
                :when (not (and (contains? rows id) (contains? judgement id)))]
            (str (name id) " was judged by one of us alone"))
          (for [[id verdict] rows
                :when (and (contains? (set required) id)
                           (= #{true :unknown} (set [verdict (:valid? (judgement id))])))]
            (str (name id) " is required, and one of us had nothing to check it by"))))

(defn agreement
  "Compares our verdicts, {:judgement :linearizable :required}, with what the Rust judge said: {:exit :out :err}, or
  {:absent why} when it could not be asked."
  [ours {:keys [absent out] :as theirs}]
  (if absent
    {:valid? :unknown, :gaps [absent]}
    (let [theirs (merge theirs (parse out))
          wrong  (vec (contradictions ours theirs))
          gaps   (vec (gaps ours theirs))]
      {:valid?    (cond (seq wrong) false
                        (seq gaps)  :unknown
                        :else       true)
       :compared  (count (:rows theirs))
       :different wrong
       :gaps      gaps})))
