(ns gossip-rs.findings
  "What the checkers beside the invariants found, in words and with what shows it. Pure: a map of results in, data out."
  (:require [clojure.string :as str]))

(defn- knossos
  [{:keys [anomalies]}]
  (for [[shard {:keys [at op claim beside]}] anomalies]
    {:id "L", :shard shard, :at [at]
     :message (str "shard " shard ": no order of its calls explains the " (some-> (:f op) name) " that ends at index " at
                   (when claim (str " but the lost claim " claim ", which shard " beside " needs")))}))

(defn- elle
  [{:keys [valid? anomaly-types at foreign]}]
  (concat (when (and (false? valid?) (seq anomaly-types))
            [{:id "Elle", :at (vec at), :message (str "checkpoint lists: " (str/join ", " (map name anomaly-types)))}])
          (for [{:keys [message at]} foreign]
            {:id "Elle", :at at, :message message})))

(defn- nodes
  [{:keys [deaths lines]}]
  (concat (for [{:keys [node time last-line]} deaths]
            {:id "node", :time time, :message (str node " ended by itself; its last line: " last-line)})
          (for [[node line] lines]
            {:id "node", :message (str "log of " node ": " line)})))

(defn beside-invariants
  "The violations that no invariant's row shows: [{:id :message, :at [indices] :shard :time}]."
  [{:keys [linearizable views healing rust] :as results}]
  (vec (concat (nodes (:nodes results))
               (knossos linearizable)
               (elle (:elle results))
               (for [fault (:faults views)] {:id "G1", :message fault})
               (when (false? (:valid? healing))
                 [{:id "S6", :message (str/join ": " (map str (:error healing)))}])
               (for [{:keys [what clojure rust]} (:different rust)]
                 {:id "judges", :message (str (name what) ": we say " (pr-str clojure) ", the Rust judge " (pr-str rust))}))))

(defn- linearizability-notes
  [{:keys [shards checked skipped unknown operations longest]}]
  [(str "Knossos: " checked " of " shards " shards checked, " (count unknown) " given up, " (count skipped)
        " skipped (only their making is known); " operations " operations, at most " longest " a shard"
        " (one counts for each shard that it tells of, or may have changed)")
   (when (seq unknown)
     (str "Knossos gave up on " (str/join ", " (for [[shard {:keys [cause]}] unknown] (str shard " (" cause ")")))))])

(defn- harness-notes
  [{:keys [healing final-reads answers nodes rust report views]}]
  (concat (when (= :unknown (:valid? healing))
            [(str "healing: " (pr-str (:error healing)))])
          (for [{:keys [f error]} (:steps healing)]
            (str "nemesis: " (name f) " was not done: " (pr-str error)))
          (for [[f run node] (:missing final-reads)]
            (str "final reads: no " (name f) (when run (str " of " run)) " from " node))
          (for [[reason n] (:unknown-reasons answers)]
            (str "answers: " n " with the reason " reason ", which the error table does not have"))
          (for [[class n] (:exceptions answers)]
            (str "answers: " n " operations ended in " class))
          (when (false? (:watched? nodes)) ["nodes: nobody watched whether they ended"])
          (for [node (:no-log nodes)] (str "nodes: no log of " node))
          (when (= :unknown (:valid? views)) ["views: none was read of a node that was mended"])
          [(str "Rust judge: " (case (:valid? rust) true "agrees", false "DISAGREES", "not compared"))]
          (for [gap (:gaps rust)] (str "Rust judge: " gap))))

(defn- crashes
  "Checkers of ours that ended in an exception."
  [results]
  (for [[name {:keys [error valid?]}] results
        :when (and (map? error) (= :unknown valid?))]
    (str "checker " (clojure.core/name name) " failed: " (:cause error))))

(defn notes
  "Everything else that whoever reads the report should know: texts."
  [{:keys [coverage elle linearizable invariants] :as results}]
  (vec (remove nil?
               (concat (map #(str "coverage: " %) (:missing coverage))
                       (map #(str "left out: " %) (mapcat :left-out (vals (:judgement invariants))))
                       (for [id (:required invariants)
                             :let  [{:keys [valid? left-out]} (get (:judgement invariants) id)]
                             :when (and (= :unknown valid?) (empty? left-out))]
                         (str "coverage: " (name id) " is required, and there was nothing to check it by"))
                       [(str "faults that took hold: " (pr-str (:faults coverage)) ", leases that ran out under their holder: "
                             (:takeovers coverage))]
                       (linearizability-notes linearizable)
                       [(str "Elle: " (pr-str (:valid? elle)) ", " (:transactions elle 0) " transactions"
                             " (one for each checkpoint, and one for each shard's list that an answer showed)")]
                       (harness-notes results)
                       (crashes results)))))
