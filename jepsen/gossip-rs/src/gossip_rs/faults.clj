(ns gossip-rs.faults
  "What a step of the schedule means for this cluster: concrete nodes, links and packet filters. Pure."
  (:require [clojure.string :as str]))

(def ends
  "What begins a fault: what ends it. To heal ends all."
  {:start-partition :stop-partition, :kill :start, :pause :resume, :skew :reset-clock, :shrink :grow
   :start-client-fault :stop-client-fault})

(def begins
  "Nemesis operations that begin a fault."
  (set (keys ends)))

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
