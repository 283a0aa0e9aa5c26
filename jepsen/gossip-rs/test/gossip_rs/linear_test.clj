(ns gossip-rs.linear-test
  (:require [clojure.test :refer [deftest is testing]]
            [gossip-rs.build :as b]
            [gossip-rs.linear :as linear]))

(defn- lost [call] (-> call (assoc :type :info, :error [:transport ""]) (dissoc :out)))

(deftest tries-under-one-op-id-are-one-operation
  (let [ops   (b/history (b/register ["s" nil nil]) [(lost (b/acquire "w" 1))] (assoc (b/acquire "w" 1) :process 7)
                         (b/write :checkpoint "w" 1 :cursor "0a"))
        {:strs [s]} (linear/shards ops)
        [grant write] (:calls s)]
    (is (= [:acquire :checkpoint] (map :f (:calls s))))
    (is (= :ok (:type grant)))
    (is (= 2 (:index grant)) "from the first try on")
    (is (= [:invoke :ok :invoke :ok] (map :type (linear/history (:calls s)))))))

(deftest what-failed-is-left-out-and-what-is-open-never-completes
  (let [ops (b/history (b/register ["s" nil nil])
                       (b/failed (b/acquire "v" 3) :lease-held)
                       (lost (b/acquire "w" 1)))]
    (is (= [[:acquire :invoke]]
           (map (juxt :f :type) (linear/history (:calls (get (linear/shards ops) "s"))))))))

(deftest a-final-read-of-the-run-reads-each-shard
  (let [ops (b/history (b/register ["s" nil "10"] ["t" "10" nil])
                       (b/read-run [{:shard "s", :status :active, :fence 0} {:shard "t", :status :active, :fence 0}] :final? true))]
    (doseq [shard ["s" "t"]]
      (is (= [:read-shard] (map :f (:calls (get (linear/shards ops) shard))))))))

(deftest lost-claims-are-kept-apart
  (let [claim {:f :claim, :in {:run "r", :worker "w", :op-id "c"}}
        {:strs [s]} (linear/shards (b/history (b/register ["s" nil nil]) (lost claim)))]
    (is (empty? (:calls s)))
    (is (= 1 (count (:open-claims s))))))
