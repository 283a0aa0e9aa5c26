(ns gossip-rs.lists
  "Checkpoint histories as transactions over lists, for Elle. Pure.

  A checkpoint's token lists the ids of all checkpoints before it, so a shard is a list: a checkpoint appends its own id; a
  grant, a read of the shard and a read of its run each read the whole. The child with the lowest range inherits its parent's
  cursor and with it the parent's ids, which are no appends of its own. So the list that Elle sees is what comes after them,
  and what comes before must be ids of an ancestor: any other id is `foreign`, and a violation."
  (:require [clojure.string :as str]
            [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]
            [gossip-rs.invariants.oplog :as oplog]
            [gossip-rs.linear :as linear]))

(defn- own-id
  [call]
  (peek (:ids (:in call))))

(defn- appends
  [calls]
  (filter #(and (= :checkpoint (:f %)) (seq (:ids (:in %)))) calls))

(defn- appended
  "{shard #{id}}: what was appended to each list, may have been, or was refused."
  [calls]
  (reduce (fn [m call] (update m (:shard (:in call)) (fnil conj #{}) (own-id call)))
          {}
          (appends calls)))

(defn- parent-of
  "{shard parent}, as far as answers tell."
  [{:keys [made]}]
  (into {} (for [{:keys [shard from]} made, :when from] [shard from])))

(defn- reads
  "Every fresh sight of a shard's list: {:call :shard :ids}."
  [{:keys [calls] :as facts}]
  (concat (for [{:keys [out] :as call} (linear/merge-tries (oplog/op-log calls) (filter (comp facts/grants :f) calls))
                :when (and (h/ok? call) (:ids out))]
            {:call call, :shard (:shard out), :ids (:ids out)})
          (for [{:keys [record call]} (facts/records facts)
                :when (:ids record)]
            {:call call, :shard (or (:shard record) (h/shard-of call)), :ids (:ids record)})))

(defn- split-list
  "[inherited own]: the ids before the first that was appended to this list, and those from it on."
  [ours {:keys [shard ids]}]
  (split-with (complement (get ours shard #{})) ids))

(defn- ancestors-of
  "The shards whose ids this one may have inherited; nil when nobody was told of its making, so that it may be any."
  [facts parent-of shard]
  (let [roots (into #{} (comp (filter :root?) (map :shard)) (:made facts))]
    (loop [shard shard, found []]
      (if-let [parent (parent-of shard)]
        (recur parent (conj found parent))
        (when (roots shard) found)))))

(defn- strangers
  "The ids of a sight that neither this list nor an ancestor's can have."
  [facts parent-of ours {:keys [shard ids] :as sight}]
  (let [[inherited own] (split-list ours sight)
        ancestors       (ancestors-of facts parent-of shard)
        theirs          (into #{} (mapcat ours) (or ancestors (remove #{shard} (keys ours))))]
    (concat (remove theirs inherited)
            (remove (get ours shard #{}) own))))

(defn foreign
  "Violations: ids in a list that nobody appended to it or to the list that it went on from."
  [ops]
  (let [{:keys [calls] :as facts} (facts/facts ops)
        ours    (appended calls)
        parent-of (parent-of facts)]
    (vec (for [{:keys [call shard] :as sight} (reads facts)
               :let  [ids (distinct (strangers facts parent-of ours sight))]
               :when (seq ids)]
           (violation (str "shard " shard ": " (name (:f call)) " shows checkpoints of nobody: " (str/join ", " ids))
                      (:end call))))))

(defn- refused
  "One refused checkpoint for each id that nobody else appended: it must never be read. A retry or a reused op id that was
  refused has the id of the one before it."
  [calls possible]
  (let [taken (into #{} (map own-id) possible)]
    (->> (appends calls)
         (filter #(and (h/failed? %) (not (taken (own-id %)))))
         (group-by own-id)
         vals
         (map first))))

(defn- first-of-each-id
  "One checkpoint for each id of a list. An op id that is reused with another payload brings its id a second time, and whether that
  one was refused is not always known. The first stands for both: of one that was accepted it is right, and one whose end
  is not known stays open for whatever the other did. A second effect would set the list back, which reads show."
  [tries]
  (->> tries
       (group-by (juxt (comp :shard :in) own-id))
       vals
       (map #(apply min-key :index %))))

(defn- transactions
  "[call txn] of everything that appends or reads."
  [{:keys [calls] :as facts}]
  (let [ours  (appended calls)
        tries (-> (oplog/op-log calls)
                  (linear/merge-tries (filter #(= :checkpoint (:f %)) calls))
                  appends
                  first-of-each-id)]
    (concat (for [call (concat tries (refused calls tries))]
              [call [[:append (:shard (:in call)) (own-id call)]]])
            (for [{:keys [call shard] :as sight} (reads facts)]
              [call [[:r shard (vec (second (split-list ours sight)))]]]))))

(defn history
  "The transactions of a history, as ops: {:process :type :f :txn :value :index}, and `:call`, where the call that it comes
  from has its end, or its beginning when it has none."
  [ops]
  (->> (for [[process [call txn]] (map-indexed vector (sort-by (comp :index first) (transactions (facts/facts ops))))
             :let [op {:process process, :f :txn, :value txn, :call (or (:completion call) (:index call))}]
             op   [[(:index call) (assoc op :type :invoke)]
                   ; Elle takes a transaction without an end for one that never was. This one may have happened.
                   [(:end call) (assoc op :type (:type call))]]]
         op)
       (sort-by (fn [[place {:keys [type]}]] [place (if (= :invoke type) 0 1)]))
       (map second)
       h/index))
