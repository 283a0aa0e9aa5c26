(ns gossip-rs.history-test
  (:require [clojure.test :refer [deftest is]]
            [gossip-rs.history :as h])
  (:import (java.io File)))

(deftest reads-plain-and-tagged-ops-and-unknown-tags
  (is (= {:process 0, :type :invoke, :f :acquire, :value {:shard "s"}, :time 1, :index 0}
         (h/parse-line 1 "{:process 0, :type :invoke, :f :acquire, :value {:shard \"s\"}, :time 1, :index 0}")))
  (is (= :kill (:f (h/parse-line 1 "#jepsen.history.Op{:process :nemesis, :type :info, :f :kill, :value #some/tag [1]}"))))
  (is (nil? (h/parse-line 1 "   ")))
  (is (nil? (h/parse-line 1 "; a comment"))))

(deftest says-which-line-and-field-is-wrong
  (doseq [[text field] [["[1]" nil]
                        ["{:process 0 :type :done :f :x}" :type]
                        ["{:process 1.5 :type :ok :f :x}" :process]
                        ["{:process 0 :type :ok :f \"x\"}" :f]
                        ["{:process 0 :type :ok :f :x :time \"now\"}" :time]
                        ["{:process 0 :type :ok :f :x :value {:fence 1.0}}" :fence]
                        ["{:process 0 :type :ok :f :read-run :value {:status 5}}" :status]
                        ["{:process 0 :type :ok :f :read-run :value {:status :open :shards [{:status true}]}}" :status]
                        ["{:process 0 :type :ok :f :x :value {:fence 9223372036854775808}}" :fence]
                        ["{:process 0 :type :ok :f :x :value {:granted \"7\"}}" :granted]
                        ["{:process 0 :type :ok :f :x :value {:deadline :never}}" :deadline]
                        ["{:process 0 :type :ok :f :x :value {:shards [{:fence 1} {:fence 1.5}]}}" :fence]
                        ["{:process 0" nil]]]
    (let [e (try (h/parse-line 17 text) nil (catch clojure.lang.ExceptionInfo e e))]
      (is (some? e) text)
      (is (= 17 (:line (ex-data e))) text)
      (is (= field (:field (ex-data e))) text))))

(deftest what-is-written-reads-back
  (let [file (doto (File/createTempFile "history" ".edn") .deleteOnExit)
        ops  [{:process 0, :type :invoke, :f :read-shard, :value {:shard "s" :node nil}, :time 5, :index 0}
              {:process 0, :type :fail, :f :read-shard, :value {:shard "s"}, :time 9, :index 1,
               :error [:overloaded "later \"please\""], :node "n1"}
              {:process :nemesis, :type :info, :f :kill, :value ["n1"], :time 10, :index 2}]]
    (h/write-history! file ops)
    (is (= ops (h/read-history file)))
    (is (= 3 (count (line-seq (clojure.java.io/reader file)))))))

(deftest calls-pair-invocations-with-what-became-of-them
  (let [calls (h/calls (h/index [{:process 0, :type :invoke, :f :acquire, :value {:shard "s"}, :time 1}
                                 {:process 1, :type :invoke, :f :release, :value {:shard "t"}, :time 2}
                                 {:process :nemesis, :type :info, :f :kill, :value ["n1"], :time 3}
                                 {:process 0, :type :ok, :f :acquire, :value {:fence 1}, :time 4}
                                 {:process 1, :type :info, :f :release, :value {:shard "t"}, :time 5, :error [:timeout ""]}
                                 {:process 2, :type :invoke, :f :renew, :value {:shard "u"}, :time 6}]))]
    (is (= [:ok :info :info] (map :type calls)))
    (is (= [3 h/open-end h/open-end] (map :end calls)))
    (is (= {:shard "s", :fence 1} (:out (first calls))))
    (is (= "u" (h/shard-of (last calls))))))

(deftest a-process-does-one-thing-at-a-time
  (let [invoke {:process 0, :type :invoke, :f :renew, :value {}}]
    (is (thrown-with-msg? clojure.lang.ExceptionInfo #"line 2: .*under way" (h/calls (h/index [invoke invoke]))))
    (is (thrown-with-msg? clojure.lang.ExceptionInfo #"never invoked" (h/calls (h/index [(assoc invoke :type :ok)]))))))

(deftest numbers-that-can-be-read-are
  (doseq [value ["{:fence nil}" "{:fence 9223372036854775807N}" "{:x {:fence 1.5}}" "[:fence 1.5]"]]
    (is (some? (h/parse-line 1 (str "{:process 0 :type :ok :f :x :value " value "}"))) value))
  (is (some? (h/parse-line 1 "{:process :nemesis :type :info :f :skew :value {:left 1.5}}"))))

(deftest a-file-may-begin-with-a-byte-order-mark-and-errors-tell-its-lines
  (let [file   (doto (File/createTempFile "history" ".edn") .deleteOnExit)
        invoke "{:process 0 :type :invoke :f :renew :value {}}"]
    (spit file (str "\ufeff; a comment\n\n" invoke "\n" invoke "\n"))
    (let [ops (h/read-history file)]
      (is (= 2 (count ops)))
      (is (thrown-with-msg? clojure.lang.ExceptionInfo #"line 4: .*under way" (h/calls ops))))))
