(ns gossip-rs.lists-test
  (:require [clojure.test :refer [deftest is]]
            [gossip-rs.build :as b]
            [gossip-rs.lists :as lists]))

(deftest checkpoints-append-and-reads-read
  (let [ops (b/history (b/register ["s" nil nil])
                       (assoc-in (b/acquire "w" 1) [:out :ids] [])
                       (b/write :checkpoint "w" 1 :cursor "0a" :ids [1])
                       (b/failed (b/write :checkpoint "v" 0 :cursor "0b" :ids [2]) :fence-mismatch)
                       ; 9 was inherited from a parent.
                       (b/read-shard {:status :active, :fence 1, :cursor "0a", :ids [9 1]}))]
    (is (= [[:ok [[:r "s" []]]] [:ok [[:append "s" 1]]] [:fail [[:append "s" 2]]] [:ok [[:r "s" [1]]]]]
           (map (juxt :type :value) (remove #(= :invoke (:type %)) (lists/history ops)))))))

(deftest an-append-without-an-answer-may-have-happened
  (let [ops (b/history (b/register ["s" nil nil])
                       (assoc-in (b/acquire "w" 1) [:out :ids] [])
                       (b/lost (b/write :checkpoint "w" 1 :cursor "0a" :ids [1]))
                       (b/read-shard {:status :active, :fence 1, :cursor "0a", :ids [1]}))]
    (is (= #{[:ok [[:r "s" []]]] [:info [[:append "s" 1]]] [:ok [[:r "s" [1]]]]}
           (set (map (juxt :type :value) (remove #(= :invoke (:type %)) (lists/history ops))))))))
