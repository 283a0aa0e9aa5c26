(ns gossip-rs.linear
  "Each shard's history as a linearizability checker wants it: one operation for each effect. Pure.

  Calls under one op id with one payload have one effect, so they become one operation: from the first invocation to the
  first answer, with what that answer says. Later answers are replays of it, which S5 judges. The making of a shard stands
  in its history, and so do the end of its run and each fresh read of the run. A shard whose making nobody was told of
  begins as unknown."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts]
            [gossip-rs.model :as model]))

(def ^:private shard-fs
  #{:acquire :claim :renew :checkpoint :release :complete :park :unpark :split-replace :split-residual :read-shard})

(defn- operation
  "What all tries of one operation have in common."
  [{:keys [f in index]}]
  (if (:op-id in) [f in] index))

(defn merge-tries
  "Calls with one op id and one payload as one call. Refused ones changed nothing."
  [calls]
  (for [[_ tries] (group-by operation (remove h/failed? calls))
        :let [tries    (sort-by :index tries)
              answered (first (sort-by :end (filter h/ok? tries)))]]
    (if answered
      (assoc answered :index (:index (first tries)))
      (first tries))))

(defn- shard-runs
  "The run of each shard. Reads of runs tell it of children whose split was never answered."
  [{:keys [calls runs]}]
  (reduce (fn [runs {:keys [in out]}]
            (reduce (fn [runs {:keys [shard]}] (update runs shard #(or % (:run in)))) runs (:shards out)))
          runs
          (filter h/ok? (filter #(= :read-run (:f %)) calls))))

(defn- births
  "The making of each shard: {shard [call]}. A registration that was tried twice made it once; so did a split whose first
  answer was lost. The child with the lowest range goes on from its parent's cursor, which no answer tells; others have none."
  [{:keys [calls made]}]
  (let [begun (reduce #(update %1 (operation %2) (fnil min h/open-end) (:index %2)) {} (remove h/failed? calls))]
    (reduce (fn [births [[shard _] tries]]
              (let [{:keys [start end root? call]} (first (sort-by (comp :end :call) tries))
                    lowest (first (sort-by #(or (facts/bound (:start %)) "") (:children (:out call))))]
                (update births shard (fnil conj [])
                        (assoc call
                               :f     :create
                               :index (reduce min (map (comp begun operation :call) tries))
                               :out   (cond-> {:start start, :end end}
                                        (or root? (not= shard (:shard lowest))) (assoc :cursor nil))))))
            {}
            (group-by (juxt :shard :from) made))))

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
  (when (and (h/ok? call) (#{:acquire :claim :unpark} f))
    (:fence out)))

(defn untold-fences
  "The fences that were passed and that no answer tells of, in order; nil, anything, when a grant was answered without one."
  [calls]
  (let [told (filter #(and (h/ok? %) (#{:acquire :claim :unpark} (:f %))) calls)]
    (when (every? told-fence told)
      (apply sorted-set (remove (into #{} (map told-fence) told)
                                (range 1 (inc (reduce max 0 (keep (comp :fence :out) calls)))))))))

(defn lost-grants
  "What `claims` whose answer was lost may have been granted of the shard that `calls` are about, as open acquires.

  Such a claim may have been granted any shard of its run, under any fence. As so many claims beside each shard they make
  a search hopeless, and needless: a grant matters only if it made a fence that was passed, and that no answer tells of.
  Claims are alike, so the nth such fence needs no more than that n claims were invoked before it. Who claimed is left open."
  [calls claims untold]
  (let [; These may have made some of those fences, each one at most, so that a later fence needs fewer claims.
        silent (count (filter #(and (#{:acquire :claim :unpark :fail-run :cancel-run} (:f %)) (not (told-fence %))) calls))
        begins (vec (sort (map :index claims)))]
    (for [[i fence] (map-indexed vector (take (+ silent (count begins)) untold))
          :let [nth-claim (max 0 (- i silent))]
          :when (< nth-claim (count begins))]
      {:f :acquire, :type :info, :index (begins nth-claim), :end h/open-end, :in {}, :out {:fence fence}})))

(defn- without-needless
  "Open calls that would change nothing say nothing, nor do open grants when no fence was made by one."
  [calls untold]
  (remove (fn [{:keys [f] :as call}]
            (and (h/open? call)
                 (or (#{:read-shard :complete-run} f)
                     ; Known by `unsure`.
                     (= :renew f)
                     (and untold (empty? untold) (#{:acquire :claim :unpark} f)))))
          calls))

(defn- with-what-is-known
  "Open grants with the fences they may have made. A lease with a renewal that was never answered has an unknown deadline."
  [calls untold unsure]
  (map (fn [{:keys [f out] :as call}]
         (cond-> call
           (and untold (h/open? call) (#{:acquire :unpark} f))
           (assoc-in [:out :untold] untold)

           (and (facts/grants f) (if (:fence out) (unsure (:fence out)) (seq unsure)))
           (update :out dissoc :deadline)))
       calls))

(defn- part
  "One shard's model and calls."
  [birth touched claims]
  (let [calls   (concat birth touched)
        untold  (untold-fences calls)
        unsure  (into #{} (comp (filter #(and (= :renew (:f %)) (h/open? %))) (map (comp :fence :in))) calls)
        claimed (lost-grants calls claims (or untold (range 1 (inc (reduce max 0 (keep (comp :fence :out) calls))))))]
    {:model (if (seq birth) model/absent model/unknown)
     :calls (->> (concat (with-what-is-known (without-needless calls untold) untold unsure) claimed)
                 (sort-by :index)
                 vec)}))

(defn shards
  "{shard {:model :calls}}: every shard that was made or touched."
  [ops]
  (let [{:keys [calls] :as facts} (facts/facts ops)
        lost-claim? #(and (= :claim (:f %)) (h/open? %))
        merged (merge-tries (filter #(shard-fs (:f %)) calls))
        useful (remove #(or (lost-claim? %) (and (= :read-shard (:f %)) (not (facts/fresh? %)))) merged)
        claims (filter lost-claim? merged)
        ends   (merge-tries (filter #(facts/run-ends (:f %)) calls))
        runs   (shard-runs facts)
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
