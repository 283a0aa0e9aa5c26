(ns gossip-rs.errors
  "The error table: which refusals are definite (nothing was and will be changed: `:fail`) and which leave the outcome open
  (`:info`).

  The service says it itself: each error carries `definite` in its details, and that word decides. An error without those
  details, as from a torn connection, is open whatever its gRPC status: nobody knows how far the request got. The table is
  here so that a reason which is new shows up in the report, and so that the judges know what the state machine refuses."
  (:require [clojure.string :as str]))

(defn reason
  "A reason as a keyword, however it is spelled: `FENCE_MISMATCH`, `:fence-mismatch`."
  [x]
  (keyword (str/replace (str/lower-case (name x)) "_" "-")))

(def refusals
  "Reasons of the state machine. All definite; the replay of an answered op id must never meet one of them again."
  #{:invalid-argument :limit-exceeded :op-id-conflict :run-not-found :run-exists :run-not-open :run-not-started :run-ended
    :run-unfinished :run-not-ended :shard-not-found :shard-exists :shard-overlap :shard-terminal :shard-parked
    :shard-not-parked :lease-held :no-shard-free :fence-mismatch :lease-expired :not-owner :cursor-regression
    :cursor-out-of-range :split-point-invalid})

(def node-refusals
  "Reasons of a node that did not take the request. Definite."
  #{:not-leader :overloaded :read-unconfirmed :change-in-progress :bad-change :stopping :cluster-mismatch :node-removed
    :node-replaced})

(def open-reasons
  "The request may have been applied, or may still be."
  #{:leadership-lost})

(def self-declared
  "Definite or not, as the error says."
  #{:timeout})

(def transport
  "The reason of an error that came without details."
  :transport)

(def of-ours
  "Reasons that no service gave: what a worker of ours refused itself."
  #{:overslept})

(defn known?
  [reason]
  (boolean (or (refusals reason) (of-ours reason) (node-refusals reason) (open-reasons reason) (self-declared reason) (= transport reason))))

(defn classify
  "What became of a call that met an error: {:type :fail or :info, :error [reason detail]}.

    :reason    the ErrorInfo's reason, nil when the error came without details
    :definite  the ErrorInfo's word: true, false, or nil when it said nothing
    :status    the gRPC status's name
    :message   for people

  A call that changes nothing (`read?`) fails definitely whatever happened."
  [{:keys [status message definite] error-reason :reason} read?]
  {:type  (if (or read? (and error-reason (true? definite))) :fail :info)
   :error (if error-reason
            [(reason error-reason) (or message "")]
            [transport (str/trim (str status " " message))])})

(defn reason-of
  "The reason of a call that did not succeed, or nil."
  [{:keys [error]}]
  (let [x (if (sequential? error) (first error) error)]
    (when (or (keyword? x) (string? x))
      (reason x))))
