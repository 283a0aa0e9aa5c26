(ns gossip-rs.histories-test
  "The histories that every judge must agree on, in `histories/` at the top of the tree, against the table beside them.

  Linearizability, :L in the table, is not this judge's. A history that violates nothing else must come out clean here."
  (:require [clojure.edn :as edn]
            [clojure.java.io :as io]
            [clojure.set :as set]
            [clojure.test :refer [deftest is testing]]
            [gossip-rs.history :as h]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.invariants.facts :as facts]
            [gossip-rs.model :as model]))

(def ^:private folder
  (io/file ".." ".." "histories"))

(def ^:private expected
  (delay (edn/read-string (slurp (io/file folder "expected.edn")))))

(defn- files
  []
  (set (for [kind ["good" "bad" "unknown"]
             file (.list (io/file folder kind))]
         (str kind "/" file))))

(defn- judged
  [file]
  (invariants/judge (h/read-history (io/file folder file))))

(defn- violated
  [judgement]
  (set (for [[id {:keys [valid?]}] judgement :when (false? valid?)] id)))

(deftest the-table-names-every-history
  (is (= (files) (set (keys @expected)))))

(deftest verdicts-are-as-expected
  (doseq [[file row] (sort-by key @expected)]
    (testing file
      (let [judgement (judged file)]
        (is (= (disj (:violated row) :L) (violated judgement))
            (pr-str (mapcat (comp (partial map :message) :violations val) judgement)))
        (when-not (= #{:L} (:violated row))
          (is (= (:valid? row) (invariants/valid? judgement []))))))))

(deftest each-invariant-is-violated-by-histories-named-for-it
  (let [named (frequencies (for [[file {:keys [violated]}] @expected
                                 :let [[_ id] (re-matches #"bad/([A-Z0-9]+)-.*" file)]
                                 :when id]
                             (do (is (contains? violated (keyword id)) file)
                                 (keyword id))))]
    (is (set/subset? (set invariants/ids) (set (keys named))))
    (is (every? #(<= 5 %) (vals named)))))

;; The shard model, on those histories in which calls come one after the other: their order is given, no search is needed.

(defn- one-by-one?
  [calls]
  (and (not-any? h/open? calls)
       (every? (fn [[a b]] (< (:end a) (:index b))) (partition 2 1 calls))))

(defn- effects
  "Answered calls that the model is about, each op id with one payload once."
  [calls]
  (->> (filter h/ok? calls)
       (remove #(or (:stale (:in %)) (#{:section :publish :read-view} (:f %))))
       (reduce (fn [[seen calls] call]
                 (let [id (when (:op-id (:in call)) [(:f call) (:in call)])]
                   (if (and id (seen id)) [seen calls] [(conj seen id) (conj calls call)])))
               [#{} []])
       second))

(defn- step
  "The world, a map from shard to state, after a step of one shard; nil if that cannot happen. It also has :runs, a map from
  shard to run, and :ended, the runs that have ended."
  [world shard op]
  (when-let [state (get world shard)]
    (let [next (model/step state op)]
      (when-not (model/inconsistent? next)
        (assoc world shard next)))))

(defn- make
  "The world with new shards, the first of which has a cursor."
  [world run [{:keys [shard start end]} & more] cursor]
  (cond (nil? shard)                                   world
        (or (world shard) (get-in world [:ended run])) nil
        :else (recur (-> world
                         (assoc shard (model/shard start end 0 cursor))
                         (assoc-in [:runs shard] run))
                     run more nil)))

(defn- shards-of
  [world run]
  (for [[shard of] (:runs world) :when (= run of)] shard))

(defn- walk
  "The world after a call; nil if that cannot happen."
  [world {:keys [f in out] :as call}]
  (let [shard (h/shard-of call)
        run   (or (:run in) (get-in world [:runs shard]))
        op    {:f f, :value out}
        all   (fn [world f shards] (reduce (fn [world x] (or (f world x) (reduced nil))) world shards))]
    (cond (= :register f)       (make world run (:shards in) nil)
          (= :split-replace f)  (when-let [next (step world shard op)]
                                  (make next run (:children out) (get-in next [shard :cursor])))
          (= :split-residual f) (when-let [next (step world shard op)]
                                  (make next run [(:residual out)] nil))
          (facts/run-ends f)    (some-> (all world #(step %1 %2 op) (shards-of world run))
                                        (assoc-in [:ended run] true))
          (= :read-run f)       (all world #(step %1 (:shard %2) {:f :read-shard, :value %2})
                                     ; Of a shard that nobody is known to have made nothing is known.
                                     (filter (comp world :shard) (:shards out)))
          :else                 (step world shard op))))

(deftest the-shard-model-agrees-where-the-order-is-given
  (let [checked (for [[file {:keys [violated]}] (sort-by key @expected)
                      :let [calls (h/calls (h/read-history (io/file folder file)))]
                      ; The times of leases are S1's here, and the whole of a run is S4's and S8's.
                      :when (and (one-by-one? calls) (not (violated :S1)))]
                  (testing file
                    (is (= (boolean (violated :L))
                           (nil? (reduce (fn [world call] (or (walk world call) (reduced nil))) {} (effects calls)))))
                    (violated :L)))]
    (is (< 20 (count (filter some? checked))))
    (is (< 20 (count (remove some? checked))))))
