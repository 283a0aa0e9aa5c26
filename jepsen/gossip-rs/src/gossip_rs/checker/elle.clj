(ns gossip-rs.checker.elle
  "Checkpoint histories against strict serializability, with Elle."
  (:require [gossip-rs.lists :as lists]
            [jepsen.checker :as checker]
            [jepsen.history :as history]
            [jepsen.store :as store]
            [elle.list-append :as list-append]))

(defn- indexed
  "A history whose indexes are there already. Elle asks for them inside folds, and making them is a fold as well: on a
  machine with two cores the pool's two threads would wait for each other for ever."
  [txns]
  (let [indexed (history/ensure-pair-index (history/history txns))]
    (history/get-index indexed (:index (first txns)))
    indexed))

(defn- places
  "Where in the whole history the first anomaly of the first kind shows."
  [anomalies]
  (->> (tree-seq coll? seq (first (val (first (sort-by key anomalies)))))
       (keep #(when (map? %) (:call %)))
       distinct
       sort
       vec))

(defn- check-txns
  [txns directory]
  (if (some #(and (= :ok (:type %)) (= :append (ffirst (:value %)))) txns)
    (let [{:keys [anomalies] :as result} (list-append/check (cond-> {:consistency-models [:strict-serializable]}
                                                              directory (assoc :directory directory))
                                                            (indexed txns))]
      (cond-> (assoc result :transactions (quot (count txns) 2))
        (seq anomalies) (assoc :at (places anomalies))))
    {:valid? :unknown, :cause "no checkpoint was accepted"}))

(defn check-ops
  "`directory`: where anomalies are explained, or nil. `:foreign` are ids that Elle is not shown, since no list can have them."
  [ops directory]
  (let [foreign (lists/foreign ops)
        result  (check-txns (lists/history ops) directory)]
    (cond-> (assoc result :foreign foreign)
      (seq foreign) (assoc :valid? false))))

(defrecord Checker []
  checker/Checker
  (check [_ test history opts]
    (check-ops (mapv #(into {} %) history)
               (.getCanonicalPath (store/path! test (:subdirectory opts) "elle")))))
