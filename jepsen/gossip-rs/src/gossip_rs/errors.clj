(ns gossip-rs.errors
  "The error table: which refusals are definite (nothing changed: `:fail`) and which leave the outcome open (`:info`).

  The service says it itself: each error carries `definite` in its details, and that word decides. This table judges what
  comes without details (a torn connection, our own deadline), and names every reason that the harness knows, so that one
  that is new shows up in the report instead of passing as noise."
  (:require [clojure.string :as str]))

(def refusals
  "Reasons of the state machine. All definite; a replay of an answered op id must never meet one of them again."
  #{:invalid-argument :limit-exceeded :op-id-conflict :run-not-found :run-exists :run-not-open :run-not-started :run-ended
    :run-unfinished :run-not-ended :shard-not-found :shard-exists :shard-overlap :shard-terminal :shard-parked
    :shard-not-parked :lease-held :no-shard-free :fence-mismatch :lease-expired :not-owner :cursor-regression
    :cursor-out-of-range :split-point-invalid})

(def node-refusals
  "Reasons of a node that did not take the request at all. Definite."
  #{:overloaded :not-leader :not-ready :disk-full :unknown-node :node-exists :member-change-refused})

(def open-reasons
  "The request may have been applied, or may still be."
  #{:deadline-exceeded :connection-lost :outcome-unknown :leader-changed :node-stopping :unavailable :internal :unknown
    :cancelled :client-crashed})

(def grpc-reasons
  "What a bare gRPC status means. A refused connection has the same status as a lost one, so nothing here is definite
  except what says that the server never knew the method or the message."
  {"OK"                  :unknown
   "CANCELLED"           :cancelled
   "UNKNOWN"             :unknown
   "INVALID_ARGUMENT"    :invalid-argument
   "DEADLINE_EXCEEDED"   :deadline-exceeded
   "UNIMPLEMENTED"       :unimplemented
   "RESOURCE_EXHAUSTED"  :unknown
   "UNAVAILABLE"         :connection-lost
   "INTERNAL"            :internal})

(defn reason
  "A reason of the wire (`FENCE_MISMATCH`) as a keyword (`:fence-mismatch`)."
  [text]
  (keyword (str/replace (str/lower-case text) "_" "-")))

(defn known?
  [reason]
  (boolean (or (refusals reason) (node-refusals reason) (open-reasons reason) (= :unimplemented reason))))

(defn classify
  "What became of a call that met an error: {:type :fail or :info, :error [reason detail]}.

    :reason    the ErrorInfo's reason, nil when the error came without details
    :definite  the ErrorInfo's word: true, false, or nil when it said nothing
    :status    the gRPC status's name
    :message   for people

  `read?` calls change nothing, so that they fail definitely whatever happened."
  [{:keys [reason definite status message]} read?]
  (let [reason'   (if reason
                    (gossip-rs.errors/reason reason)
                    (get grpc-reasons status :unknown))
        definite? (cond read?           true
                        (some? definite) definite
                        reason          (boolean (or (refusals reason') (node-refusals reason')))
                        :else           (contains? #{:invalid-argument :unimplemented} reason'))]
    {:type  (if definite? :fail :info)
     :error [reason' (or message "")]}))
