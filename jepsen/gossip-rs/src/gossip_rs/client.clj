(ns gossip-rs.client
  "Operations of histories as gRPC calls, and their answers as what the history notes.

  A worker asks its own node first and follows the hint to the leader. It asks again by itself only after refusals that are
  definite, or when nothing had left this machine; after anything else the outcome is open, and it is the worker's next
  operation that may ask again under the same op id. So the last refusal of an operation decides: definite is `:fail`."
  (:require [clojure.string :as str]
            [gossip-rs.errors :as errors]
            [gossip-rs.grpc :as grpc]
            [jepsen.client :as client]
            [jepsen.util :as util]))

(def port "Where every node serves." 7000)

(def tenant "jepsen")

(def ^:private drift-percent
  "A holder counts its lease shorter by this much."
  10)

(def reads
  "They change nothing, so a read without an answer has failed."
  #{:read-shard :read-run :read-view :publish})

;; Checkpoints carry the ids of all checkpoints before them in the cursor's token, four bytes each.

(defn ids->token
  [ids]
  (str/join (map #(format "%08x" %) ids)))

(defn token->ids
  "A token that is no list of ids is an answer that nobody wrote: its tail must not vanish."
  [token]
  (when-not (zero? (rem (count token) 8))
    (throw (ex-info (str "cursor token " (pr-str token) " is no list of ids") {:type ::undecodable})))
  (mapv #(Long/parseLong (str/join %) 16) (partition 8 token)))

(defn- key-of
  "A bound or a cursor's key: empty is infinity, or none."
  [bytes]
  (when-not (str/blank? bytes) bytes))

(defn- cursor-message
  [{:keys [cursor ids]}]
  (when cursor
    {:key cursor, :token (ids->token ids)}))

(defn- lease-message
  [value]
  (select-keys value [:shard :worker :fence]))

;; Answers

(defn- range-of
  [{:keys [start end]}]
  {:start (key-of start), :end (key-of end)})

(defn- cursor-of
  [cursor]
  {:cursor (key-of (:key cursor)), :ids (token->ids (:token cursor))})

(defn record
  "A shard's record as reads show it."
  [{:keys [shard range status fence lease cursor]}]
  (merge {:shard shard, :status status, :fence fence, :worker (:worker lease), :deadline (:deadline-ms lease)}
         (range-of range)
         (cursor-of cursor)))

(defn- child
  [{:keys [shard range]}]
  (merge {:shard shard} (range-of range)))

(defn believed-until
  "Until when a holder believes in a lease that it first asked for at `sent`, in nanoseconds."
  [sent {:keys [granted-ms deadline-ms]}]
  (+ sent (* (- deadline-ms granted-ms) 1000000 (/ (- 100 drift-percent) 100))))

(defn- times
  [sent answer]
  {:granted        (:granted-ms answer)
   :deadline       (:deadline-ms answer)
   :believed-until (long (believed-until sent answer))})

(defn- granted
  [sent {:keys [lease range cursor] :as answer}]
  (merge (lease-message lease) (range-of range) (cursor-of cursor) (times sent answer)))

;; Operations

(defn- list-shards
  "All shards of a run. Pages are read one after the other, so that under load only a single page shows one moment: more of them are
  a picture only when nothing is written any more, as in the final reads."
  [call request final?]
  (loop [after "", shards []]
    (let [{:keys [next] :as page} (call "ShardService/ListShards" (assoc request :page-size 1000, :after after))
          shards                  (into shards (:shards page))]
      (cond (str/blank? next) shards
            final?            (recur next shards)
            :else             (throw (ex-info "more than one page: no picture of one moment"
                                              {:type ::grpc/error, :reason "LIMIT_EXCEEDED", :definite true}))))))

(def ^:private settled-facts
  "Facts that stand still when nothing is written any more; load never does."
  ["role" "leader" "build" "applied"])

(defn- version
  "At which version a node shows a fact, where its value says so by itself: the log index that its owner had applied, the
  term of the leader that its owner knew. Both only rise."
  [key value]
  (case key
    "applied" (parse-long value)
    "leader"  (some-> (re-find #"@(\d+)$" value) second parse-long)
    nil))

(defn view
  "A node's view of the cluster, from the answer of Members: node to key to value, with the version where there is one."
  [{:keys [members]}]
  (into (sorted-map)
        (for [{:keys [node address health facts]} members]
          [node (into (sorted-map "health" {:value (name health)}, "address" {:value address})
                      (for [key  settled-facts
                            :let [value (get facts key)]
                            :when value
                            :let [version (version key value)]]
                        [key (cond-> {:value value} version (assoc :version version))]))])))

(def side-run "The run that is cancelled on the way; its shards are named after it." "side")

(def brief-run "With this begin the names of runs that are deleted on the way; their shards are named after them." "brief")

(def ^:private named-after
  (re-pattern (str "(" side-run "|" brief-run "-\\d+)-.*")))

(defn run-of
  "The run that an operation is about."
  [main {:keys [run shard]}]
  (or run (second (re-matches named-after (or shard ""))) main))

(defn another-id
  "The op id of the second call of an operation that makes two."
  [op-id]
  (let [other (if (str/starts-with? op-id "c") "d" "c")]
    (str other (subs op-id 1))))

(defn perform
  "Makes the calls of an operation with `call`, a function of method and request, and gives what is added to the
  operation's value. `sent` is when its op id was first sent."
  [call {:keys [run lease-ms]} {:keys [f value op-id wait-ms]} sent]
  (let [base   {:tenant tenant, :run (run-of run value)}
        write  (assoc base :op-id (or op-id (:op-id value)))
        leased (assoc write :lease (lease-message value))]
    (case f
      :register       (do (call "RunService/CreateRun" (update write :op-id another-id))
                          (call "RunService/RegisterShards"
                                (assoc write :start true
                                       :shards (for [{:keys [shard start end]} (:shards value)]
                                                 {:shard shard, :range {:start (or start ""), :end (or end "")}})))
                          nil)
      :acquire        (granted sent (call "ShardService/Acquire"
                                          (assoc write :shard (:shard value) :worker (:worker value)
                                                 :lease-ms lease-ms :wait-ms (or wait-ms 0))))
      :claim          (granted sent (call "ShardService/Claim"
                                          (assoc write :worker (:worker value) :lease-ms lease-ms :wait-ms (or wait-ms 0))))
      :renew          (times sent (call "ShardService/Renew" (assoc leased :lease-ms lease-ms)))
      :checkpoint     (do (call "ShardService/Checkpoint" (assoc leased :cursor (cursor-message value))) nil)
      :complete       (do (call "ShardService/Complete" (assoc leased :cursor (cursor-message value))) nil)
      :release        (do (call "ShardService/Release" leased) nil)
      :park           (do (call "ShardService/Park" (assoc leased :reason (:reason value))) nil)
      :unpark         (select-keys (call "ShardService/Unpark" (assoc write :shard (:shard value))) [:fence])
      :split-replace  {:children (mapv child (:children (call "ShardService/SplitReplace" (assoc leased :cuts (:cuts value)))))}
      :split-residual {:residual (child (:residual (call "ShardService/SplitResidual" (assoc leased :at (:at value)))))}
      :complete-run   (do (call "RunService/CompleteRun" write) nil)
      :fail-run       (do (call "RunService/FailRun" (assoc write :reason "the workload says so")) nil)
      :cancel-run     (do (call "RunService/CancelRun" (assoc write :reason "the workload says so")) nil)
      :delete-run     (do (call "RunService/DeleteRun" write) nil)
      :read-shard     (let [answer (call "ShardService/GetShard" (assoc base :shard (:shard value)))]
                        (assoc (record (:shard answer)) :applied (:applied-index (:read answer))))
      ; The status first: the judge expects that where a run has ended its shards have.
      :read-run       (let [answer (call "RunService/GetRun" base)
                            shards (list-shards call base (:final? value))]
                        {:status  (:status (:run answer))
                         :shards  (mapv record shards)
                         :applied (:applied-index (:read answer))})
      :read-view      {:view (view (call "ClusterService/Members" {}))}
      ; The service publishes on its own. A node's own word is the truth that a publication is noted from.
      :publish        {:key "applied", :version (:applied-index (call "ClusterService/Status" {}))})))

;; Whom to ask

(defn open-nodes
  "A channel to each node: {name channel}."
  [test]
  (into {} (for [node (:nodes test)]
             [node (grpc/open-channel (get-in test [:addresses node] node) port)])))

(defn close-nodes!
  [channels]
  (run! grpc/close-channel! (vals channels)))

(defn call-node
  "One attempt at one node."
  [test channels node method request deadline-ms]
  (grpc/call {:contract @(:contract test), :channel (get channels node), :deadline-ms deadline-ms} method request))

(defn- hinted
  "The node at the address that a refusal names as the leader's."
  [test data]
  (let [address (get (:metadata data) "leader-address")]
    (first (filter #(= address (str (get-in test [:addresses %] %) ":" port)) (:nodes test)))))

(defn- another
  [test node]
  (let [nodes (:nodes test)]
    (nth nodes (mod (inc (.indexOf ^java.util.List nodes node)) (count nodes)))))

(defn- try-elsewhere?
  "Whether a refusal shows that this node took nothing, so that another may be asked."
  [{:keys [reason definite never-sent?]}]
  (or never-sent?
      (and (true? definite) (contains? #{"NOT_LEADER" "STOPPING" "READ_UNCONFIRMED"} reason))))

(def ^:private patience-ms
  "How long an operation looks for a node that takes it."
  3000)

(def ^:private attempt-ms
  "How long a node may take for a request, beside the time that the request waits in line on purpose."
  2000)

(defn ask
  "Calls a method at `home` or wherever the service sends us. `pinned?`: there and nowhere else."
  [{:keys [test channels home pinned? wait-ms]} method request]
  (let [until (+ (System/currentTimeMillis) patience-ms)]
    (loop [node home, tries 1]
      (let [answer (try (call-node test channels node method request (+ attempt-ms (or wait-ms 0)))
                        (catch clojure.lang.ExceptionInfo e
                          (if (and (= ::grpc/error (:type (ex-data e))) (try-elsewhere? (ex-data e)) (not pinned?)
                                   (< (System/currentTimeMillis) until))
                            [::again (ex-data e)]
                            (throw e))))]
        (if (and (vector? answer) (= ::again (first answer)))
          (let [next (or (hinted test (second answer)) (another test node))]
            (grpc/reconnect-soon! (get channels next))
            (when (zero? (mod tries (count (:nodes test))))
              (Thread/sleep 100))
            (recur next (inc tries)))
          answer)))))

;; Outcomes

(defn outcome
  "The operation as it ended with an error of the service or of the way to it."
  [op {:keys [never-sent?] :as data}]
  (merge op
         (cond-> (errors/classify data (contains? reads (:f op)))
           never-sent? (assoc :type :fail))))

(defn refused?
  "Whether this exception of a call is a refusal for good: what it asked for was not done and never will be."
  [e]
  (let [data (ex-data e)]
    (boolean (and (= ::grpc/error (:type data)) (= :fail (:type (outcome {} data)))))))

(defn pause-workers!
  "Holds these workers for so long at most. The hold ends by itself, since nothing else may end it: the load's end can cut the
  resume off, and what comes next waits until every worker is free."
  [test workers within-ms]
  (let [until (+ (System/nanoTime) (* 1000000 within-ms))]
    (swap! (:paused-workers test) into (zipmap workers (repeat until)))))

(defn resume-workers!
  [test]
  (reset! (:paused-workers test) {}))

(defn- await-gate
  "Stalls while the nemesis holds this worker, as a process that got no time."
  [test op]
  (let [thread (mod (:process op) (:concurrency test))
        held?  #(when-let [until (get @(:paused-workers test) thread)]
                  (pos? (- until (System/nanoTime))))]
    (while (held?)
      (Thread/sleep 5))))

(defn- first-sent
  "When this op id was first sent: a replayed answer tells of a lease that began no later."
  [test {:keys [op-id value]} now]
  (if-let [id (or op-id (:op-id value))]
    (get (swap! (:sent test) (fn [sent] (if (contains? sent id) sent (assoc sent id now)))) id)
    now))

(defn drift-margin-ns
  "How much longer than its holder believes a lease lives, while monotonic rates are sane."
  [{:keys [lease-ms]}]
  (* lease-ms 10000 drift-percent))

(defn hold-section
  "An unfenced critical section: entered only in the belief of holding the lease, and left as soon as it ends. `:left` is
  when it was really left, a little late as threads are, which the drift margin is for. One that was left later than that
  stood still on this machine: it shows nothing of the service, so it is open and no section. `now` and `sleep!` in
  nanoseconds."
  [test {:keys [value] :as op} now sleep!]
  (let [{:keys [believed-until hold-ms]} value
        entered (now)]
    (if (<= believed-until entered)
      (assoc op :type :fail, :error [:lease-expired "the holder no longer believes in it"])
      (do (sleep! (- (min believed-until (+ entered (* 1000000 hold-ms))) entered))
          (let [left (now)
                late (- left believed-until)
                op   (assoc op :value (assoc value :entered entered, :left left))]
            (if (< (drift-margin-ns test) late)
              (assoc op :type :info, :error [:overslept (str "left " (quot late 1000000) " ms after its belief had ended")])
              (assoc op :type :ok)))))))

(defn- twice
  "Sends a request twice at the same time and gives the first one's answer. Its refusal tells what became of the operation
  only if its twin was refused for good as well: else the twin may have done what the refusal says was not done."
  [read? request]
  (let [twin    (future (try (request)
                             nil
                             (catch Exception e e)))]
    (try (let [answer (request)]
           @twin
           answer)
         (catch clojure.lang.ExceptionInfo e
           (let [twin @twin]
             (if (or read? (refused? twin))
               (throw e)
               (throw (ex-info (ex-message e) (assoc (ex-data e) :definite false, :never-sent? false) e))))))))

(defn- spoiled
  "Does `request` as the fault on the way to the node has it. The history says what the client saw."
  [fault read? request]
  (let [[kind ms] (if (sequential? fault) fault [fault])]
    (case kind
      nil            (request)
      :hang          (throw (ex-info "the request was lost" {:type ::grpc/error, :status "DEADLINE_EXCEEDED"
                                                             :message "lost on the way to the node"}))
      :lose-answers  (do (request)
                         (throw (ex-info "the answer was lost" {:type ::grpc/error, :status "UNAVAILABLE"
                                                                :message "lost on the way back"})))
      :delay-answers (let [answer (request)] (Thread/sleep (long ms)) answer)
      :duplicate     (twice read? request))))

(defrecord Client [node channels]
  client/Client
  (open! [this test node]
    (assoc this :node node, :channels (open-nodes test)))

  (setup! [_ _])

  (invoke! [_ test {:keys [f value wait-ms] :as op}]
    (await-gate test op)
    (if (= :section f)
      (hold-section test op util/relative-time-nanos #(Thread/sleep (long (quot % 1000000))))
      (let [pinned (:node value)
            home   (or pinned node)
            fault  (when-not (:final? value) (get @(:client-faults test) home))
            way    {:test test, :channels channels, :home home, :pinned? (some? pinned), :wait-ms wait-ms}
            sent   (first-sent test op (util/relative-time-nanos))]
        (try (let [added (spoiled fault (reads f) #(perform (partial ask way) test op sent))]
               (when fault (swap! (:fault-effects test) inc))
               (assoc op :type :ok, :value (merge value added)))
             (catch clojure.lang.ExceptionInfo e
               (when fault (swap! (:fault-effects test) inc))
               ; Anything else is no outcome of the operation but a bug of ours or the service's, which the report names.
               (if (= ::grpc/error (:type (ex-data e)))
                 (outcome op (ex-data e))
                 (throw e)))))))

  (teardown! [_ _])

  (close! [_ _]
    (close-nodes! channels))

  client/Reusable
  (reusable? [_ _] true))

(defn client
  []
  (->Client nil nil))
