(ns gossip-rs.invariants.floors
  "The best of what was shown up to each place in a history: the highest fence, the furthest cursor, the latest time.")

(defn floors
  "A sorted map from the place of each thing to the best one up to there. `place` tells where a thing was shown; `better?` whether
  its first argument beats its second."
  [place better? things]
  (let [things (sort-by place things)]
    (into (sorted-map)
          (map vector
               (map place things)
               (rest (reductions (fn [best thing] (if (and best (not (better? thing best))) best thing))
                                 nil
                                 things))))))

(defn before
  "The best thing that was shown before a place, if any was."
  [floors place]
  (some-> (first (rsubseq floors < place)) val))
