(ns gossip-rs.invariants.deletions
  "Deletions of runs, a part of S3: only a run that has ended is deleted, and nothing of it is left.

  A deletion that was answered took effect between the first try of its op id and its answer. If something that was answered
  before that first try shows the run alive, its end must have been asked for before the deletion was answered; an end that
  was refused is none, one whose answer was lost may be one. After the answer nothing about the run succeeds: with the run goes
  its op log, so that not even an answer of before is given again, nor is there anything for another deletion to delete. A run that
  may have been made once more is not judged here, and of one that nothing shows before its deletion nobody knows how it stood."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]))

(def ^:private shows-alive-by-itself
  (into #{:start-run :unpark} (concat facts/run-makers facts/grants facts/lease-writes)))

(defn shows-alive?
  "Whether an answer shows that the run had not ended, at some moment of the history."
  [{:keys [f out]}]
  (let [status (facts/status (:status out))]
    (case f
      :read-run   (and status (not (facts/run-terminal? status)))
      :read-shard (and status (not (facts/terminal? status)))
      (shows-alive-by-itself f))))

(defn- tells?
  "Whether a call was answered, by something that promises to be of now."
  [{:keys [f] :as call}]
  (and (h/ok? call)
       (not= :delete-run f)
       (facts/of-now? call)))

(defn- life
  "What the calls about a run, none of which failed, tell of it: the place of the first answer that shows it `:alive`, that of
  the first call that may have ended it, the place `:made-until` where the last that may have made it ended, and the `:last`
  answer, and the answered deletions."
  [calls]
  (let [least #(when (seq %) (apply min %))]
    {:alive      (least (map :end (filter #(and (tells? %) (shows-alive? %)) calls)))
     :end-asked  (least (map :index (filter #(facts/run-ends (:f %)) calls)))
     :made-until (reduce max -1 (map :end (filter #(facts/run-makers (:f %)) calls)))
     :last       (last (filter tells? calls))
     :deletions  (filter #(and (= :delete-run (:f %)) (h/ok? %)) calls)}))

(defn- rival?
  "Whether another deletion, invoked later, was answered too, and nothing can have made the run in between, in whatever order the two
  took effect. Without an op id it may be another try of the first. Where no maker is recorded, whoever made it may have done so again."
  [facts made-until deletion other]
  (and (< (:index deletion) (:index other))
       (not= (facts/operation facts deletion) (facts/operation facts other))
       (:op-id (:in deletion))
       (:op-id (:in other))
       (< -1 made-until (min (facts/effect-from facts deletion) (facts/effect-from facts other)))))

(defn- check-deletion
  [facts run {:keys [alive end-asked made-until last deletions]} deletion]
  (let [from  (facts/effect-from facts deletion)
        rival (first (filter #(rival? facts made-until deletion %) deletions))]
    (when (and alive (< alive from) (<= made-until from))
      {:checks     1
       :violations (cond-> []
                     (not (and end-asked (< end-asked (:end deletion))))
                     (conj (violation (str "run " run " was deleted, and nothing had ended it") alive (:end deletion)))

                     rival
                     (conj (violation (str "run " run " was deleted twice, and nothing made it in between")
                                      (:end deletion) (:end rival)))

                     (< (:end deletion) (:index last))
                     (conj (violation (str "run " run ": " (name (:f last)) " succeeded after delete-run")
                                      (:end deletion) (:end last))))})))

(defn check
  "{:checks :violations} of each deletion."
  [{:keys [calls] :as facts}]
  (let [deletions (filter #(and (= :delete-run (:f %)) (h/ok? %)) calls)
        by-run    (when (seq deletions)
                    (group-by #(facts/run-of facts %) (remove h/failed? calls)))
        lives     (into {} (for [run (distinct (map (comp :run :in) deletions))] [run (life (by-run run))]))]
    (keep (fn [{:keys [in] :as deletion}]
            (check-deletion facts (:run in) (lives (:run in)) deletion))
          deletions)))
