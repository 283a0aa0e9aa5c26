(ns gossip-rs.client-test
  (:require [clojure.test :refer [deftest is testing]]
            [gossip-rs.client :as client]
            [gossip-rs.grpc :as grpc]
            [jepsen.client :as jepsen]
            [jepsen.util :as util]))

(def options {:run "main", :lease-ms 2000})

(defn- perform
  "What an operation asks for, and what it adds when it is answered so."
  [op answer]
  (let [asked (atom [])
        added (client/perform (fn [method request] (swap! asked conj [method request]) answer) options op 1000)]
    [@asked added]))

(deftest tokens-are-lists-of-ids
  (is (= "0000000100abcdef" (client/ids->token [1 0xabcdef])))
  (is (= [1 0xabcdef] (client/token->ids (client/ids->token [1 0xabcdef]))))
  (is (= [] (client/token->ids "")))
  (is (thrown-with-msg? clojure.lang.ExceptionInfo #"no list of ids" (client/token->ids "0000000100abcd"))
      "a truncated tail must not vanish"))

(deftest a-grant-is-believed-from-the-first-sending-less-the-margin
  (let [[[[method request]] added]
        (perform {:f :acquire, :value {:shard "s", :worker "w", :op-id "0a"}}
                 {:lease {:shard "s", :worker "w", :fence 3}, :granted-ms 500, :deadline-ms 2500, :range {:start "", :end "ff"}
                  :cursor {:key "0b", :token "00000001"}})]
    (is (= "ShardService/Acquire" method))
    (is (= {:tenant "jepsen", :run "main", :op-id "0a", :shard "s", :worker "w", :lease-ms 2000, :wait-ms 0} request))
    (is (= {:shard "s", :worker "w", :fence 3, :granted 500, :deadline 2500, :believed-until (+ 1000 1800000000)
            :start nil, :end "ff", :cursor "0b", :ids [1]}
           added))))

(deftest writes-carry-lease-and-cursor
  (let [[[[_ request]] added] (perform {:f :checkpoint, :value {:shard "s", :worker "w", :fence 3, :cursor "0c", :ids [1 2], :op-id "0b"}} {})]
    (is (= {:lease {:shard "s", :worker "w", :fence 3}, :cursor {:key "0c", :token "0000000100000002"}}
           (select-keys request [:lease :cursor])))
    (is (nil? added))))

(deftest a-run-is-read-page-by-page-only-when-nothing-is-written-any-more
  (let [pages {"" {:shards [{:shard "a"}], :next "a"}, "a" {:shards [{:shard "b"}]}}
        call  (fn [method request]
                (if (= "RunService/GetRun" method) {:run {:status :active}} (pages (:after request))))
        read  #(client/perform call options {:f :read-run, :value (merge {:run "main"} %)} 1000)]
    (is (= ["a" "b"] (map :shard (:shards (read {:final? true})))))
    (let [e (is (thrown? clojure.lang.ExceptionInfo (read {})))]
      (is (= {:type :fail, :error [:limit-exceeded ""]} (client/outcome {} (ex-data e)))))))

(deftest shards-of-the-side-run-are-named-after-it
  (is (= "side" (get-in (perform {:f :read-shard, :value {:shard "side-s000"}} {:shard {:shard "side-s000"}}) [0 0 1 :run])))
  (is (= "brief-12" (client/run-of "main" {:shard "brief-12-s000"})))
  (is (= "main" (client/run-of "main" {:shard "s000"}) (client/run-of "main" {})))
  (is (= "other" (client/run-of "main" {:run "other"}))))

(deftest definite-refusals-fail-and-the-rest-is-open
  (let [checkpoint {:f :checkpoint, :value {}}
        type       #(:type (client/outcome %1 %2))]
    (is (= :fail (type checkpoint {:reason "FENCE_MISMATCH", :definite true})))
    (is (= :info (type checkpoint {:reason "LEADERSHIP_LOST", :definite false})))
    (is (= :info (type checkpoint {:status "UNAVAILABLE", :message "reset"})))
    (testing "nothing left this machine"
      (is (= :fail (type checkpoint {:status "UNAVAILABLE", :never-sent? true}))))
    (testing "a read changes nothing"
      (is (= :fail (type {:f :read-shard} {:status "UNAVAILABLE"}))))))

(defn- scripted
  "`ask` against nodes that answer by this function of node; the nodes that were asked."
  [answer & {:as way}]
  (let [asked (atom [])]
    (with-redefs [client/call-node      (fn [_ _ node _ _ _] (swap! asked conj node) (answer node))
                  grpc/reconnect-soon! (fn [_])]
      (let [result (try (client/ask (merge {:test {:nodes ["n1" "n2" "n3"], :addresses {"n3" "10.0.0.3"}}, :home "n1"} way) "M" {})
                        (catch clojure.lang.ExceptionInfo e (ex-data e)))]
        [@asked result]))))

(defn- refuse
  [data]
  (throw (ex-info "" (assoc data :type ::grpc/error))))

(deftest a-refusal-that-took-nothing-is-asked-elsewhere
  (testing "the leader's address is followed"
    (is (= [["n1" "n3"] :done]
           (scripted #(if (= "n3" %) :done (refuse {:reason "NOT_LEADER", :definite true, :metadata {"leader-address" "10.0.0.3:7000"}}))))))
  (testing "a node that is not there is passed over"
    (is (= [["n1" "n2"] :done] (scripted #(if (= "n2" %) :done (refuse {:never-sent? true}))))))
  (testing "after an open outcome nobody is asked again"
    (is (= ["n1"] (first (scripted (fn [_] (refuse {:status "UNAVAILABLE"})))))))
  (testing "nor after a refusal of the state machine"
    (is (= ["n1"] (first (scripted (fn [_] (refuse {:reason "LEASE_HELD", :definite true})))))))
  (testing "a final read is of its node"
    (is (= ["n1"] (first (scripted (fn [_] (refuse {:never-sent? true})) :pinned? true))))))

(deftest the-two-calls-of-a-registration-never-share-an-op-id
  (doseq [id ["c0" "d0" "00"]]
    (let [[asked] (perform {:f :register, :value {:run "main", :shards [], :op-id id}} {})
          ids     (map (comp :op-id second) asked)]
      (is (= 2 (count ids)))
      (is (apply distinct? ids)))))

(deftest an-answer-that-makes-no-sense-is-no-outcome
  (let [client (client/->Client "n1" {})
        test   {:nodes ["n1"], :concurrency 1, :run "main", :lease-ms 2000, :sent (atom {}), :paused-workers (atom {})
                :client-faults (atom {}), :fault-effects (atom 0)}
        answer {:shard {:shard "s", :cursor {:key "0a", :token "123"}}}]
    (with-redefs [client/ask (fn [_ _ _] answer), util/relative-time-nanos (constantly 5)]
      (is (thrown-with-msg? clojure.lang.ExceptionInfo #"no list of ids"
                            (jepsen/invoke! client test {:process 0, :type :invoke, :f :read-shard, :value {:shard "s"}}))))))

(defn- section
  "A section of a lease believed in until 1000 ms, held for `hold-ms` from `entered-ms`; the sleeper oversleeps by `late-ms`."
  [entered-ms hold-ms late-ms]
  (let [clock (atom (* 1000000 entered-ms))
        done  (client/hold-section {:lease-ms 2000} {:f :section, :value {:believed-until 1000000000, :hold-ms hold-ms}}
                                   #(deref clock) #(swap! clock + % (* 1000000 late-ms)))]
    [(:type done) (some-> (:left (:value done)) (quot 1000000)) (first (:error done))]))

(deftest a-section-is-left-when-it-is-left
  (is (= [:ok 300 nil] (section 100 200 0)))
  (is (= [:ok 1000 nil] (section 900 200 0)) "no longer than the belief")
  (is (= [:ok 1150 nil] (section 900 200 150)) "what the drift margin allows is written as it was")
  (is (= [:info 1250 :overslept] (section 900 200 250)) "a thread that stood still shows nothing of the service")
  (is (= [:fail nil :lease-expired] (section 1000 200 0))))

(defn- twice
  "What came of an operation that was sent twice, the answers being given in the order of asking by the two threads."
  [read? mine twins]
  (let [me     (Thread/currentThread)
        answer (fn [] (let [outcome (if (= me (Thread/currentThread)) mine twins)]
                        (if (map? outcome) (throw (ex-info "" (assoc outcome :type ::grpc/error))) outcome)))]
    (try (#'client/spoiled :duplicate read? answer)
         (catch clojure.lang.ExceptionInfo e
           (:type (client/outcome {:f (if read? :read-shard :checkpoint)} (ex-data e)))))))

(deftest a-refusal-of-one-of-two-requests-says-nothing-of-the-other
  (let [refused {:reason "FENCE_MISMATCH", :definite true}
        lost    {:status "UNAVAILABLE"}]
    (is (= :done (twice false :done refused)))
    (is (= :fail (twice false refused refused)))
    (is (= :info (twice false refused :done)) "the twin committed")
    (is (= :info (twice false refused lost)) "the twin may have")
    (is (= :info (twice false {:never-sent? true} :done)))
    (is (= :fail (twice false {:never-sent? true} {:never-sent? true})))
    (is (= :fail (twice true refused :done)) "a read changes nothing")))
