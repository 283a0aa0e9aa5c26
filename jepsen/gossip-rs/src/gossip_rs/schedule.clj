(ns gossip-rs.schedule
  "What the nemesis will do, decided before the run: a vector of `{:at ms :f :value}` drawn from the seed alone. The same
  nemesis, seed, nodes, time limit and lease give the same schedule as in the local tier, to the byte.

  One thing is left open on purpose: who leads at that moment. A step may aim `[:leader \"n2\"]`: whoever leads, else n2.
  The history then names the node that was hit.

  What a step means:

    :start-partition {:cut C :how H}   C: [:halves nodes] [:isolate who] [:deaf who] [:mute who] [:bridge who]
    :kill, :pause    [who ...]         or, for :pause, {:workers [i ...]}: these harness workers stall before they send
    :skew            {who {:wall-ms :rate-ppm}}
    :shrink          [who]
    :start-client-fault {:node who :how F}

  and each has its end: :stop-partition :start :resume :reset-clock :grow :stop-client-fault."
  (:require [clojure.string :as str]
            [gossip-rs.rng :as rng])
  (:import (java.security MessageDigest)))

(def nemeses
  "Every nemesis and what it does, in the order of the documentation."
  (array-map
    "none"                    "nothing: the control run"
    "partition-random-halves" "a random majority against the rest"
    "partition-random-node"   "one node alone"
    "partition-asymmetric"    "messages pass one way only, or one node sees two sides that do not see each other"
    "kill-random-node"        "SIGKILL, later a restart on the same data; all nodes at once included"
    "pause-random-node"       "SIGSTOP for longer than a lease; holders of leases stall as well"
    "clock-skew"              "wall clocks jump, monotonic rates are off by less than the drift margin"
    "clock-skew-strong"       "the same with rates beyond the margin: beliefs may overlap, fences must hold"
    "membership"              "nodes leave and come back empty while the load runs"
    "flaky-links"             "answers are lost after the commit, requests arrive twice, links are slow"
    "combined"                "several of the above at once"))

(defn needs-peers?
  "Whether it means anything with one node."
  [nemesis]
  (contains? #{"partition-random-halves" "partition-random-node" "partition-asymmetric" "membership" "combined"} nemesis))

(def ^:private lead-in-ms
  "The load runs this long before the first fault."
  1500)

(def ^:private lead-out-ms
  "No fault begins in the last part of the load, so that each can take hold."
  500)

(defn longest-fault-ms
  "No fault is meant to last longer; every pause is shorter by half a second and more."
  [lease-ms]
  (+ (* 2 lease-ms) 500))

(defn cycle-ms
  "The longest that one fault and its lead-in can take: a time limit below leaves the nemesis without a deed."
  [nemesis lease-ms]
  (if (= "none" nemesis)
    1000
    (+ lead-in-ms (longest-fault-ms lease-ms) lead-out-ms)))

; A plan is {:rng :shape :round}; a fault is {:length ms :steps [...]}. Draws happen in the order of the local tier.

(defn- node-name
  [{:keys [shape]} i]
  (nth (:nodes shape) i))

(defn- node-count
  [{:keys [shape]}]
  (count (:nodes shape)))

(defn- past-a-lease
  "Longer than a lease."
  [{:keys [rng shape]}]
  (let [lease (:lease-ms shape)]
    (rng/between rng (+ lease (quot lease 4)) (* 2 lease))))

(defn- who
  "A node; whoever leads in about a third of cases."
  [{:keys [rng] :as plan}]
  (let [node (node-name plan (rng/below rng (node-count plan)))]
    (if (rng/chance rng 35)
      [:leader node]
      node)))

(defn- during
  [at length start stop]
  {:length length
   :steps  [(assoc start :at at) (assoc stop :at (+ at length))]})

(defn- how
  [{:keys [rng]}]
  (if (zero? (rng/below rng 4))
    [:tear (rng/between rng 1 4000)]
    :drop))

(defn- partition-for
  [plan at cut how length]
  (during at length
          {:f :start-partition, :value (array-map :cut cut :how how)}
          {:f :stop-partition, :value nil}))

(defn- cut-links
  [plan at cut]
  (let [how    (how plan)
        length (past-a-lease plan)]
    (partition-for plan at cut how length)))

(defn- halves
  [{:keys [rng] :as plan} at]
  (let [order    (rng/shuffle rng (vec (range (node-count plan))))
        minority (take (max 1 (quot (dec (node-count plan)) 2)) order)]
    (cut-links plan at [:halves (mapv #(node-name plan %) (sort minority))])))

(defn- isolate
  [plan at]
  (cut-links plan at [:isolate (who plan)]))

(defn- asymmetric
  [{:keys [rng round] :as plan} at]
  (let [who   (who plan)
        ; By turns, so that a short run has each shape.
        shape (case (rem (+ round (rng/below rng 2)) 3)
                0 :deaf
                1 :mute
                2 (if (< 2 (node-count plan)) :bridge :deaf))]
    (cut-links plan at [shape who])))

(defn- kill
  [{:keys [rng shape] :as plan} at]
  (let [draw    (rng/below rng 5)
        nodes   (:nodes shape)
        victims (cond (= 0 draw)                             (vec nodes)
                      (and (= 1 draw) (< 4 (count nodes)))   [(first nodes) [:leader (peek nodes)]]
                      :else                                  [(who plan)])
        length  (rng/between rng 300 (* 2 (:lease-ms shape)))]
    (during at length {:f :kill, :value victims} {:f :start, :value nil})))

(defn- pause-workers
  [{:keys [rng shape]} at length]
  (let [order   (rng/shuffle rng (vec (range (:workers shape))))
        stalled (take (max 1 (quot (:workers shape) 2)) order)]
    (during at length
            {:f :pause, :value {:workers (vec (sort stalled))}}
            {:f :resume, :value {:workers :all}})))

(defn- pause
  "Nodes stop in two of three cases; holders of leases stall in two of three."
  [{:keys [rng round] :as plan} at]
  (let [length  (past-a-lease plan)
        kind    (rem (+ round (rng/below rng 2)) 3)
        nodes   (when (not= 2 kind)
                  (during at length {:f :pause, :value [(who plan)]} {:f :resume, :value nil}))
        workers (when (not= 0 kind)
                  (pause-workers plan at length))]
    {:length length
     :steps  (into (vec (:steps nodes)) (:steps workers))}))

(defn- skew
  "Each node's wall clock jumps on its own; rates are off by up to percent."
  [{:keys [rng shape] :as plan} at percent]
  (let [skews  (reduce (fn [skews node]
                         (let [magnitude (rng/pick rng [2000 20000 90000 600000])
                               wall      (rng/between rng (quot magnitude 2) magnitude)
                               off       (rng/between rng (* percent 5000) (* percent 10000))
                               ahead?    (rng/chance rng 50)
                               fast?     (rng/chance rng 50)]
                           (conj skews [node (array-map :wall-ms (if ahead? wall (- wall))
                                                        :rate-ppm ((if fast? + -) 1000000 off))])))
                       []
                       (:nodes shape))
        length (past-a-lease plan)]
    (during at length
            {:f :skew, :value (apply array-map (mapcat identity skews))}
            {:f :reset-clock, :value nil})))

(defn- membership
  [{:keys [rng shape] :as plan} at]
  (let [who    (who plan)
        length (rng/between rng 1000 (* 2 (:lease-ms shape)))]
    (during at length {:f :shrink, :value [who]} {:f :grow, :value nil})))

(defn- client-fault
  [{:keys [rng shape round]}]
  (let [late (quot (:lease-ms shape) 4)]
    (case (rem (+ round (rng/below rng 2)) 4)
      0 :lose-answers
      1 [:delay-answers (rng/between rng late (* 3 late))]
      2 :duplicate
      3 :hang)))

(defn- spoil-clients
  [plan at]
  (let [who    (who plan)
        fault  (client-fault plan)
        length (past-a-lease plan)]
    (during at length
            {:f :start-client-fault, :value (array-map :node who :how fault)}
            {:f :stop-client-fault, :value nil})))

(defn- flaky
  [{:keys [rng] :as plan} at]
  (let [clients (spoil-clients plan at)
        length  (:length clients)]
    (if (rng/chance rng 50)
      (let [how (if (zero? (rng/below rng 2))
                  [:delay (rng/between rng 20 150)]
                  [:throttle (rng/between rng 4000 40000)])
            who (who plan)]
        (update clients :steps into (:steps (partition-for plan at [:isolate who] how length))))
      clients)))

(defn- combined
  "Two faults at once. The second one, of clocks or clients, takes no node away: so a majority stays, or comes back after a kill
  of all nodes."
  [{:keys [rng round] :as plan} at]
  (let [fault  (case (rem (+ round (rng/below rng 3)) 6)
                 0 kill
                 1 pause
                 2 isolate
                 3 asymmetric
                 4 membership
                 5 halves)
        first  (fault plan at)
        second (if (rng/chance rng 50)
                 (skew plan (+ at 200) 4)
                 (spoil-clients plan (+ at 200)))]
    {:length (max (:length first) (+ 200 (:length second)))
     :steps  (into (:steps first) (:steps second))}))

(def ^:private faults
  {"partition-random-halves" halves
   "partition-random-node"   isolate
   "partition-asymmetric"    asymmetric
   "kill-random-node"        kill
   "pause-random-node"       pause
   "clock-skew"              #(skew %1 %2 4)
   "clock-skew-strong"       #(skew %1 %2 40)
   "membership"              membership
   "flaky-links"             flaky
   "combined"                combined})

(defn- calm
  "Time to recover: elections, and for a group that changed its members, to catch up."
  [{:keys [rng]} nemesis]
  (case nemesis
    "membership"  (rng/between rng 2000 3500)
    "flaky-links" (rng/between rng 500 1500)
    (rng/between rng 1000 3000)))

(defn build
  "The schedule of a nemesis under a seed. `shape`: the `:nodes` in order, the number of harness `:workers`,
  `:time-limit-ms` of load, and the workload's `:lease-ms`: faults that must outlast a lease are made longer."
  [nemesis seed {:keys [nodes workers time-limit-ms lease-ms] :as shape}]
  (assert (contains? nemeses nemesis) (str "no nemesis is called " nemesis))
  (assert (and (vector? nodes) (seq nodes) (pos? workers) (pos? lease-ms)))
  (if-let [fault (faults nemesis)]
    (let [rng (rng/stream seed nemesis)
          end (- time-limit-ms lead-out-ms)]
      (loop [at    lead-in-ms
             round 0
             steps []]
        (if (<= (+ at (longest-fault-ms lease-ms)) end)
          (let [plan  {:rng rng, :shape shape, :round round}
                fault (fault plan at)]
            (recur (+ at (:length fault) (calm plan nemesis))
                   (inc round)
                   (into steps (:steps fault))))
          ; Stable: a fault's end stays before a new one's beginning at the same offset.
          (vec (sort-by :at steps)))))
    []))

; The text is what the digest is taken over, so its form is fixed: one step a line, no commas.

(defn- text
  [x]
  (cond (map? x)        (str "{" (str/join " " (mapcat (fn [[k v]] [(text k) (text v)]) x)) "}")
        (sequential? x) (str "[" (str/join " " (map text x)) "]")
        :else           (pr-str x)))

(defn edn-text
  "The schedule as it is stored."
  [schedule]
  (str "["
       (str/join "\n " (map (fn [{:keys [at f value]}]
                              (text (array-map :at at :f f :value value)))
                            schedule))
       "]\n"))

(defn digest
  "A short hash over the schedule and over `intents`, the text of the operations that the workload means to try. Two runs
  with one digest did the same faults at the same offsets and meant the same operations; no more is promised."
  [schedule intents]
  (let [hash (doto (MessageDigest/getInstance "SHA-256")
               (.update (.getBytes ^String (edn-text schedule) "UTF-8"))
               (.update (.getBytes ^String intents "UTF-8")))]
    (apply str (map #(format "%02x" %) (take 8 (.digest hash))))))
