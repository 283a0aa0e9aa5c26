(ns gossip-rs.claims-test
  (:require [clojure.test :refer [deftest is]]
            [gossip-rs.build :as b]
            [gossip-rs.claims :as claims]
            [gossip-rs.linear :as linear]
            [gossip-rs.search :as search]))

(defn- claim
  [worker op-id]
  (b/lost {:f :claim, :in {:run "r", :worker worker, :op-id op-id}}))

(defn- write
  [shard worker]
  {:process 7, :f :checkpoint, :in {:shard shard, :worker worker, :fence 1, :cursor (str "0" shard), :op-id (str "c" shard)}})

(defn- twice
  "[claim #{shard}] of those that two shards need."
  [& calls]
  (for [{:keys [claim needing]} (claims/granted-twice (linear/shards (apply b/history (b/register ["a" "0" "1"] ["b" "0" "1"]) calls))
                                                      (fn [part] {:valid? (search/linearizable? part)}))]
    [(:op-id (:in claim)) (set (map first needing))]))

(deftest one-claim-was-granted-one-shard
  (is (= [["c1" #{"a" "b"}]] (twice [(claim "w" "c1")] (write "a" "w") (write "b" "w"))))
  (is (empty? (twice [(claim "w" "c1")] (write "a" "w"))))
  (is (empty? (twice [(claim "w" "c1") (claim "w" "c2")] (write "a" "w") (write "b" "w"))) "one for each")
  (is (empty? (twice [(claim "w" "c1") (claim "v" "c2")] (write "a" "w") (write "b" "v"))))
  (is (= [["c1" #{"a" "b"}]] (twice [(claim "w" "c1") (claim "v" "c2")] (write "a" "w") (write "b" "w")))
      "another worker's claim is no help"))

(deftest a-claim-that-could-not-be-weighed-is-told
  (let [told (fn [verdicts & calls]
               (let [left (atom verdicts)]
                 (for [found (claims/granted-twice (linear/shards (apply b/history (b/register ["a" "0" "1"] ["b" "0" "1"]) calls))
                                                   (fn [_] (let [[verdict] @left] (swap! left rest) {:valid? verdict})))]
                   (keys found))))
        both [(claim "w" "c1") (write "a" "w") (write "b" "w")]]
    (is (= [[:claim :unknown]] (apply told [:unknown :unknown] both)))
    (is (= [[:claim :unknown]] (apply told [false :unknown] both)))
    (is (= [[:claim :needing]] (apply told [false false] both)))
    (is (empty? (apply told [true :unknown] both)) "one shard alone may have it")))

(deftest a-claim-that-something-else-may-stand-for-is-not-needed
  (let [acquire (b/lost {:f :acquire, :in {:shard "b", :worker "w", :op-id "q"}})]
    (is (empty? (twice [(claim "w" "c1") acquire] (write "a" "w") (write "b" "w"))))))
