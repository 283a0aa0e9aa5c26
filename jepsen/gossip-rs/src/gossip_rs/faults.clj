(ns gossip-rs.faults
  "What a step of the schedule means for this cluster: concrete nodes, links and packet filters. Pure."
  (:require [clojure.string :as str]
            [gossip-rs.errors :as errors]))

(def ends
  "What begins a fault: what ends it. To heal ends all."
  {:start-partition :stop-partition, :kill :start, :pause :resume, :stall :go-on, :skew :reset-clock, :shrink :grow
   :start-client-fault :stop-client-fault})

(def begins
  "Kinds of steps that begin a fault."
  (set (keys ends)))

(defn kind
  "A step's kind. A worker that stalls is a fault of its own: no node stands still for it."
  [{:keys [f value]}]
  (if (map? value)
    (get {:pause :stall, :resume :go-on} f f)
    f))

(defn- named-nodes
  [{:keys [value]}]
  (set (when (sequential? value) (filter string? value))))

(defn done?
  "Whether an end ended something. A step that met nothing did, and a heal after which a node does not serve."
  [end]
  (contains? #{nil :no-effect :not-serving} (errors/reason-of end)))

(defn- after-end
  "A span after one more step. A step that names no nodes ends it for all."
  [{:keys [begin left] :as span} step]
  (if (and (nil? (:end span))
           (or (= :heal (:f step)) (= (kind step) (ends (kind begin))))
           (done? step))
    (let [named (when (not= :heal (:f step)) (named-nodes step))
          left  (if (seq named) (reduce disj left named) #{})]
      (cond-> (assoc span :left left)
        (empty? left) (assoc :end step)))
    span))

(defn spans
  "Every fault that took hold: [{:begin step :end step :left nodes}], from the completions of the nemesis's steps in order
  (`history/nemesis-steps`). Without an `:end` it is still under way, on the nodes `:left` where its steps name nodes."
  [steps]
  (reduce (fn [spans step]
            (cond-> (mapv #(after-end % step) spans)
              (and (begins (kind step)) (not (:error step))) (conj {:begin step, :left (named-nodes step)})))
          []
          steps))

(defn resolve-node
  "A node, or whoever leads: [:leader otherwise]."
  [who leader]
  (if (and (vector? who) (= :leader (first who)))
    (or leader (second who))
    who))

(defn aims-at-leader?
  "Whether a step's value needs to know who leads."
  [value]
  (boolean (some #(= :leader %) (tree-seq coll? seq value))))

(defn cut-links
  "The links [from to] that a cut stops, among `nodes`."
  [[shape arg] nodes leader]
  (let [who   (when (not= :halves shape) (resolve-node arg leader))
        side  (if (= :halves shape)
                (set arg)
                ; Of a bridge: the others by turns on this side and that.
                (set (take-nth 2 (remove #{who} nodes))))
        cuts? (case shape
                :halves  (fn [from to] (not= (contains? side from) (contains? side to)))
                :isolate (fn [from to] (or (= who from) (= who to)))
                :deaf    (fn [_ to] (= who to))
                :mute    (fn [from _] (= who from))
                :bridge  (fn [from to] (and (not= who from) (not= who to)
                                            (not= (contains? side from) (contains? side to)))))]
    (vec (for [from nodes, to nodes
               :when (and (not= from to) (cuts? from to))]
           [from to]))))

(defn filter-rule
  "What iptables does with packets of a cut link. Containers have no netem, so a slow link is a lossy one here: TCP makes
  delay of it."
  [how]
  (case (if (sequential? how) (first how) how)
    :drop              ["-j" "DROP"]
    :tear              ["-p" "tcp" "-j" "REJECT" "--reject-with" "tcp-reset"]
    (:delay :throttle) ["-m" "statistic" "--mode" "random" "--probability" "0.2" "-j" "DROP"]))

(defn rules
  "{node [command-line ...]}: what each node's iptables is given so that `links` are cut. `address` gives a node's IP."
  [links how address]
  (reduce (fn [rules [from to]]
            (update rules to (fnil conj [])
                    (into ["-A" "INPUT" "-s" (address from)] (concat (filter-rule how) ["-w"]))))
          {}
          links))

(defn packets
  "How many packets the filters met, from `iptables -L INPUT -v -n -x`."
  [listing]
  (reduce + 0 (for [line  (str/split-lines listing)
                    :let  [[count _ target] (str/split (str/trim line) #"\s+")]
                    :when (#{"DROP" "REJECT"} target)]
                (parse-long count))))

(defn value-now
  "A step's value with concrete nodes."
  [{:keys [f value]} {:keys [nodes leader]}]
  (let [concrete #(resolve-node % leader)]
    (case f
      :start-partition    (let [[shape arg] (:cut value)]
                            {:shape (if (= :halves shape) [shape arg] [shape (concrete arg)])
                             :how   (:how value)
                             :cut   (cut-links (:cut value) nodes leader)})
      (:kill :shrink)     (vec (distinct (map concrete value)))
      :pause              (if (map? value) value (vec (distinct (map concrete value))))
      :skew               (into (sorted-map) (for [[who skew] value] [(concrete who) skew]))
      :start-client-fault (update value :node concrete)
      value)))
