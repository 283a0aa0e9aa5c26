(ns gossip-rs.remote-test
  "Nodes that take a connection or a command and never answer."
  (:require [clj-commons.slingshot :as slingshot]
            [clojure.string :as str]
            [clojure.test :refer [deftest is testing]]
            [gossip-rs.cli :as cli]
            [gossip-rs.db :as gdb]
            [gossip-rs.nemesis :as gnemesis]
            [gossip-rs.remote :as remote]
            [jepsen.control.core :as core]
            [jepsen.control.sshj :as sshj]
            [jepsen.nemesis :as nemesis])
  (:import (java.net InetAddress ServerSocket)))

(def ^:private limits {:connect 200, :command 200, :transfer 200})

(defn- mute
  "A remote whose connections are counted, and which leaves what is asked of it unanswered until it is interrupted."
  [asked]
  (let [hang #(do (swap! asked conj %) (Thread/sleep 60000))]
    (reify core/Remote
      (connect [this _] (swap! asked conj :connect) this)
      (disconnect! [_])
      (execute! [_ _ _] (hang :execute))
      (upload! [_ _ _ _ _] (hang :upload))
      (download! [_ _ _ _ _] (hang :download)))))

(defn- error
  "The exception in which f ends, ::hangs when it does not end."
  [f]
  (deref (future (try (f) nil (catch Exception e e))) 10000 ::hangs))

(deftest what-is-not-answered-ends
  (doseq [[kind f] {:execute  #(core/execute! % {} {:cmd (str "sleep\n" (str/join (repeat 500 "9")))})
                    :upload   #(core/upload! % {} ["a"] "/b" {})
                    :download #(core/download! % {} "/a" "b" {})}]
    (testing (name kind)
      (let [asked   (atom [])
            session (core/connect (remote/bounded (mute asked) limits) {:host "n1"})
            e       (error #(f session))]
        (is (= [::remote/no-answer "n1"] ((juxt :type :node) (ex-data e))))
        (is (re-find #"^n1 did not answer within 200 ms: \S" (str (ex-message e))))
        (is (< (count (ex-message e)) 300))
        (is (= [:connect kind :connect] @asked) "it is asked once, and connected anew")))))

(deftest a-machine-that-takes-the-connection-and-says-nothing-ends-the-connecting
  (with-open [server (ServerSocket. 0 5 (InetAddress/getLoopbackAddress))]
    (let [ssh (remote/bounded (:remote (sshj/remote)) limits)]
      (is (= ::remote/no-answer
             (:type (ex-data (error #(core/connect ssh {:host "127.0.0.1", :port (.getLocalPort server), :username "root", :password ""})))))))))

(deftest a-step-that-is-not-answered-is-indefinite-and-says-who-did-not
  (let [session (core/connect (remote/bounded (mute (atom [])) limits) {:host "n1"})
        op      (nemesis/invoke! (gnemesis/nemesis)
                                 {:nodes ["n1"], :sessions {"n1" session}, :db (gdb/db)}
                                 {:process :nemesis, :type :info, :f :resume, :value nil})]
    (is (= :info (:type op)))
    (is (= :failed (first (:error op))))
    (is (re-find #"^n1 did not answer within 200 ms: .*pkill -CONT" (second (:error op))))))

(deftest what-jepsen-gives-up-is-said-in-words
  (let [broken (reify core/Remote
                 (connect [this _] this)
                 (disconnect! [_])
                 (execute! [_ _ _] (slingshot/throw+ {:type :jepsen.control/ssh-failed, :host "n1", :password "p"}
                                                     (IllegalStateException. "Not connected"))))
        e      (error #(core/execute! (core/connect (remote/bounded broken limits) {:host "n1"}) {} {:cmd "true"}))]
    (is (= "n1 is not reached by SSH: Not connected" (remote/in-words e)))
    (is (= "other" (remote/in-words (ex-info "other" {}))))))

(deftest a-run-speaks-to-its-nodes-by-it
  (let [{:keys [remote]} (cli/gossip-test {:nodes ["n1" "n2" "n3"], :concurrency 10, :time-limit 60, :rate 40.0, :test-seed 7})]
    (is (= remote/limits (get-in remote [:remote :limits])))
    (is (< (* 1000 @#'gdb/gone-within-s) (:command remote/limits)) "a process has its time to go")))
