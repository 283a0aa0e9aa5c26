(ns gossip-rs.remote
  "SSH with a bound on every call. Jepsen's own waits for as long as the other side takes: a node that takes the connection and
  never answers, as a machine that has stopped does, would hold the run for ever.

  A call that is not answered in time ends in an exception of the type ::no-answer, which says who was asked and for what. Whether
  it was done nobody knows: a step of the nemesis completes as indefinite, one of the setup ends the run as trouble of ours. Its connection
  is replaced, so that a node that is back is reached again; and it is not tried again, as Jepsen does after a failure of SSH
  itself, since what took its time once would take it once more."
  (:require [clojure.string :as str]
            [jepsen.control.core :as core]
            [jepsen.control.retry :as retry]
            [jepsen.control.sshj :as sshj]
            [jepsen.util :as util]))

(def limits
  "Milliseconds. A command may wait for a process that is to go, `db/gone-within-s`; what is carried is the program and the logs."
  {:connect 10000, :command 45000, :transfer 300000})

(def ^:private most-shown
  "Characters of a command in an error: a file that is written is part of its command."
  200)

(defn- shown
  [text]
  (let [line (str/replace (str text) #"\s+" " ")]
    (subs line 0 (min most-shown (count line)))))

(defn- within!
  "What f gives, unless that takes longer than the limit of its kind. Then whoever does it is interrupted."
  [{:keys [limits host]} kind what f]
  (let [ms     (kind limits)
        answer (util/timeout ms ::none (f))]
    (if (= ::none answer)
      (throw (ex-info (str host " did not answer within " ms " ms: " (shown what))
                      {:type ::no-answer, :node host, :kind kind}))
      answer)))

(defrecord Bounded [remote limits host]
  core/Remote
  (connect [this conn-spec]
    (let [this (assoc this :host (:host conn-spec))]
      (assoc this :remote (within! this :connect "SSH" #(core/connect remote conn-spec)))))

  ; It says goodbye to the other side, which may not be there.
  (disconnect! [this]
    (within! this :connect "the end of SSH" #(core/disconnect! remote)))

  (execute! [this context action]
    (within! this :command (:cmd action) #(core/execute! remote context action)))

  (upload! [this context local-paths remote-path more]
    (within! this :transfer (str "upload of " remote-path) #(core/upload! remote context local-paths remote-path more)))

  (download! [this context remote-paths local-path more]
    (within! this :transfer (str "download of " remote-paths) #(core/download! remote context remote-paths local-path more))))

(defn in-words
  "What an exception of a step says. That of Jepsen's retries, when they give up, is a map of all that SSH was told."
  [e]
  (let [{:keys [type host]} (ex-data e)]
    (if (= :jepsen.control/ssh-failed type)
      (str host " is not reached by SSH: " (ex-message (util/ex-root-cause e)))
      (ex-message e))))

(defn bounded
  "A remote whose every call is bound by these limits, with Jepsen's retries and reconnection around it."
  [remote limits]
  (retry/remote (->Bounded remote limits nil)))

(defn ssh
  "As `jepsen.control/ssh`, each call with its bound."
  []
  ; The bound belongs inside of Jepsen's retries, which replace a connection that failed.
  (bounded (:remote (sshj/remote)) limits))
