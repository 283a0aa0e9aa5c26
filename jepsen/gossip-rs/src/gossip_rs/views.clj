(ns gossip-rs.views
  "What each node's view of the cluster must show once everything has healed. Pure.

  G1 compares the last views with each other, and views that are equally wrong are equal. So beside it: each holds every node
  of the test, as alive, and all members' facts name the same leader in the same term, one of whom says that it leads. Nodes that were
  not mended are left out, and the leader may be one of them (`gossip-rs.invariants.healing`)."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts]
            [gossip-rs.invariants.healing :as healing]))

(defn- last-views
  "{node view}: of each node's last final read."
  [ops]
  (into (sorted-map)
        (for [[node calls] (group-by (comp :node :in)
                                     (filter #(and (= :read-view (:f %)) (h/ok? %) (:final? (:in %))) (h/calls ops)))]
          [node (:view (:out (last (sort-by :end calls))))])))

(defn- faults
  [nodes all? reader view]
  (let [facts   (fn [key] (for [node nodes] (get-in view [node key :value])))
        leaders (frequencies (facts "leader"))]
    (concat (for [node nodes
                  :let  [health (get-in view [node "health" :value])]
                  :when (not= "alive" health)]
              (str reader " sees " node " as " (or health "nobody")))
            (when (or (not= 1 (count leaders)) (contains? leaders nil))
              [(str reader " sees these leaders, as leader@term: " (pr-str leaders))])
            (let [leading (count (filter #{"leader"} (facts "role")))]
              (when (if all? (not= 1 leading) (< 1 leading))
                [(str reader " sees " leading " nodes lead")])))))

(defn check
  "{:valid? :checked :faults}. Views that nobody read are unknown, and those of nodes of which nobody knows whether they were mended."
  [ops nodes]
  (let [unmended (healing/of-history ops (facts/judged ops))
        owed?    #(and unmended (not (unmended %)))
        views    (into (sorted-map) (filter (comp owed? key)) (last-views ops))
        faults   (vec (mapcat (fn [[reader view]] (faults (filter owed? nodes) (empty? unmended) reader view)) views))]
    {:valid?  (cond (seq faults)   false
                    (empty? views) :unknown
                    :else          true)
     :checked (count views)
     :faults  faults}))
