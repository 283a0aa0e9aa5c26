(ns gossip-rs.timeline-test
  (:require [clojure.string :as str]
            [clojure.test :refer [deftest is]]
            [gossip-rs.build :as b]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.timeline :as timeline]))

(def ^:private nemesis {:process :nemesis, :type :info})

(def ops
  (b/history (b/register ["s" nil nil])
             (b/acquire "v" 2)
             (merge nemesis {:f :pause, :value ["n1"]}) (merge nemesis {:f :pause, :value ["n1"]})
             (b/acquire "w" 1)
             (merge nemesis {:f :resume, :value nil}) (merge nemesis {:f :resume, :value nil})))

(deftest leases-faults-and-violations-are-drawn
  (let [page (timeline/html ops (invariants/judge ops) "JEPSEN <REPORT>")]
    (is (str/includes? page "JEPSEN &lt;REPORT&gt;"))
    (is (= 2 (count (re-seq #"class=\"lease\"" page))))
    (is (= 1 (count (re-seq #"class=\"fault\"" page))))
    (is (re-find #"class=\"bad\"[^>]*S2" page))
    (is (not (re-find #"https?://" page)) "one file, no network")))

(deftest a-fault-lasts-until-its-end
  (is (= [{:label "pause [\"n1\"]", :from 5000000, :to 9000000}] (timeline/fault-spans ops))))
