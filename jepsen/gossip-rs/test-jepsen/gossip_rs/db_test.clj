(ns gossip-rs.db-test
  "What is said to a node, by a connection that only takes it down."
  (:require [clojure.string :as str]
            [clojure.test :refer [deftest is]]
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
