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

(def ^:private lost-claim (lost {:f :claim, :in {:run "r", :worker "w", :op-id "c"}}))

(defn- calls-of
  [& parts]
  (:calls (get (linear/shards (apply b/history (b/register ["s" nil nil]) parts)) "s")))

(deftest a-lost-claim-is-a-grant-only-of-a-fence-that-was-passed-untold
  (is (empty? (calls-of lost-claim)))
  (is (= [:acquire] (map :f (calls-of lost-claim (b/acquire "w" 1)))) "fence 1 is told of")
  (let [[grant acquire] (calls-of lost-claim (b/acquire "w" 2))]
    (is (= {:f :acquire, :type :info, :index 2, :out {:fence 1}} (select-keys grant [:f :type :index :out])))
    (is (= 2 (:fence (:out acquire)))))
  (is (= [:acquire] (map :f (calls-of (b/acquire "w" 2)))) "there is no claim"))

(deftest each-lost-claim-is-one-grant
  (testing "three fences are missing, and there are two claims"
    (is (= [1 2 4] (map (comp :fence :out) (calls-of [lost-claim] [(assoc-in lost-claim [:in :op-id] "d")] (b/acquire "w" 4))))))
  (testing "the second fence needs the second claim"
    (is (= [[:acquire 1] [:acquire 3] [:acquire 2]]
           (map (juxt :f (comp :fence :out))
                (calls-of [lost-claim] (b/acquire "w" 3) [(assoc-in lost-claim [:in :op-id] "d")])))))
  (testing "unless something else may have made the first one"
    (is (= [[:acquire nil] [:acquire 1] [:acquire 2] [:acquire 3]]
           (map (juxt :f (comp :fence :out))
                (calls-of (lost (b/acquire "v" 1)) [lost-claim] (b/acquire "w" 3)))))))

(deftest what-is-open-and-would-change-nothing-is-left-out
  (is (= [:acquire :checkpoint]
         (map :f (calls-of (b/acquire "w" 1)
                           (lost (b/write :renew "w" 1))
                           (lost (b/write :checkpoint "w" 1 :cursor "0a")))))))
