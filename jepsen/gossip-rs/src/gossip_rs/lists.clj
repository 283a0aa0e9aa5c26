(ns gossip-rs.lists
  "Checkpoint histories as transactions over lists, for Elle. Pure.

  A checkpoint's token lists the ids of all checkpoints before it, so a shard is a list: a checkpoint appends its own id, a
  read or a grant reads the whole. A child inherits its parent's cursor and with it the parent's ids; those are left out, so
  that each list holds what was appended to it."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts]
            [gossip-rs.linear :as linear]))

(defn- appended
  "{shard #{id}}: what was appended to each list, or may have been."
  [calls]
  (reduce (fn [m {:keys [in]}]
            (update m (:shard in) (fnil conj #{}) (peek (:ids in))))
          {}
          (filter #(and (= :checkpoint (:f %)) (seq (:ids (:in %)))) calls)))

(defn- own
  [ours {:keys [shard ids]}]
  (filterv (get ours shard #{}) ids))

(defn- txn
  [ours {:keys [f in out] :as call}]
  (case f
    :checkpoint      (when (seq (:ids in)) [[:append (:shard in) (peek (:ids in))]])
    (:acquire
     :claim)         (when (and (h/ok? call) (:ids out)) [[:r (:shard out) (own ours out)]])
    :read-shard      (when (and (h/ok? call) (:ids out)) [[:r (:shard out) (own ours out)]])
    nil))

(defn- refused
  "One refused checkpoint for each id that nobody else appended: it must never be read. A retry or a reused op id that was
  refused has the id of the one before it."
  [calls possible]
  (let [taken (into #{} (map #(peek (:ids (:in %)))) possible)]
    (->> calls
         (filter #(and (= :checkpoint (:f %)) (h/failed? %) (not (taken (peek (:ids (:in %)))))))
         (group-by #(peek (:ids (:in %))))
         vals
         (map first))))

(defn history
  "The transactions of a history, as ops: {:process :type :f :txn :value :index}."
  [ops]
  (let [calls (h/calls ops)
        ours  (appended calls)
        tries (linear/merge-tries (filter #(#{:checkpoint :acquire :claim} (:f %)) calls))
        calls (concat tries
                      (refused calls (filter #(= :checkpoint (:f %)) tries))
                      (facts/linearizable-reads calls :read-shard))]
    (->> (for [[process call] (map-indexed vector (sort-by :index calls))
               :let  [txn (txn ours call)]
               :when txn
               op    [[(:index call) {:process process, :type :invoke, :f :txn, :value txn}]
                      ; Elle takes a transaction without an end for one that never was. This one may have happened.
                      [(or (:end call) Long/MAX_VALUE)
                       {:process process, :type (if (or (h/ok? call) (h/failed? call)) (:type call) :info), :f :txn, :value txn}]]]
           op)
         (sort-by (fn [[place {:keys [type]}]] [place (if (= :invoke type) 0 1)]))
         (map second)
         h/index)))
