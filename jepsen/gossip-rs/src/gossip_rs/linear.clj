(ns gossip-rs.linear
  "Each shard's history as a linearizability checker wants it: one operation for each effect. Pure.

  Calls under one op id have one effect, so they become one operation: from the first invocation to the first answer, with
  what that answer says. Later answers are replays of it, which S5 judges. A read of a run reads each of its shards."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts]
            [gossip-rs.model :as model]))

(def ^:private shard-fs
  #{:acquire :claim :renew :checkpoint :release :complete :park :unpark :split-replace :split-residual :read-shard})

(defn merge-tries
  "Calls with one op id as one call."
  [calls]
  (for [[_ tries] (group-by #(or (:op-id (:in %)) [:index (:index %)]) calls)
        :let [tries    (sort-by :index tries)
              answered (first (sort-by :end (filter h/ok? tries)))
              started  (first (remove h/failed? tries))]
        ; A refusal under a reused op id is another request; one of a lone try changed nothing.
        :when started]
    (if answered
      (assoc answered :index (:index started))
      started)))

(defn- run-reads
  "The calls that a read of a run is for its shards: {shard [call]}."
  [calls]
  (reduce (fn [reads {:keys [out] :as call}]
            (reduce (fn [reads record]
                      (update reads (:shard record) (fnil conj [])
                              (assoc call :f :read-shard, :in {}, :out record)))
                    reads
                    (:shards out)))
          {}
          (filter #(and (h/ok? %) (:final? (:in %))) (facts/linearizable-reads calls :read-run))))

(defn- cancels
  "Ends of a run, which cancel its shards."
  [calls run]
  (filter #(and (#{:fail-run :cancel-run} (:f %)) (not (h/failed? %)) (= run (:run (:in %)))) calls))

(defn- told-fence
  "The fence that a call's answer tells that the call made."
  [{:keys [f out] :as call}]
  (when (and (h/ok? call) (#{:acquire :claim :unpark} f))
    (:fence out)))

(defn lost-grants
  "What `claims` whose answer was lost may have been granted of the shard that `calls` are about, as open acquires.

  Such a claim may have been granted any shard of its run, under any fence. As so many claims beside each shard they make
  a search hopeless, and needless: a grant matters only if it made a fence that was passed, and that no answer tells of.
  Claims are alike, so the nth such fence needs no more than that n claims were invoked before it."
  [calls claims]
  (let [told   (into #{} (keep told-fence) calls)
        top    (reduce max 0 (keep (comp :fence :out) calls))
        ; These may have made some of those fences, each one at most, so that a later fence needs fewer claims.
        silent (count (filter #(and (#{:acquire :claim :unpark :fail-run :cancel-run} (:f %)) (not (told-fence %))) calls))
        begins (vec (sort (map :index claims)))]
    (for [[i fence] (map-indexed vector (take (+ silent (count begins)) (remove told (range 1 (inc top)))))
          :let [nth-claim (max 0 (- i silent))]
          :when (< nth-claim (count begins))]
      {:f :acquire, :type :info, :index (begins nth-claim), :in {}, :out {:fence fence}})))

(defn shards
  "{shard {:model :calls}}: the shards whose range is known from the beginning."
  [ops]
  (let [{:keys [calls made runs]} (facts/facts ops)
        merged  (merge-tries (filter #(shard-fs (:f %)) calls))
        claims  (filter #(and (= :claim (:f %)) (h/open? %)) merged)
        known   (remove #(and (= :claim (:f %)) (h/open? %)) merged)
        ; An open call that would change nothing says nothing.
        useful  (remove #(case (:f %)
                           :read-shard (or (h/open? %) (not (facts/fresh? %)))
                           :renew      (h/open? %)
                           false)
                        known)
        by      (group-by h/shard-of useful)
        reads   (run-reads calls)]
    (into {}
          (for [{:keys [shard start end root? call]} made
                :let  [mine (concat (get by shard) (get reads shard) (merge-tries (cancels calls (get runs shard))))
                       born (when (= :split-replace (:f call)) (first (:children (:out call))))]
                ; The first child inherits the parent's cursor, which the parent's own history tells.
                :when (or root? (not= shard (:shard born)))]
            [shard {:model (model/shard start end)
                    :calls (sort-by :index (concat mine (lost-grants mine (filter #(= (get runs shard) (:run (:in %)))
                                                                                  claims))))}]))))

(defn history
  "Calls as invocations and completions in their order, each call a process of its own."
  [calls]
  (->> calls
       (map-indexed (fn [process {:keys [f type index end out]}]
                      (cond-> [[index {:process process, :type :invoke, :f f, :value out}]]
                        (= :ok type) (conj [end {:process process, :type :ok, :f f, :value out}]))))
       (mapcat identity)
       (sort-by (fn [[place {:keys [type]}]] [place (if (= :invoke type) 0 1)]))
       (map second)
       h/index))
