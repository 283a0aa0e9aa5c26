(ns gossip-rs.invariants.s5
  "S5, idempotency: one op id, one effect, one answer. An op id counts within its run (`facts/operation`).

  All answers to one op id must agree in what the service said (shard, fence, times on the lease clock, children, cursor);
  only the same request may be answered at all; and once an answer has been given, the same request must not be refused by
  the state machine afterwards. Refusals by a node that did not take the request (overload, no leader) prove nothing.

  An answer that the service may have forgotten (`gossip-rs.invariants.oplog`) proves nothing either: its op id is a new
  request then, and the next answer is the one to compare with. An answer to a call was in the op log while that call was
  under way, so that another that comes after it cannot have been put there before that call was invoked.

  An answer is one to what was asked: where it repeats the request it repeats it as it was, with the same shard, worker, fence,
  roots, cuts. Two requests differ if they differ in what is known to be sent to the service, and are the same if they differ in
  nothing but notes of the recorder (the node that was asked, say); whatever else they differ in is held against nobody.

  An op id counts as a check when two of its answers were compared, or when another request under it was refused as it must be."
  (:require [gossip-rs.errors :as errors]
            [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]
            [gossip-rs.invariants.oplog :as oplog]))

(defn- difference
  "Why two answers are not the same."
  [a b]
  (cond (not= (oplog/request a) (oplog/request b)) "answered for two different requests"
        (not= (oplog/answer a) (oplog/answer b))   (str "answered with " (pr-str (oplog/answer a)) ", then with " (pr-str (oplog/answer b)))))

(defn- made-from
  "The first try that may have got this answer as a new one."
  [calls answered]
  (apply min (keep #(when (or (h/open? %) (and (h/ok? %) (nil? (difference % answered)))) (:index %)) calls)))

(defn- answers
  "What stood in the op log, one after the other: {:call, the first that got it, :from, the earliest place at which it may have
  been put there}. An answer that differs though the one before it cannot be forgotten comes as the last, with its :fault."
  [log calls]
  (let [[first & more] (sort-by :end (filter h/ok? calls))]
    (loop [kept [{:call first, :from (apply min (map :index (remove h/failed? calls)))}], last first, more more]
      (let [{known :call, from :from} (peek kept)
            [call & more]             more
            fault                     (when call (difference known call))]
        (cond (nil? call)  kept
              (nil? fault) (recur kept call more)
              (oplog/may-have-forgotten? log known from (:end call))
              (recur (conj kept {:call call, :from (max (made-from calls call)
                                                        (if (< (:end last) (:index call)) (:index last) from))})
                     call more)
              :else (conj kept {:call call, :fault fault}))))))

(defn- refused
  "[answered refused]: each refusal by the state machine that came after an answer to the same op id, with what `kept` says stood
  in the op log then."
  [kept calls]
  (for [call  calls
        :when (and (h/failed? call) (errors/refusals (errors/reason-of call)))
        :let  [known (last (filter #(< (:end (:call %)) (:index call)) kept))]
        :when known]
    [known call]))

(defn- unjust?
  "Whether what was refused is what had been answered and cannot be forgotten."
  [log [{known :call, from :from} call]]
  (and (oplog/surely-same-request? known call)
       (not (oplog/may-have-forgotten? log known from (:end call)))))

(defn- due?
  "Whether a call was refused since its op id is that of another request."
  [[{known :call} call]]
  (and (= :op-id-conflict (errors/reason-of call))
       (not= (oplog/request known) (oplog/request call))))

(defn- check-id
  "{:checks :violations} of all calls that carried one op id, in one run."
  [log [{{id :op-id} :in} :as calls]]
  (when-let [oks (seq (filter h/ok? calls))]
    (let [kept                 (answers log calls)
          {:keys [fault call]} (peek kept)
          refused              (when-not fault (refused kept calls))
          [{known :call} bad]  (first (filter #(unjust? log %) refused))]
      (cond fault
            {:checks     1
             :violations [(violation (str "op id " id " was " fault) (:end (:call (peek (pop kept)))) (:end call))]}
            bad
            {:checks     1
             :violations [(violation (str "op id " id " was answered, then refused: " (name (errors/reason-of bad)))
                                     (:end known) (:end bad))]}
            ; Each answer is the one before it again, or begins anew what the op log holds.
            (or (< (count kept) (count oks)) (some due? refused))
            {:checks 1}))))

(def ^:private asked
  "What a request says and its answer repeats."
  [:run :shard :worker :op-id :shards :cuts :at])

(defn- misanswered
  "Why an answer is not one to its request."
  [{:keys [f in out index end] :as call}]
  (when (h/ok? call)
    (when-let [k (first (filter #(and (some? (get in %)) (not= (get in %) (get out %)))
                                (cond-> asked (facts/lease-writes f) (conj :fence))))]
      (violation (str (name f) " was asked for " k " " (pr-str (get in k)) " and answered for " (pr-str (get out k))) index end))))

(defn check
  [{:keys [calls] :as facts}]
  (let [log (oplog/op-log facts)]
    (facts/total
      (cons
        {:violations (keep misanswered calls)}
        (for [[_ tries] (group-by #(facts/operation facts %) calls)
              :when (< 1 (count tries))]
          (check-id log tries))))))
