(ns gossip-rs.invariants.g1
  "G1, convergence: every live node's gossip view becomes the same.

  Judged node by node from each node's last final read of its view, never from the union of them: an element that is missing
  on one node for ever must not be excused by another node that has it. All last views must be equal, and must show every
  published fact at its version or a later one. A node that was asked for its view must have answered at least once: of a
  view that nobody saw nobody knows that it became the same.

  Neither the views nor the facts of nodes that were not mended at the end are looked at (`gossip-rs.invariants.healing`)."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]
            [gossip-rs.invariants.healing :as healing]))

(defn- last-views
  "Each node's last final view: [node call]."
  [facts]
  (for [[node calls] (group-by (comp :node :in) (facts/final-reads facts :read-view))]
    [node (last (sort-by :end calls))]))

(defn fact
  "The name of a fact, whether its parts are strings or keywords."
  [node key]
  [(name node) (name key)])

(defn versions
  "{fact version}: what a view shows, as far as it tells versions. Views map node to key to version, or to a map with :version."
  [view]
  (into {} (for [[node shown] view
                 [key value]  shown
                 :let  [version (if (map? value) (:version value) value)]
                 :when version]
             [(fact node key) version])))

(defn- of-mended
  "What a view shows of the nodes that were mended."
  [{:keys [unmended]} {:keys [out]}]
  (if (empty? unmended)
    (:view out)
    (into {} (remove (fn [[node _]] (unmended (healing/node-name node)))) (:view out))))

(defn- different
  [facts views]
  (for [[[node-a a] [node-b b]] (partition 2 1 views)]
    (when (not= (of-mended facts a) (of-mended facts b))
      (violation (str "nodes " node-a " and " node-b " end with different views") (:end a) (:end b)))))

(defn- missing
  [{:keys [calls] :as facts} views]
  (for [[reader call] views
        :let    [shown (versions (:view (:out call)))]
        publish calls
        :when   (and (= :publish (:f publish)) (h/ok? publish) (< (:end publish) (:index call)))
        :let    [{:keys [node key version]} (:out publish)]
        :when   (facts/owes? facts node)
        :let    [seen (get shown (fact node key))]]
    (when (or (nil? seen) (and version (< seen version)))
      (violation (str "node " reader " never saw " key " of " node " at version " version " (has " (pr-str seen) ")")
                 (:end publish) (:end call)))))

(defn- never-shown
  "Nodes that were asked for their view and never answered."
  [{:keys [calls] :as facts} views]
  (let [shown (set (map first views))]
    (for [[node calls] (group-by (comp :node :in) (filter #(and (= :read-view (:f %)) (:final? (:in %))) calls))
          :when (and (not (shown node)) (facts/owes? facts node))]
      (apply violation (str "node " node " never showed its view") (map #(or (:completion %) (:index %)) calls)))))

(defn check
  [facts]
  (let [views (sort-by first (filter #(facts/owes? facts (first %)) (last-views facts)))]
    (facts/tally (concat (never-shown facts views) (different facts views) (missing facts views)))))
