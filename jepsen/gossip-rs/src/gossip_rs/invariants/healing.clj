(ns gossip-rs.invariants.healing
  "How the end of all faults went, as the nemesis's last `:heal` tells it: who owes service since then.

  `:value {:unmended [\"n3\"]}` names the nodes of which the harness does not know that their faults are over
  (`histories/README.md`). Fewer than half of the nodes that the history names are excused, and nobody else. With more of them the
  rest may be no majority, and nothing is owed. So it is where a heal failed and names nobody; one that failed because the service
  did not serve (`:not-serving`) had ended all faults. A history without a heal is judged as one without faults."
  (:require [clojure.set :as set]
            [clojure.string :as str]
            [gossip-rs.errors :as errors]
            [gossip-rs.history :as h]))

(defn node-name
  [node]
  (if (ident? node) (name node) (str node)))

(defn failed?
  "Whether a heal failed for a reason of the harness."
  [heal]
  (and (h/step-failed? heal)
       (not= :not-serving (errors/reason-of heal))))

(defn unmended
  "The nodes that a heal leaves unmended, in a history that names these nodes. nil: whether anything is over is not known, or not of
  enough nodes."
  [{:keys [value] :as heal} nodes]
  (let [told (when (map? value) (:unmended value))]
    (cond (or (sequential? told) (set? told))
          (let [named (set (map node-name told))]
            (when (or (empty? named)
                      (< (* 2 (count named)) (count (set/union (set nodes) named))))
              named))
          ; What cannot be read names nobody, and may have been meant for anybody.
          (or (some? told) (failed? heal)) nil
          :else                    #{})))

(defn- last-heal
  [ops]
  (last (filter #(= :heal (:f %)) (h/nemesis-ops ops))))

(defn of-history
  "As `unmended`, of the last heal."
  [ops calls]
  (if-let [heal (last-heal ops)]
    (unmended heal (map node-name (keep (comp :node :in) calls)))
    #{}))

(defn left-out
  "What is not judged because of how the heal went: sentences. A run of which they say something is no pass."
  [ops unmended]
  (cond (nil? unmended) ["the faults were not ended: no node owed service"]
        (seq unmended)  [(str "the faults of " (str/join ", " (sort unmended)) " were not ended: it owed no service")]
        (some-> (last-heal ops) failed?) ["the heal failed"]))
