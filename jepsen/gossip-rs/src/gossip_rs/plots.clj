(ns gossip-rs.plots
  "What Jepsen's plots are drawn from: the history with as few kinds of operations as their legend has room for, in which each fault
  has an end of its own. Pure."
  (:require [clojure.set :as set]
            [gossip-rs.faults :as faults]))

(def kinds
  "Each a row of the legend for every way in which its calls ended: with one for each operation nothing is left of the plot."
  {:leases #{:acquire :claim :renew :release :unpark}
   :writes #{:checkpoint :complete :park :split-replace :split-residual :publish}
   :reads  #{:read-shard :read-run :read-view}
   :runs   #{:register :create-run :start-run :complete-run :fail-run :cancel-run :delete-run}})

(def nemeses
  "How the faults are shaded, in the order of the legend. No step may stand under two names, since Jepsen gives it to one of them."
  (conj (mapv (fn [[name start colour]]
                {:name name, :start #{start}, :stop #{(faults/ends start)}, :color colour})
              [["partition" :start-partition    "#E9A0A0"]
               ["kill"      :kill               "#E9C3A0"]
               ["pause"     :pause              "#A0C8E9"]
               ["stall"     :stall              "#A0B0C8"]
               ["skew"      :skew               "#C5A0E9"]
               ["members"   :shrink             "#A0E9DB"]
               ["clients"   :start-client-fault "#E9E1A0"]])
        ; Ends the others, and is drawn as a line.
        {:name "heal", :start #{}, :stop #{}, :fs #{:heal}, :color "#808080"}))

(def ^:private kind-of
  (into {} (for [[kind fs] kinds, f fs] [f kind])))

(def ^:private begun-by
  "{end beginning}"
  (set/map-invert faults/ends))

(defn- ends-beside
  "The end of each open fault at the time of a heal: plan and completion, as Jepsen has every step twice."
  [open plan heal]
  (for [fault (sort open), op [plan heal]]
    (assoc op :f (faults/ends fault))))

(defn- with-step
  "`:planned` is the plan of a step whose completion has not come."
  [{:keys [open planned] :as state} {:keys [f] :as op}]
  (let [state (-> state
                  (update :ops conj op)
                  (assoc :planned (when-not planned op)))]
    (cond (nil? planned)       state
          (faults/begins f)    (update state :open conj f)
          (not (faults/done? op)) state
          (begun-by f)         (update state :open disj (begun-by f))
          (= :heal f)          (-> state
                                   (update :ops into (ends-beside open planned op))
                                   (assoc :open #{}))
          :else                state)))

(defn- with-op
  [state {:keys [process f] :as op}]
  (cond (= :nemesis process) (with-step state (assoc op :f (faults/kind op)))
        ; It is no call, and lasts as long as the workload says.
        (= :section f)       state
        :else                (update state :ops conj (update op :f #(kind-of % %)))))

(defn drawn
  "The ops that are drawn, without indices: there are others than in the history."
  [ops]
  (->> (reduce with-op {:ops [], :open #{}, :planned nil} ops)
       :ops
       (mapv #(dissoc % :index))))
