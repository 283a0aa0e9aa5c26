(ns gossip-rs.linear-test
  (:require [clojure.test :refer [deftest is testing]]
            [gossip-rs.build :as b]
            [gossip-rs.history :as h]
            [gossip-rs.linear :as linear]))

(defn- lost [call] (-> call (assoc :type :info, :error [:transport ""]) (dissoc :out)))

(deftest tries-under-one-op-id-are-one-operation
  (let [ops   (b/history (b/register ["s" nil nil]) [(lost (b/acquire "w" 1))] (assoc (b/acquire "w" 1) :process 7)
                         (b/write :checkpoint "w" 1 :cursor "0a"))
        {:strs [s]} (linear/shards ops)
        [birth grant write] (:calls s)]
    (is (= [:create :acquire :checkpoint] (map :f [birth grant write])))
    (is (= :ok (:type grant)))
    (is (= 2 (:index grant)) "from the first try on")
    (is (= [:invoke :ok :invoke :ok :invoke :ok] (map :type (linear/history (:calls s)))))))

(defn- calls-of
  "What is known of s beyond its making."
  [& parts]
  (remove #(= :create (:f %)) (:calls (get (linear/shards (apply b/history (b/register ["s" nil nil]) parts)) "s"))))

(deftest what-failed-is-left-out-and-what-is-open-never-completes
  (is (= [[:acquire :invoke] [:read-shard :invoke] [:read-shard :ok]]
         (map (juxt :f :type) (linear/history (calls-of (b/failed (b/acquire "v" 3) :lease-held)
                                                        (lost (b/acquire "w" 1))
                                                        (assoc (b/read-shard {:fence 1}) :process 1)))))))

(deftest every-fresh-read-of-the-run-reads-each-shard
  (let [records [{:shard "s", :status :active, :fence 0} {:shard "t", :status :active, :fence 0}]
        ops     (b/history (b/register ["s" nil "10"] ["t" "10" nil])
                           (b/read-run records)
                           (b/read-run records :stale true)
                           (b/read-run records :final? true))]
    (doseq [shard ["s" "t"]]
      (is (= [:create :read-shard :read-shard] (map :f (:calls (get (linear/shards ops) shard))))))))

(deftest children-are-born-by-the-split-from-its-first-try-on
  (let [split (b/write :split-replace "w" 1 :cuts ["10"])
        done  (assoc split :out {:children [{:shard "b", :start "10", :end nil} {:shard "a", :start nil, :end "10"}]})
        parts (linear/shards (b/history (b/register ["s" nil nil]) (b/acquire "w" 1) (lost split) (assoc done :process 1)))]
    (doseq [[child cursor?] {"a" false, "b" true}
            :let [{:keys [model calls]} (get parts child)]]
      (is (= [[:create 4 7]] (map (juxt :f :index :end) calls)) child)
      (is (= {:status :absent} model))
      (is (= cursor? (contains? (:out (first calls)) :cursor)) "the first child's cursor is the parent's"))))

(deftest the-making-of-a-child-may-be-unknown
  (let [ops (b/history (b/register ["s" nil nil]) (b/acquire "w" 1) (lost (b/write :split-replace "w" 1 :cuts ["10"]))
                       (assoc (b/read-run [{:shard "a", :status :active, :fence 0}]) :process 1))]
    (is (= {} (:model (get (linear/shards ops) "a"))))))

(deftest the-end-of-a-run-ends-its-shards
  (let [end (fn [f] {:f f, :in {:run "r", :op-id "e"}})]
    (is (= [:cancel-run] (map :f (calls-of (end :cancel-run)))))
    (is (= [:complete-run] (map :f (calls-of (end :complete-run)))))
    (is (= [:cancel-run] (map :f (calls-of (lost (end :cancel-run))))) "it may have happened")
    (is (empty? (calls-of (lost (end :complete-run)))) "which changes nothing")
    (is (empty? (calls-of (assoc-in (end :cancel-run) [:in :run] "other"))))))

(deftest a-renewal-without-answer-leaves-the-deadline-unknown
  (is (= 2000 (:deadline (:out (first (calls-of (b/acquire "w" 1)))))))
  (is (nil? (:deadline (:out (first (calls-of (b/acquire "w" 1) (lost (b/write :renew "w" 1)))))))))

(deftest a-lost-renewal-leaves-the-deadline-of-reads-and-renewals-unknown
  (let [renewal (assoc-in (b/write :renew "w" 1) [:in :op-id] "r2")
        told    (assoc renewal :out {:granted 1500, :deadline 2500})
        read    (b/read-shard {:status :active, :fence 1, :worker "w", :deadline 2000})
        until   (fn [& calls] (map (comp :deadline :out) (apply calls-of calls)))]
    (is (= [2000 2500 2000] (until (b/acquire "w" 1) told read)))
    (is (= [nil nil nil] (until (b/acquire "w" 1) (lost (b/write :renew "w" 1)) (assoc told :process 1) (assoc read :process 1))))))

(deftest fences-do-not-begin-at-0-once-a-run-was-deleted
  (let [fence (fn [& calls] (:fence (:out (first (:calls (get (linear/shards (apply b/history calls)) "s")))) :untold))
        made  (b/register ["s" nil nil])
        end   {:f :delete-run, :in {:run "old", :op-id "d"}}]
    (is (= 0 (fence made end)))
    (is (= :untold (fence end made)))
    (is (= :untold (fence [end made])))))

(deftest an-op-id-whose-answer-may-be-forgotten-is-a-new-request
  (let [writes (map #(assoc (b/write :checkpoint "w" 1 :cursor (format "%04x" %)) :process 1) (range 64))
        first  (b/acquire "w" 1)
        grants (fn [& calls] (map (juxt :type (comp :fence :out)) (filter #(= :acquire (:f %)) (apply calls-of calls))))
        again  (assoc-in first [:out :fence] 2)]
    (is (= [[:ok 1]] (grants first again)) "S5 judges it")
    (is (= [[:ok 1] [:ok 2]] (apply grants (concat [first] writes [again]))))
    (is (= [[:ok 1]] (apply grants (concat [first] writes [first]))))
    (is (= [[:ok 1] [:info nil] [:ok 3]]
           (apply grants (concat [first] writes [(lost first) (assoc (b/acquire "v" 3) :process 1)]))))
    (is (= #{[:ok 1] [:info nil] [:ok 3]}
           (set (apply grants (concat [(lost first)] writes [(assoc first :process 1) (assoc (b/acquire "v" 3) :process 1)]))))
        "which of the two made it is not known")))

(def ^:private lost-claim (lost {:f :claim, :in {:run "r", :worker "w", :op-id "c"}}))

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

(deftest a-known-holder-was-granted-it-by-a-claim-of-its-own
  (let [claim (fn [worker] (-> lost-claim (assoc-in [:in :worker] worker) (assoc-in [:in :op-id] worker)))
        made  (fn [& parts] (keep #(when (= :info (:type %)) [(:index %) (:out %)]) (apply calls-of parts)))
        by    (fn [worker] (assoc (b/write :checkpoint worker 1 :cursor "0a") :process 5))]
    (is (= [[3 {:fence 1, :worker "v"}]] (made [(claim "w") (claim "v")] (by "v"))))
    (is (= [[2 {:fence 1, :worker "w"}]] (made [(claim "w") (claim "v")] (by "w"))))
    (is (empty? (made [(claim "w") (claim "v")] (by "z"))))
    (is (= [[3 {:fence 1, :worker "v"}]]
           (made [(claim "w") (claim "v")] (assoc (b/read-shard {:fence 1, :worker "v"}) :process 5))))
    (testing "where a read does not tell the fence, each is there as itself"
      (is (= [[2 {:worker "w", :untold #{1 2}}] [3 {:worker "v", :untold #{1 2}}]]
             (made [(claim "w") (claim "v")] (assoc (b/read-shard {:worker "v"}) :process 5)))))))

(deftest where-fences-begin-is-not-made-by-a-claim
  (let [ops (b/history [{:f :delete-run, :in {:run "old", :op-id "d"}}] (b/register ["s" nil nil]) [lost-claim]
                       (assoc (b/acquire "w" 9) :process 3) (assoc (b/acquire "w" 11) :process 3))]
    (is (= [10] (keep #(when (h/open? %) (:fence (:out %))) (:calls (get (linear/shards ops) "s")))))))

(deftest a-lost-acquire-made-only-a-fence-that-was-passed-untold
  (is (= [#{1} nil] (map (comp :untold :out) (calls-of (lost (b/acquire "v" 1)) (assoc (b/acquire "w" 2) :process 1)))))
  (is (= [:acquire] (map :f (calls-of (lost (b/acquire "v" 1)) (assoc (b/acquire "w" 1) :process 1)))) "there is none"))

(deftest what-is-open-and-would-change-nothing-is-left-out
  (is (= [:acquire :checkpoint]
         (map :f (calls-of (b/acquire "w" 1)
                           (lost (b/write :renew "w" 1))
                           (lost (b/write :checkpoint "w" 1 :cursor "0a")))))))
