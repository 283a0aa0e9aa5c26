(ns gossip-rs.invariants.g2
  "G2, speed of the gossip: a published fact is seen within a bound by every node that it can reach, and never goes back.

  Two nodes reach each other while messages pass both ways between them, by way of others too, over links that no partition
  cuts and nodes that are up: facts go round. For each view that a node was asked for, each fact that it shows in an older
  version than one published before must have had less than the bound to arrive: counted from its publication, or from the
  moment since which the two nodes reach each other, whichever is later. What was parted or down has the bound once more
  when it comes back, for processes to start and connections to come about. A view that shows a fact older than the same
  node's view before did is a violation at once, unless a node was killed, started or replaced meanwhile: one that starts
  knows nothing.

  A nemesis operation stands in the history when it begins and when it is done. What it takes away is counted as gone from
  the first of the two, what it gives back from each of them anew. A step that failed may have been done in part: it takes away all
  that it was to, and gives nothing back; of a heal the nodes that were not mended stay gone (`gossip-rs.invariants.healing`)."
  (:require [gossip-rs.errors :as errors]
            [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [violation]]
            [gossip-rs.invariants.g1 :as g1]
            [gossip-rs.invariants.healing :as healing]))

(def bound-ns
  "Eight rounds of the gossip. Shorter than any fault of a workload that is judged by it."
  4000000000)

(defn- publications
  "{[owner key] [{:version :time :end}]}, by rising version."
  [{:keys [calls]}]
  (->> calls
       (filter #(and (= :publish (:f %)) (h/ok? %) (:version (:out %))))
       (map (fn [{:keys [out end end-time]}]
              {:fact (g1/fact (:node out) (:key out)), :version (:version out), :time (or end-time Long/MAX_VALUE), :end end}))
       (group-by :fact)
       (map (fn [[fact published]] [fact (vec (sort-by (juxt :version :time :end) published))]))
       (into (sorted-map))))

(defn- views
  "{:call :reader :shown {[owner key] version}} of every view that a node gave."
  [{:keys [calls]}]
  (for [{:keys [in out] :as call} calls
        :when (and (= :read-view (:f call)) (h/ok? call) (:node in))]
    {:call   call
     :reader (name (:node in))
     :shown  (g1/versions (:view out))}))

;; Who reaches whom, and since when

(defn- met-from
  "The nodes to which messages from `a` pass, by way of others too."
  [{:keys [nodes cut down]} a]
  (loop [met #{a}, todo [a]]
    (if-let [from (peek todo)]
      (let [next (remove #(or (met %) (down %) (cut [from %])) nodes)]
        (recur (into met next) (into (pop todo) next)))
      met)))

(defn- redraw
  [{:keys [nodes down grace since] :as reach} now afresh?]
  (let [met     (into {} (for [a nodes :when (not (down a))] [a (met-from reach a)]))
        passes? (fn [a b] (contains? (get met a #{}) b))]
    (assoc reach :since (into {} (for [a nodes, b nodes
                                       :when (and (passes? a b) (passes? b a))]
                                   [[a b] (if afresh? (+ now grace) (get since [a b] now))])))))

(defn- after-step
  "Who reaches whom after this operation of the nemesis."
  [{:keys [nodes] :as reach} {:keys [f value time] :as step}]
  (let [; One that names nobody is for all that stand still.
        value  (if (and (= :resume f) (nil? value)) (:paused reach) value)
        items  #(when (or (sequential? %) (set? %)) %)
        named  #(map healing/node-name (filter (some-fn string? ident?) %))
        names  (set (named (items value)))
        reach  (case f
                 ; Filters are added to those that a stop in vain left there.
                 :start-partition     (update reach :cut into (for [link (items (:cut (when (map? value) value)))
                                                                    :let [[a b] (when (items link) (named link))]
                                                                    :when b]
                                                                [a b]))
                 :stop-partition      (assoc reach :cut #{})
                 :pause               (-> reach (update :down into names) (update :paused into names))
                 (:kill :shrink)      (-> reach (update :down into names) (update :paused #(into #{} (remove names) %)))
                 (:start :resume :grow) (update reach :down #(into #{} (remove names) %))
                 :heal                (assoc reach :cut #{} :paused #{} :down (or (healing/unmended step nodes) (set nodes)))
                 reach)]
    (if (contains? #{:skew :reset-clock} f)
      reach
      (redraw reach (or time 0) (contains? #{:start :resume :grow :heal :stop-partition} f)))))

(defn- new-life?
  "A step that failed may have been one all the same."
  [{:keys [f]}]
  (contains? #{:kill :start :shrink :grow :heal} f))

(defn- gave-nothing-back?
  "Whether a step that was to end faults did not. One that met nothing had ended them."
  [{:keys [f] :as step}]
  (and (contains? #{:stop-partition :heal :start :resume :grow} f)
       (healing/failed? step)
       (not= :no-effect (errors/reason-of step))))

(def ^:private takes-away-or-tells
  "Steps that count though they failed: what may have been done in part, and a heal, which tells itself how far it was done."
  #{:start-partition :kill :pause :shrink :heal})

(defn- took-hold?
  [step]
  (or (takes-away-or-tells (:f step)) (not (h/step-failed? step))))

(defn- nemesis-steps
  "What the nemesis did or tried, but for what was planned in vain."
  [{:keys [nemesis]}]
  (for [[step next] (partition-all 2 1 nemesis)
        :when (not (and (= (:f step) (:f next)) (gave-nothing-back? next)))]
    step))

;; Judgement

(defn- late
  "Facts that a view shows too old for their age."
  [published {:keys [since]} bound {:keys [call reader shown]}]
  (for [[[owner key :as fact] publications] published
        :let  [from (get since [owner reader])]
        :when from]
    (let [seen (get shown fact Long/MIN_VALUE)
          {:keys [version time end]} (first (drop-while #(<= (:version %) seen) publications))
          age  (if version (- (or (:time call) 0) (max time from)) 0)]
      (when (< bound age)
        (violation (format "node %s has not seen %s of %s at version %d for %.1f s (bound %.1f s)"
                           reader key owner version (/ age 1e9) (/ bound 1e9))
                   end (:end call))))))

(defn- backwards
  [before {:keys [call reader shown]}]
  (for [[[owner key :as fact] was] (sort-by first (:shown before))
        :let  [is (get shown fact)]
        :when is]
    (when (< is was)
      (violation (str "node " reader " saw " key " of " owner " at version " was ", then at " is)
                 (:index (:call before)) (:end call)))))

(defn- judge-view
  [{:keys [reach lives newest steps published bound] :as state} {:keys [call reader] :as view}]
  (let [; What happened while the view was read counts against nobody.
        [begun later] (split-with #(< (:index %) (:end call)) steps)
        reach  (reduce after-step reach (filter took-hold? begun))
        lives  (or (:index (last (filter new-life? begun))) lives)
        before (get newest reader)]
    (-> state
        (assoc :reach reach, :lives lives, :steps later)
        (assoc-in [:newest reader] view)
        (update :outcomes into (concat (late published reach bound view)
                                       (when (and before (< lives (:index (:call before))))
                                         (backwards before view)))))))

(defn check
  ([facts]
   (check facts bound-ns))
  ([facts bound]
   (let [published (publications facts)
         views     (views facts)
         nodes     (into (sorted-set) (concat (map :reader views) (map first (keys published))))
         reach     (redraw {:nodes nodes, :cut #{}, :down #{}, :paused #{}, :since {}, :grace bound} 0 false)]
     (facts/tally (:outcomes (reduce judge-view
                                     {:reach reach, :lives -1, :newest {}, :steps (nemesis-steps facts)
                                      :published published, :bound bound, :outcomes []}
                                     views))))))
