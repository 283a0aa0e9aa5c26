(ns gossip-rs.lists-test
  (:require [clojure.test :refer [deftest is testing]]
            [gossip-rs.build :as b]
            [gossip-rs.lists :as lists]))

(deftest checkpoints-append-and-reads-read
  (let [ops (b/history (b/register ["s" nil nil])
                       (assoc-in (b/acquire "w" 1) [:out :ids] [])
                       (b/write :checkpoint "w" 1 :cursor "0a" :ids [1])
                       (b/failed (b/write :checkpoint "v" 0 :cursor "0b" :ids [2]) :fence-mismatch)
                       (b/read-shard {:status :active, :fence 1, :cursor "0a", :ids [1]}))]
    (is (= [[:ok [[:r "s" []]]] [:ok [[:append "s" 1]]] [:fail [[:append "s" 2]]] [:ok [[:r "s" [1]]]]]
           (map (juxt :type :value) (remove #(= :invoke (:type %)) (lists/history ops)))))))

(deftest an-append-without-an-answer-may-have-happened
  (let [ops (b/history (b/register ["s" nil nil])
                       (assoc-in (b/acquire "w" 1) [:out :ids] [])
                       (b/lost (b/write :checkpoint "w" 1 :cursor "0a" :ids [1]))
                       (b/read-shard {:status :active, :fence 1, :cursor "0a", :ids [1]}))]
    (is (= #{[:ok [[:r "s" []]]] [:info [[:append "s" 1]]] [:ok [[:r "s" [1]]]]}
           (set (map (juxt :type :value) (remove #(= :invoke (:type %)) (lists/history ops))))))))

(deftest an-op-id-reused-with-another-payload-appends-no-second-time
  (let [first-one (b/write :checkpoint "w" 1 :cursor "0a" :ids [1])
        reused    (assoc-in (b/lost first-one) [:in :fence] 2)
        appends   (fn [& calls]
                    (->> (lists/history (apply b/history (b/register ["s" nil nil]) calls))
                         (filter #(and (not= :invoke (:type %)) (= :append (ffirst (:value %)))))
                         (map (juxt :type :value))))]
    (is (= [[:ok [[:append "s" 1]]]] (appends first-one reused)))
    (testing "the end of the first is not known: the id may have come by either"
      (is (= [[:info [[:append "s" 1]]]] (appends reused first-one))))
    (testing "one list's ids are not another's"
      (is (= 2 (count (appends first-one (assoc-in reused [:in :shard] "t"))))))))

(deftest every-fresh-read-of-the-run-reads-each-list
  (let [records [{:shard "s", :status :active, :ids [1]} {:shard "t", :status :active, :ids []}]
        ops     (b/history (b/register ["s" nil "10"] ["t" "10" nil])
                           (b/read-run records)
                           (b/read-run records :final? true)
                           (b/read-run records :stale true))]
    (is (= {[[:r "s" []]] 2, [[:r "t" []]] 2} (update-keys (frequencies (map :value (filter #(= :ok (:type %)) (lists/history ops))))
                                                            #(mapv (fn [[f k _]] [f k []]) %))))))

(def ^:private parent
  [(b/register ["s" nil nil])
   (b/write :checkpoint "w" 1 :cursor "0a" :ids [1])
   (assoc (b/write :split-replace "w" 1 :cuts ["10"])
          :out {:children [{:shard "a", :start nil, :end "10"} {:shard "b", :start "10", :end nil}]})])

(defn- foreign
  [& calls]
  (map :message (lists/foreign (apply b/history (concat parent calls)))))

(deftest a-child-goes-on-from-its-parents-list
  (let [own (assoc-in (b/write :checkpoint "w" 1 :cursor "0b" :ids [1 2]) [:in :shard] "a")
        ops (apply b/history (concat parent [own (b/read-run [{:shard "a", :ids [1 2]}])]))]
    (is (empty? (lists/foreign ops)))
    (is (= [[:r "a" [2]]] (:value (last (lists/history ops)))) "what it inherited it did not append")))

(deftest ids-of-nobody-are-a-violation-and-not-left-out
  (is (= ["shard a: read-run shows checkpoints of nobody: 7"] (foreign (b/read-run [{:shard "a", :ids [1 7]}]))))
  (testing "another list's, which it did not go on from"
    (is (= 1 (count (foreign (b/register ["t" nil nil])
                             (assoc-in (b/write :checkpoint "w" 1 :cursor "0c" :ids [5]) [:in :shard] "t")
                             (b/read-run [{:shard "a", :ids [1 5]}]))))))
  (testing "of a shard whose making nobody was told of any other's may be"
    (is (empty? (foreign (b/read-run [{:shard "x", :ids [1]}]))))
    (is (= 1 (count (foreign (b/read-run [{:shard "x", :ids [8]}]))))))
  (testing "the parent's after its own"
    (is (= 1 (count (foreign (assoc-in (b/write :checkpoint "w" 1 :cursor "0b" :ids [1 2]) [:in :shard] "a")
                             (b/read-run [{:shard "a", :ids [2 1]}])))))))
