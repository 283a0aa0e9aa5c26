(ns gossip-rs.db-test
  "What is said to a node, by a connection that only takes it down."
  (:require [clojure.java.shell :as shell]
            [clojure.string :as str]
            [clojure.test :refer [deftest is testing]]
            [gossip-rs.db :as gdb]
            [jepsen.control :as c]
            [jepsen.db :as db]))

(defn- said
  "The command lines of an action."
  [f]
  (let [lines (atom [])]
    (with-redefs [c/exec (fn [& words] (swap! lines conj (str/join " " (map #(if (keyword? %) (name %) (str %)) words))) "no")]
      (f))
    @lines))

(defn- place
  [lines part]
  (first (keep-indexed (fn [i line] (when (str/includes? line part) i)) lines)))

(deftest nothing-of-a-run-is-left-on-a-node
  (let [lines (said #(db/teardown! (gdb/db) {:up (atom #{})} "n1"))]
    (is (place lines "iptables -F") "filters of a run that was broken off")
    (is (place lines "pkill -KILL"))
    (is (< (place lines "pkill -KILL") (place lines (str "rm -rf " gdb/dir))))))

(deftest a-process-that-never-goes-is-not-waited-for-for-ever
  (let [lines (said #(db/kill! (gdb/db) {:up (atom #{})} "n1"))]
    (is (re-find #"^timeout \d+ bash" (nth lines (place lines "pkill -KILL"))))))

(def ^:private among-processes
  "Shell: makes a zombie, `dead`, and shows whoever looks for gossip-worker the one process that is named behind. A shell reaps its
  children, so the child ends when the parent is none any more."
  (str "read -r dead parent < <(bash -c '"
       "(until [[ $(< /proc/$$/comm) == sleep ]]; do sleep 0.01; done) & echo $! $$; exec sleep 60 >/dev/null 2>&1'); "
       "trap 'kill $parent' EXIT; "
       "until grep -q '^State:.Z' /proc/$dead/status; do sleep 0.01; done; "
       "pkill() { :; }; pgrep() { echo $seen; }; seen="))

(defn- locally
  "How the last script of an action ends when it runs here, for so many seconds at most, and this process is the node's."
  [within-s process f]
  (let [script (atom nil)]
    (with-redefs [c/exec (fn [& words] (when (some #{:bash} words) (reset! script (last words))) "no")]
      (f))
    (shell/sh "timeout" (str within-s) "bash" "-c" (str among-processes process "; " @script))))

(deftest a-zombie-is-no-process
  (let [kill #(db/kill! (gdb/db) {:up (atom #{})} "n1")]
    (testing "is not waited for"
      (is (= 0 (:exit (locally 30 "$dead" kill))))
      (is (= 124 (:exit (locally 2 "$$" kill)))))
    (testing "does not run"
      (is (= "no\n" (:out (locally 30 "$dead" gdb/running?))))
      (is (= "yes\n" (:out (locally 30 "$$" gdb/running?)))))))
