(ns gossip-rs.search
  "Linearizability by brute force, for histories of a few calls: every order is tried. It shares the calls of each shard (`linear`), `model/step`
  and what one claim can be (`claims`) with Knossos, not the search, and needs Clojure alone."
  (:require [gossip-rs.claims :as claims]
            [gossip-rs.history :as h]
            [gossip-rs.linear :as linear]
            [gossip-rs.model :as model]))

(defn- firsts
  "Of the calls that are left, those that may come next: invoked before any answered one ended."
  [calls]
  (let [bound (reduce min Long/MAX_VALUE (map :end (filter h/ok? calls)))]
    (filter #(< (:index %) bound) calls)))

(defn linearizable?
  "Whether the answered calls of one shard, and any of the open ones, have an order that the model accepts."
  [{:keys [model calls]}]
  (loop [todo [[model (set calls)]], seen #{}]
    (if-let [[state left :as config] (peek todo)]
      (cond (not-any? h/ok? left) true
            (seen config)         (recur (pop todo) seen)
            :else (recur (into (pop todo)
                               (for [{:keys [f out] :as call} (firsts left)
                                     :let  [next (model/step state {:f f, :value out})]
                                     :when (not (model/inconsistent? next))]
                                 [next (disj left call)]))
                         (conj seen config)))
      false)))

(defn anomalies
  "The shards of a history that have no such order, and those that need one and the same lost claim for it."
  [ops]
  (let [{fine true, bad false} (group-by (comp linearizable? val) (linear/shards ops))
        twice                  (claims/granted-twice fine (fn [part] {:valid? (linearizable? part)}))]
    (distinct (concat (map key bad) (map first (mapcat :needing twice))))))
