(ns gossip-rs.nemesis
  "Carries the schedule out on real nodes, and notes what was really done and whether it took hold.

  Each step is one nemesis operation: it is planned at its offset, and its completion names the nodes that were hit. A step
  that could not be done, or had no effect, completes with an :error; the judge counts those that took hold."
  (:require [clojure.string :as str]
            [clojure.tools.logging :refer [warn]]
            [gossip-rs.client :as client]
            [gossip-rs.db :as gdb]
            [gossip-rs.faults :as faults]
            [gossip-rs.grpc :as grpc]
            [gossip-rs.harness :as harness]
            [gossip-rs.remote :as remote]
            [gossip-rs.schedule :as schedule]
            [jepsen.control :as c]
            [jepsen.db :as db]
            [jepsen.nemesis :as nemesis])
  (:import (java.net InetAddress)))

(defn- miss!
  "Ends a step that could not be done or had no effect."
  [reason detail]
  (throw (ex-info detail {:type ::miss, :error [reason detail]})))

(defn- ip
  [test node]
  (.getHostAddress (InetAddress/getByName (get-in test [:addresses node] node))))

(defn- on
  "Runs f of test and node on each of these nodes."
  [test nodes f]
  (when (seq nodes)
    (c/on-nodes test nodes f)))

;; Partitions

(defn- mend!
  "Takes all packet filters away. Gives how many packets they met."
  [test]
  (reduce + 0 (vals (on test (:nodes test)
                        (fn [_ _]
                          (c/su (let [listing (c/exec :iptables :-L "INPUT" :-v :-n :-x :-w)]
                                  (gdb/flush-filters!)
                                  (faults/packets listing))))))))

(defn- cut!
  [test {:keys [cut how]}]
  (let [rules (faults/rules cut how #(ip test %))]
    (on test (keys rules)
        (fn [_ node]
          (c/su (doseq [rule (get rules node)]
                  (apply c/exec :iptables rule)))))))

(defn- until-done
  "Tries f until it does not throw, but no longer than that."
  [within-ms f]
  (let [until (+ (System/currentTimeMillis) within-ms)]
    (loop []
      (let [result (try [(f)]
                        (catch Exception e
                          (if (< until (System/currentTimeMillis))
                            (throw e)
                            (do (Thread/sleep 300) nil))))]
        (if result (first result) (recur))))))

;; Members

(def ^:private members-within-ms
  "A node answers who the members are from what it holds."
  2000)

(def ^:private leads-within-ms
  "An election, when the leader has just been taken away."
  3000)

(defn- by-service
  "One call by way of any node that takes it, `home` first."
  [test home method request]
  (let [channels (client/open-nodes test)]
    (try (client/ask {:test test, :channels channels, :home home, :wait-ms 10000} method request)
         (finally (client/close-nodes! channels)))))

(defn- members
  "Who belongs to the group, by the leader's word. A node that is fresh or behind may list nobody, and whom the list leaves out
  is wiped: so there is no answer without a leader that counts itself in."
  [test]
  (let [channels (client/open-nodes test)]
    (try (let [leader (or (gdb/leader test) (throw (ex-info "nobody leads" {:type ::no-word})))
               listed (set (map :node (:members (client/call-node test channels leader "ClusterService/Members" {} members-within-ms))))]
           (when-not (listed leader)
             (throw (ex-info (str leader " leads and does not list itself") {:type ::no-word})))
           listed)
         (finally (client/close-nodes! channels)))))

(defn- empty!
  "Kills a node and wipes what it has stored."
  [test node]
  (on test [node] (fn [test node]
                    (db/kill! (:db test) test node)
                    (c/su (gdb/wipe!)))))

(defn- shrink!
  [test node]
  (let [home (first (remove #{node} (:nodes test)))]
    ; It stops by itself once it is removed.
    (swap! (:up test) disj node)
    (try (by-service test home "ClusterService/RemoveNode" {:node node})
         (catch Exception e
           ; Unless it was refused for good it may be removed yet. Whether it has to run is known again after the heal.
           (when (client/refused? e)
             (swap! (:up test) conj node))
           (throw e)))
    (swap! (:away test) conj node)
    (empty! test node)))

(defn- add!
  "Has the group take an empty node in."
  [test node]
  ; One whose removal was answered by nobody stands there with all that it had.
  (swap! (:up test) disj node)
  (empty! test node)
  (swap! (:away test) conj node)
  (by-service test (first (:nodes test)) "ClusterService/AddNode" {:node node, :address (gdb/address test node)}))

(defn- grow!
  "Brings back, empty, every node that the group does not have, or has since nobody answered its adding. Gives which."
  [test]
  (let [there (until-done leads-within-ms #(members test))
        back  (filterv #(or (not (there %)) (@(:away test) %)) (:nodes test))]
    (doseq [node back]
      (when-not (there node)
        (add! test node))
      (swap! (:joiners test) conj node)
      (on test [node] #(db/start! (:db test) %1 %2))
      (swap! (:away test) disj node))
    back))

;; Processes

(defn- down
  "Nodes whose process is not there."
  [test]
  (set (keep (fn [[node running?]] (when-not running? node))
             (on test (:nodes test) (fn [_ _] (c/su (gdb/running?)))))))

(defn- startable
  "Nodes that may be started. What was removed comes back by growing only: started now it would be a founder without memory."
  [test]
  ; When all are down there is nobody to ask.
  (let [there (try (members test) (catch Exception _ (set (:nodes test))))]
    (filterv #(and (there %) (not (@(:away test) %))) (:nodes test))))

(defn- start-all!
  "Starts what is down. Gives which."
  [test]
  (let [down  (down test)
        nodes (if (seq down) (filterv down (startable test)) [])]
    (on test nodes #(db/start! (:db test) %1 %2))
    nodes))

(defn- kill!
  "Kills what runs on these nodes. Gives which it was: a process that is not there is not killed."
  [test nodes]
  (let [running (on test nodes (fn [_ _] (c/su (gdb/running?))))
        alive   (filterv running nodes)]
    (when (empty? alive)
      (miss! :no-effect "nothing was there to be killed"))
    (on test alive #(db/kill! (:db test) %1 %2))
    alive))

(defn- pause!
  [test nodes]
  (let [stopped (on test nodes (fn [test node]
                                 (db/pause! (:db test) test node)
                                 (Thread/sleep 20)
                                 (c/su (gdb/stopped?))))]
    (when-let [node (first (remove stopped nodes))]
      (miss! :no-effect (str node " was never seen stopped")))))

;; Clocks

(def ^:private true-time {:wall-ms 0, :rate-ppm 1000000})

(defn- set-clocks!
  [test skews]
  (on test (keys skews) (fn [_ node] (c/su (gdb/set-clock! (get skews node))))))

(def ^:private seen-within-ms
  "A node looks at its clock control many times a second, unless it stands still."
  2000)

(defn- skew!
  "Bends clocks, and waits until the nodes' logs say that they read it. Nodes that stand still do so later."
  [test skews]
  (let [readings #(on test (keys skews) (fn [_ _] (c/su (gdb/clock-readings))))
        before   (readings)
        until    (+ (System/currentTimeMillis) seen-within-ms)]
    (set-clocks! test skews)
    (loop []
      (when-not (some (fn [[node n]] (< (before node) n)) (readings))
        (if (< until (System/currentTimeMillis))
          (miss! :no-effect "no node said in its log that it read its clock control")
          (do (Thread/sleep 50)
              (recur)))))))

(defn- offsets
  "Wall clock offsets in seconds, for the clock plot."
  [test skews]
  (into {} (for [node (:nodes test)]
             [node (/ (get-in skews [node :wall-ms] 0) 1000.0)])))

;; Healing

(def heal-within-ms 60000)

(def ^:private mending
  "What ends the faults of one node, whatever becomes of the others: [name f], f of test and node."
  [["filters" (fn [_ _] (c/su (gdb/flush-filters!)))]
   ["clocks"  (fn [_ _] (c/su (gdb/set-clock! true-time)))]
   ["resume"  (fn [test node] (db/resume! (:db test) test node))]])

(defn- on-each!
  "Does a step on each of these nodes by itself: one that cannot be reached must not leave the rest cut off. Gives
  [step node exception] for each node on which it was not done."
  [test nodes [step f]]
  (vec (for [[node e] (on test nodes (fn [test node] (try (f test node) nil (catch Exception e e))))
             :when e]
         [step node e])))

(defn- failure
  "The exception in which f ended, or nil."
  [f]
  (try (f) nil (catch Exception e e)))

(defn- of-service?
  "Whether it is the service that did not do what it was asked for, and not we who could not ask."
  [e]
  (contains? #{::grpc/error ::gdb/not-serving ::no-word} (:type (ex-data e))))

(defn- heal!
  "Ends every fault, whatever the schedule still had in mind, and brings every node back. Throws when something was not done; the
  `harness` says whose affair that is."
  [test]
  (client/resume-workers! test)
  (reset! (:client-faults test) {})
  (let [nodes    (:nodes test)
        mended   (into [] (mapcat #(on-each! test nodes %)) mending)
        started  (on-each! test (startable test) ["start" #(db/start! (:db test) %1 %2)])
        unmended (into mended started)
        grow     (failure #(until-done heal-within-ms (fn [] (grow! test))))
        serve    (failure #(gdb/await-serving! test nodes heal-within-ms))
        failed   (concat (for [[step node e] unmended] [(str step " of " node) e])
                         (when grow [["grow" grow]])
                         (when serve [["serve" serve]]))]
    (doseq [[what e] failed]
      (warn e "healing:" what "was not done"))
    (let [heal {:nodes    nodes
                :unmended (if (every? of-service? (remove nil? [grow serve])) (set (map second unmended)) (set nodes))
                :grown?   (nil? grow)
                :silent   (:nodes (ex-data serve))
                :said     (for [[what e] failed] (str what ": " (remote/in-words e)))}]
      (when-let [error (harness/heal-error heal)]
        (throw (ex-info (second error)
                        {:error error, :value {:unmended (harness/named-unmended heal error)}}
                        (last (first failed))))))
    ; From now on every node has to run, one among them whose removal nobody had answered.
    (reset! (:up test) (set nodes))))

(defn- act!
  "Does a step whose value is concrete. Gives what to add to its completion."
  [test {:keys [f value]} running]
  (case f
    :start-partition    (do (swap! running assoc :partition true) (cut! test value) nil)
    :stop-partition     (let [packets (mend! test)]
                          (swap! running dissoc :partition)
                          (when (zero? packets) (miss! :no-effect "no filter met a packet"))
                          nil)
    :kill               {:value (kill! test value)}
    :start              {:value (start-all! test)}
    :pause              (do (if (map? value)
                              (client/pause-workers! test (:workers value) (schedule/longest-fault-ms (:lease-ms test)))
                              (pause! test value))
                            nil)
    :resume             (do (if (map? value)
                              (client/resume-workers! test)
                              (on test (:nodes test) #(db/resume! (:db test) %1 %2)))
                            nil)
    :skew               (do (skew! test value) {:clock-offsets (offsets test value)})
    :reset-clock        (do (set-clocks! test (zipmap (:nodes test) (repeat true-time))) {:clock-offsets (offsets test {})})
    :shrink             (do (run! #(shrink! test %) value) nil)
    :grow               {:value (grow! test)}
    :start-client-fault (do (swap! (:client-faults test) assoc (:node value) (:how value))
                            (swap! running assoc :effects @(:fault-effects test))
                            nil)
    :stop-client-fault  (do (reset! (:client-faults test) {})
                            (when (= (:effects @running) @(:fault-effects test))
                              (miss! :no-effect "no client met the fault"))
                            nil)
    :heal               (do (heal! test) {:value {:unmended []}})))

(defn- failed
  "A step that was not done, or met nothing. A heal that was done in part says what of it was not."
  [op e]
  (warn e (:f op) "was not done")
  (merge op
         (select-keys (ex-data e) [:value])
         {:error (or (:error (ex-data e)) [:failed (remote/in-words e)])}))

(defrecord Nemesis [running]
  nemesis/Nemesis
  (setup! [this _] this)

  (invoke! [_ test op]
    (try (let [leader (when (faults/aims-at-leader? (:value op)) (gdb/leader test))
               op     (assoc op :value (faults/value-now op {:nodes (:nodes test), :leader leader}))]
           (try (merge op (act! test op running))
                (catch Exception e (failed op e))))
         (catch Exception e (failed op e))))

  (teardown! [_ test]
    (try (mend! test)
         ; The nodes' own teardown tries again, and fails the run where it cannot.
         (catch Exception e (warn e "filters were not taken away")))))

(defn nemesis
  []
  (->Nemesis (atom {})))
