(ns gossip-rs.linear
  "Each shard's history as a linearizability checker wants it: one operation for each effect. Pure.

  Calls under one op id with one payload have one effect, so they become one operation: from the first invocation to the
  first answer, with what that answer says. Later answers are replays of it, which S5 judges, unless the first may have been
  forgotten. The making of a shard stands in its history, and so do the end of its run and each fresh read of the run. A
  shard whose making nobody was told of begins as unknown."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts]
            [gossip-rs.invariants.oplog :as oplog]
            [gossip-rs.model :as model]
            [gossip-rs.names :as names]))

(def ^:private shard-fs
  #{:acquire :claim :renew :checkpoint :release :complete :park :unpark :split-replace :split-residual :read-shard})

(defn- operation
  "What all tries of one operation have in common."
  [{:keys [in index] :as call}]
  (if (:op-id in) (oplog/request call) index))

(def ^:private makes-fence
  #{:acquire :claim :unpark})

(defn- join
  "Tries of one operation, in order of invocation, as the calls that they are: one, if no answer can have been forgotten
  between them. Else its op id was a new request: an answer that differs is one of another call, and a try that was never
  answered may have happened beside the known one. Only what makes a fence can do anything twice; a write of that age
  repeats what is there or meets a fence that has passed."
  [log [call & more]]
  (loop [known call, others [], [call & more] more]
    (if (nil? call)
      (conj others known)
      (let [forgotten? (and (makes-fence (:f call)) (oplog/may-have-forgotten? log known (:index known) (:end call)))
            answered   (assoc call :index (:index known))]
        (cond (and forgotten? (not (h/ok? call)))
              (recur known (conj others call) more)

              (and forgotten? (h/ok? known) (not= (oplog/answer known) (oplog/answer call)))
              (recur answered (conj others known) more)

              :else
              (recur (if (and (h/ok? call) (< (:end call) (:end known))) answered known)
                     (cond-> others (and forgotten? (h/open? known)) (conj known))
                     more))))))

(defn merge-tries
  "Calls with one op id and one payload as one call, as long as the service (`log` says) remembers its answer. Refused ones
  changed nothing."
  [log calls]
  (mapcat (fn [[_ tries]] (join log (sort-by :index tries)))
          (group-by operation (remove h/failed? calls))))

(defn- births
  "The making of each shard: {shard [call]}. A registration that was tried twice made it once; so did a split whose first
  answer was lost. The child with the lowest range goes on from its parent's cursor, which no answer tells; others have none.
  Fences begin at 0, or where those of the deleted runs ended, which no answer tells either."
  [{:keys [calls made]}]
  (let [deleted (reduce min h/open-end (map :index (remove h/failed? (filter #(= :delete-run (:f %)) calls))))
        begun (reduce #(update %1 (operation %2) (fnil min h/open-end) (:index %2)) {} (remove h/failed? calls))]
    (reduce (fn [births [[shard] tries]]
              (let [{:keys [start end root? call]} (first (sort-by (comp :end :call) tries))
                    lowest (first (sort-by #(or (facts/bound (:start %)) "") (:children (:out call))))]
                (update births shard (fnil conj [])
                        (assoc call
                               :f     :create
                               :index (reduce min (map (comp begun operation :call) tries))
                               :out   (cond-> {:start start, :end end}
                                        (or root? (not= shard (:shard lowest))) (assoc :cursor nil)
                                        (<= (:end call) deleted)                (assoc :fence 0))))))
            {}
            (group-by (juxt :shard :from :start :end) made))))

(defn- run-reads
  "The calls that fresh reads of runs are for their shards: {shard [call]}."
  [facts]
  (reduce (fn [reads [shard call]] (update reads shard (fnil conj []) call))
          {}
          (for [call   (facts/linearizable-reads (:calls facts) :read-run)
                record (:shards (:out call))]
            [(:shard record) (assoc call :f :read-shard, :out record)])))

(defn- of-run
  "Calls about runs that touch, or may touch, a shard of this run. Whose run is not known may or may not have been touched."
  [run calls]
  (if run
    (filter #(= run (:run (:in %))) calls)
    (map #(assoc % :type :info, :end h/open-end) calls)))

(defn- told-fence
  "The fence that a call's answer tells that the call made."
  [{:keys [f out] :as call}]
  (when (and (h/ok? call) (makes-fence f))
    (:fence out)))

(defn- holders
  "Who is known to have held the shard under which fence: {fence #{worker}}."
  [calls]
  (reduce (fn [holders {:keys [f out] :as call}]
            (let [{:keys [fence worker]} out]
              (cond-> holders
                (and (h/ok? call) (or (facts/lease-writes f) (= :read-shard f)) fence worker)
                (update fence (fnil conj #{}) worker))))
          {}
          calls))

(defn fences
  "What a shard's calls tell of its fences, beside which `claims` were lost:

    :passed    those that operations without an answer may have made, in order: no answer tells of them, and they were
               passed. One above all that were seen makes no difference, unless a read shows the shard without its fence
    :untold    the same as a set; nil, anything, when a grant was answered without its fence
    :from      the lowest at which the shard surely was: those above it were made, each by one operation
    :hidden?   whether a read shows the shard without its fence"
  [calls claims]
  (let [makers  (filter (comp makes-fence :f) calls)
        told    (when (every? told-fence (filter h/ok? makers)) (into #{} (keep told-fence) makers))
        seen    (keep (comp :fence :out) calls)
        surely  (keep (comp :fence :out) (filter #(or (h/ok? %) (= :create (:f %))) calls))
        hidden? (boolean (some #(and (= :read-shard (:f %)) (h/ok? %) (nil? (:fence (:out %)))) calls))
        highest (cond-> (reduce max 0 seen)
                  hidden? (+ (count claims) (count (filter h/open? makers))))
        passed  (remove (or told #{}) (range (max 1 (reduce min highest seen)) (inc highest)))]
    {:passed  (vec passed)
     :untold  (when told (into (sorted-set) passed))
     :from    (reduce min highest surely)
     :hidden? hidden?}))

(defn- open-grant
  [index out]
  {:f :acquire, :type :info, :index index, :end h/open-end, :in {}, :out out})

(defn- counted-grants
  "Of the fences that were passed untold, those that lost claims may have made.

  Claims are alike, so the nth such fence needs no more than that n claims were invoked before it; if its holder is known, n
  claims of that worker for the nth fence under which that worker was."
  [calls claims {:keys [passed from]}]
  (let [; These may have made some of those fences, each one at most, so that a later fence needs fewer claims.
        silent  (count (filter #(and (or (makes-fence (:f %)) (#{:fail-run :cancel-run} (:f %))) (not (told-fence %))) calls))
        begins  (vec (sort (map :index claims)))
        known   (holders calls)
        holder  (fn [fence] (when (= 1 (count (known fence))) (first (known fence))))
        of      (fn [worker] (vec (sort (map :index (filter #(contains? #{worker nil} (:worker (:in %))) claims)))))
        ; The first may be where the shard began.
        unmade  (count (take-while #(<= % from) passed))
        made    (drop unmade passed)
        nth-of  (fn [begins before] (get begins (max 0 (- before silent))))]
    (for [[place fence] (map-indexed vector (take (+ unmade silent (count begins)) passed))
          :let [place  (max 0 (- place unmade))
                worker (holder fence)
                any    (nth-of begins place)
                own    (if worker
                         (nth-of (of worker) (count (filter #(= worker (holder %)) (take place made))))
                         any)]
          :when (and any own)]
      (open-grant (max any own) (cond-> {:fence fence} worker (assoc :worker worker))))))

(defn lost-grants
  "What `claims` whose answer was lost may have been granted of the shard that `calls` are about, as open acquires.

  Such a claim may have been granted any shard of its run, under any fence. As so many claims beside each shard they make
  a search hopeless, and needless: a grant matters only if it made a fence that was passed, and that no answer tells of. Where
  reads do not tell the fence it may matter as well, and each claim is there as itself."
  [calls claims {:keys [untold hidden?] :as fences}]
  (if hidden?
    (for [{:keys [index in]} claims]
      (open-grant index (cond-> (select-keys in [:worker]) untold (assoc :untold untold))))
    (counted-grants calls claims fences)))

(defn- without-needless
  "Open calls that would change nothing say nothing, nor do open grants when no fence was made by one."
  [calls untold]
  (remove (fn [{:keys [f] :as call}]
            (and (h/open? call)
                 (or (#{:read-shard :complete-run} f)
                     ; Known by `unsure`.
                     (= :renew f)
                     (and untold (empty? untold) (makes-fence f)))))
          calls))

(defn- with-what-is-known
  "Open grants with the fences they may have made. A lease with a renewal that was never answered has an unknown deadline,
  whoever tells one: the renewal may have happened before or after."
  [calls untold unsure]
  (map (fn [{:keys [f out] :as call}]
         (cond-> call
           (and untold (h/open? call) (#{:acquire :unpark} f))
           (assoc-in [:out :untold] untold)

           (and (or (facts/grants f) (#{:renew :read-shard} f)) (if (:fence out) (unsure (:fence out)) (seq unsure)))
           (update :out dissoc :deadline)))
       calls))

(defn- part
  "One shard's model and calls, the lost claims of its run, and how many of them may be among the calls."
  [birth touched claims]
  (let [calls  (concat birth touched)
        {:keys [untold] :as fences} (fences calls claims)
        unsure (into #{} (comp (filter #(and (= :renew (:f %)) (h/open? %))) (map (comp :fence :in))) calls)
        lost   (lost-grants calls claims fences)]
    {:model  (if (seq birth) model/absent model/unknown)
     :calls  (->> (concat (with-what-is-known (without-needless calls untold) untold unsure) lost)
                  (sort-by :index)
                  vec)
     :lost   (count lost)
     :claims claims
     ; What it takes to make it again without one of them.
     :birth birth, :touched touched}))

(defn without-claim
  "A shard's part, had that claim not been granted it."
  [{:keys [birth touched claims]} claim]
  (part birth touched (remove #(= (:claim claim) (:claim %)) claims)))

(defn shards
  "{shard {:model :calls}}: every shard that was made or touched, but for those whose name stands for several."
  [ops]
  (let [{:keys [calls runs] :as facts} (facts/facts (:ops (names/clear ops)))
        log    (oplog/op-log facts)
        lost-claim? #(and (= :claim (:f %)) (h/open? %))
        merged (merge-tries log (filter #(shard-fs (:f %)) calls))
        useful (remove #(or (lost-claim? %) (and (= :read-shard (:f %)) (not (facts/fresh? %)))) merged)
        ; Numbered, since those whose op id is a new request may be alike in all else.
        claims (map-indexed #(assoc %2 :claim %1) (filter lost-claim? merged))
        ends   (merge-tries log (filter #(facts/run-ends (:f %)) calls))
        births (births facts)
        by     (merge-with into (group-by h/shard-of useful) (run-reads facts))]
    (into (sorted-map)
          (for [shard (distinct (concat (keys births) (keys by)))
                :when shard
                :let  [run (get runs shard)]]
            [shard (part (get births shard) (concat (get by shard) (of-run run ends)) (of-run run claims))]))))

(defn history
  "Calls as invocations and completions in their order, each call a process of its own, numbered by its place in `calls`."
  [calls]
  (->> calls
       (map-indexed (fn [process {:keys [f type index end out]}]
                      (cond-> [[index {:process process, :type :invoke, :f f, :value out}]]
                        (= :ok type) (conj [end {:process process, :type :ok, :f f, :value out}]))))
       (mapcat identity)
       (sort-by (fn [[place {:keys [type]}]] [place (if (= :invoke type) 0 1)]))
       (map second)
       h/index))
