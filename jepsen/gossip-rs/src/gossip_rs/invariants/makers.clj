(ns gossip-rs.invariants.makers
  "Who made which shard, a part of S4: a run's shards are those that its registrations and splits made, each of them once.

  An answer that tells of a shard in a run (a claim's grant, a fresh read of the run, whatever is answered to a call that names both)
  tells of one that something in the history may have made there before the answer came. A split that was never answered may have
  made a shard of any name that nothing else made. Of a run of which no registration is recorded nobody knows what is in it, but that it
  has no shard of a name of which another run's is recorded: then both would be. (The same of stale reads is S8's, in
  `gossip-rs.invariants.shown`.)

  What was made has a name of its own: two operations that were answered did not make the same one, nor did one make it twice.
  A registration without an op id may be another try of the one before it. A root begins before it ends."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [key< violation]]))

(defn- may-have-made
  "A function that says whether something may have made a shard in a run before a place."
  [{:keys [calls made] :as facts}]
  (let [least    (partial merge-with min)
        of-shard (apply least {} (for [{:keys [shard call]} made, :let [run (facts/run-of facts call)]]
                                   ; An answer may be a replay: the shard may be there since the first try.
                                   {[run shard] (facts/effect-from facts call)}))
        splits   (apply least {} (for [call  calls
                                       :when (and (#{:split-replace :split-residual} (:f call)) (h/open? call))]
                                   {(facts/run-of facts call) (:index call)}))
        made     (into #{} (comp (filter #(facts/run-of facts (:call %))) (map :shard)) made)]
    (fn [run shard place]
      (or (< (of-shard [run shard] place) place)
          ; What was made in a run that nobody tells may have been made in this one.
          (< (of-shard [nil shard] place) place)
          (and (not (made shard))
               (or (< (splits run place) place) (< (splits nil place) place)))))))

(defn strangers
  "Violations: shards that answers, be they of now or of the past, tell of in a run in which nothing made them."
  [{:keys [made] :as facts} calls]
  (let [; A recording holds all of a run's registrations or none.
        known     (into #{} (comp (filter :root?) (map :run)) made)
        ; And where it tells how a shard was made, it tells it of every shard of that name.
        surely    (into #{} (comp (filter #(and (h/ok? (:call %)) (facts/run-of facts (:call %)))) (map :shard)) made)
        may-have? (may-have-made facts)]
    (for [call        calls
          [shard run] (facts/shards-and-run call)
          :when       (and (or (known run) (surely shard)) (not (may-have? run shard (:end call))))]
      (violation (str "run " run ": " (name (:f call)) " tells of shard " shard ", which nothing made there") (:end call)))))

(defn- may-be-same?
  "Whether two calls may be tries of one operation."
  [facts a b]
  (or (= (facts/operation facts a) (facts/operation facts b))
      (and (= (:f a) (:f b))
           (not (and (:op-id (:in a)) (:op-id (:in b)))))))

(defn- made-once
  "Names that were given twice."
  [{:keys [made] :as facts}]
  (loop [[{:keys [shard call root?]} & more :as made] (filter (comp h/ok? :call) made), firsts {}, in-call #{}, found []]
    (if (empty? made)
      found
      (let [run   (facts/run-of facts call)
            first (get firsts [run shard])
            other (when (and run first (not (may-be-same? facts first call))) first)
            bad?  (or other
                      (in-call [(:index call) shard])
                      (and (not root?) (= shard (:shard (:in call)))))]
        (recur more
               (if first firsts (assoc firsts [run shard] call))
               (conj in-call [(:index call) shard])
               (cond-> found
                 bad? (conj (violation (str (name (:f call)) " gives the name " shard " to a shard, which another has")
                                       (:end other) (:end call)))))))))

(defn- empty-roots
  [{:keys [made]}]
  (for [{:keys [shard start end root? call]} made
        :when (and root? (h/ok? call) start end (not (key< start end)))]
    (violation (str "root " shard " is registered with [" start ", " end "), which is empty") (:end call))))

(defn check
  "{:violations}; that nothing is wrong with them counts for no check of the splits."
  [facts]
  {:violations (into [] cat [(strangers facts (filter facts/of-now? (:calls facts))) (made-once facts) (empty-roots facts)])})
