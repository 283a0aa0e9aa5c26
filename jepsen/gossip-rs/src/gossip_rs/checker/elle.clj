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

(defn check-ops
  "`directory`: where anomalies are explained, or nil."
  [ops directory]
  (let [txns (lists/history ops)]
    (if (some #(and (= :ok (:type %)) (= :append (ffirst (:value %)))) txns)
      (-> (list-append/check (cond-> {:consistency-models [:strict-serializable]}
                               directory (assoc :directory directory))
                             (indexed txns))
          (assoc :transactions (quot (count txns) 2)))
      {:valid? :unknown, :cause "no checkpoint was accepted"})))

(defrecord Checker []
  checker/Checker
  (check [_ test history opts]
    (check-ops (mapv #(into {} %) history)
               (.getCanonicalPath (store/path! test (:subdirectory opts) "elle")))))
