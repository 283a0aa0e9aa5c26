(ns gossip-rs.db
  "Nodes: the uploaded binary under start-stop-daemon, and what a nemesis can do to it.

  Which nodes ought to run is kept in the test's `:up`; a node that ought to and does not has ended by itself, which
  fails the run whatever its history says."
  (:require [clojure.java.io :as io]
            [clojure.string :as str]
            [clojure.tools.logging :refer [info]]
            [gossip-rs.checker.nodes :as nodes]
            [gossip-rs.client :as client]
            [gossip-rs.grpc :as grpc]
            [jepsen.control :as c]
            [jepsen.control.util :as cu]
            [jepsen.db :as db]
            [jepsen.util :as util]))

(def dir     "/opt/gossip")
(def binary  (str dir "/gossip-worker"))
(def data    (str dir "/data"))
(def clock   (str dir "/clock"))
(def logfile (str dir "/gossip-worker.log"))
(def pidfile (str dir "/gossip-worker.pid"))

(def serve-within-ms
  "A node that does not serve within this time after its start never will."
  30000)

(defn address
  "Where clients and peers reach a node."
  [test node]
  (str (get-in test [:addresses node] node) ":" client/port))

(defn peers
  "The founding nodes, as --peers wants them."
  [test]
  (str/join "," (for [node (:nodes test)] (str node "=" (address test node)))))

(defn arguments
  "The command line of a node. A node that was removed and added again joins instead of founding."
  [test node]
  (concat ["--id" node "--listen" (str "0.0.0.0:" client/port) "--advertise" (address test node) "--data" data
           "--log-format" "json" "--snapshot-entries" "500" "--unsafe-testing" "--clock-control" clock]
          (if (contains? @(:joiners test) node)
            ["--join" (str/join "," (map #(address test %) (remove #{node} (:nodes test))))]
            ["--peers" (peers test)])
          (when-let [mutant (:mutant test)]
            ["--mutant" mutant])))

(defn set-clock!
  "Writes this node's clock control. Aside first, so that the node never reads half a file."
  [{:keys [wall-ms rate-ppm]}]
  (cu/write-file! (str "wall_offset_ms=" wall-ms "\nrate=" (format "%.6f" (/ rate-ppm 1e6)) "\n") (str clock ".new"))
  (c/exec :mv (str clock ".new") clock))

(def ^:private if-alive
  "Shell: the function `alive` says whether this node's process is there, stopped or not. A zombie is none, nor is one that ends
  while it is looked at."
  (str "alive() { for p in $(pgrep -x gossip-worker); do "
       "grep -qs '^State:.[^ZX]' /proc/$p/status && return 0; done; return 1; }; "))

(defn running?
  "Whether this node's process is there."
  []
  (= "yes" (c/exec :bash :-c (str if-alive "if alive; then echo yes; else echo no; fi"))))

(defn- note-death!
  "A node that ought to run and does not."
  [test node]
  (when (and (contains? @(:up test) node) (not (running?)))
    (nodes/note-death! test {:node      node
                             ; Outside of the run proper, as at its end, there is no such time.
                             :time      (when util/*relative-time-origin* (util/relative-time-nanos))
                             :last-line (c/exec :bash :-c (str "tail -n 1 " logfile " 2>/dev/null || true"))})))

(defn status
  "How a node stands by its own word, or nil."
  [test channels node]
  (try (client/call-node test channels node "ClusterService/Status" {} 1000)
       (catch clojure.lang.ExceptionInfo _ nil)))

(defn- serves-before?
  "Whether this node serves before that time, asking from here."
  [test channels node until]
  (loop []
    (cond (:ready (status test channels node))        true
          (< until (System/currentTimeMillis))        false
          :else (do (grpc/reconnect-soon! (get channels node))
                    (Thread/sleep 100)
                    (recur)))))

(defn await-serving!
  "Waits until these nodes serve; throws, with all that do not, when some do not in time."
  [test nodes within-ms]
  (let [channels (client/open-nodes test)
        until    (+ (System/currentTimeMillis) within-ms)]
    (try (when-let [silent (seq (remove #(serves-before? test channels % until) nodes))]
           (throw (ex-info (str (str/join ", " silent) (if (next silent) " do" " does") " not serve within " within-ms " ms")
                           {:type ::not-serving, :nodes (vec silent)})))
         (finally (client/close-nodes! channels)))))

(defn leader
  "The node that leads, as the nodes themselves see it; nil when none does."
  [test]
  (let [channels (client/open-nodes test)]
    (try (->> (:nodes test)
              (mapv #(future (status test channels %)))
              (keep deref)
              (filter #(and (:ready %) (= (:leader %) (:node %))))
              (sort-by :term)
              last
              :node)
         (finally (client/close-nodes! channels)))))

(defn wipe!
  "Everything that this node has stored."
  []
  (c/exec :rm :-rf data))

(defn flush-filters!
  "Takes this node's packet filters away."
  []
  (c/exec :iptables :-F :-w))

(def ^:private gone-within-s
  "A killed process that is still there after this time never goes: a disk that hangs."
  30)

(defn- upload!
  [test]
  (c/exec :mkdir :-p dir)
  (c/upload (.getCanonicalPath (io/file (:binary test))) binary)
  (c/exec :chmod "+x" binary))

(defrecord DB []
  db/DB
  (setup! [this test node]
    (nodes/watch! test)
    (c/su
      (upload! test)
      (set-clock! {:wall-ms 0, :rate-ppm 1000000}))
    (db/start! this test node)
    (await-serving! test [node] serve-within-ms))

  ; Runs before the setup as well: a run that was broken off leaves its packet filters, and no cluster is founded through them.
  (teardown! [this test node]
    (c/su (flush-filters!))
    (db/kill! this test node)
    (c/su (c/exec :rm :-rf dir)))

  db/Kill
  (start! [_ test node]
    (c/su
      (if (running?)
        :already-running
        (do (note-death! test node)
            (apply cu/start-daemon! {:logfile logfile, :pidfile pidfile, :chdir dir} binary (arguments test node))
            (swap! (:up test) conj node)
            :started))))

  (kill! [_ test node]
    (c/su
      (note-death! test node)
      (swap! (:up test) disj node)
      (c/exec :timeout gone-within-s
              :bash :-c (str if-alive "pkill -KILL -x gossip-worker; while alive; do sleep 0.02; done"))
      (c/exec :rm :-f pidfile))
    :killed)

  db/Pause
  (pause! [_ test node]
    (c/su (c/exec :pkill :-STOP :-x "gossip-worker"))
    :paused)

  (resume! [_ test node]
    (c/su (c/exec :bash :-c "pkill -CONT -x gossip-worker || true"))
    :resumed)

  db/Primary
  (primaries [_ test]
    (filterv some? [(leader test)]))
  (setup-primary! [_ _ _])

  db/LogFiles
  (log-files [_ _ _]
    {logfile "gossip-worker.log"}))

(defn clock-readings
  "How often this node's log says that it read a clock control."
  []
  (parse-long (c/exec :bash :-c (str "cat " logfile " 2>/dev/null | grep -c '\"clock control\"' || true"))))

(defn stopped?
  "Whether this node's process is stopped by a signal."
  []
  (str/includes? (c/exec :bash :-c "for p in $(pgrep -x gossip-worker); do grep '^State:' /proc/$p/status; done") "T (stopped)"))

(defn db
  []
  (info "nodes run" binary)
  (->DB))
