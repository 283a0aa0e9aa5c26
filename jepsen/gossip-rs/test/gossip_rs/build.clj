(ns gossip-rs.build
  "Short words for writing histories in tests. A call is invoked and completed at once; a step of the
  nemesis is planned and done at once."
  (:require [gossip-rs.history :as h]))

(defn- ops
  [{:keys [f in type out error process]
    :or   {type :ok, process 0}}]
  [{:process process, :type :invoke, :f f, :value in}
   (cond-> {:process process, :type type, :f f, :value (merge in out)}
     error (assoc :error error))])

(defn history
  "Ops of calls one after the other, one millisecond apart; a vector of calls overlaps all of them. Ops given as such and
  the nemesis's steps pass through."
  [& calls]
  (->> calls
       (mapcat (fn [call]
                 (cond (= :nemesis (:process (first (when (vector? call) call)))) call
                       (vector? call)          (let [pairs (map-indexed #(ops (assoc %2 :process %1)) call)]
                                                 (concat (map first pairs) (map second pairs)))
                       (contains? call :in)    (ops call)
                       :else                   [call])))
       (map-indexed (fn [i op] (merge {:time (* i 1000000)} op)))
       h/index))

(defn register
  [& shards]
  {:f :register, :in {:run "r", :shards (mapv (fn [[shard start end]] {:shard shard, :start start, :end end}) shards)}})

(defn acquire
  ([worker fence]
   (acquire worker fence (* 1000 fence) (* 1000 (inc fence))))
  ([worker fence granted deadline]
   {:f :acquire, :in {:shard "s", :worker worker, :op-id (str "a" fence)}
    :out {:fence fence, :granted granted, :deadline deadline, :cursor nil}}))

(defn write
  [f worker fence & {:as more}]
  {:f f, :in (merge {:shard "s", :worker worker, :fence fence, :op-id (str (name f) worker fence (:cursor more))} more)})

(defn read-shard
  [record & {:as more}]
  {:f :read-shard, :in (merge {:shard "s"} more), :out record})

(defn read-run
  [shards & {:as more}]
  {:f :read-run, :in (merge {:run "r"} more), :out {:status :active, :shards shards}})

(defn step
  "A step of the nemesis as Jepsen notes it: its plan, and its completion."
  [f value & [error]]
  (let [plan {:process :nemesis, :type :info, :f f, :value value}]
    [plan (cond-> plan error (assoc :error error))]))

(defn failed
  [call reason]
  (-> call (assoc :type :fail, :error [reason ""]) (dissoc :out)))

(defn lost
  [call]
  (-> call (assoc :type :info, :error [:deadline-exceeded ""]) (dissoc :out)))
