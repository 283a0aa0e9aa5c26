(ns gossip-rs.faults-test
  (:require [clojure.test :refer [deftest is testing]]
            [gossip-rs.build :as b]
            [gossip-rs.faults :as faults]
            [gossip-rs.history :as h]))

(def three ["n1" "n2" "n3"])

(deftest cuts-become-links
  (is (= #{["n1" "n2"] ["n1" "n3"] ["n2" "n1"] ["n3" "n1"]}
         (set (faults/cut-links [:halves ["n1"]] three nil))
         (set (faults/cut-links [:isolate "n1"] three nil))))
  (is (= [["n1" "n2"] ["n3" "n2"]] (faults/cut-links [:deaf "n2"] three nil)))
  (is (= [["n2" "n1"] ["n2" "n3"]] (faults/cut-links [:mute "n2"] three nil)))
  (testing "a bridge sees both sides, which do not see each other"
    (is (= [["n1" "n3"] ["n3" "n1"]] (faults/cut-links [:bridge "n2"] three nil))))
  (testing "aimed at whoever leads, else at the node named"
    (is (= [["n1" "n3"] ["n2" "n3"]] (faults/cut-links [:deaf [:leader "n2"]] three "n3")))
    (is (= [["n1" "n2"] ["n3" "n2"]] (faults/cut-links [:deaf [:leader "n2"]] three nil)))))

(deftest a-cut-is-filtered-where-packets-arrive
  (is (= {"n2" [["-A" "INPUT" "-s" "ip-n1" "-j" "DROP" "-w"]]}
         (faults/rules [["n1" "n2"]] :drop #(str "ip-" %))))
  (is (= "REJECT" (get-in (faults/rules [["n1" "n2"]] [:tear 9] identity) ["n2" 0 7]))))

(deftest met-packets-are-counted
  (is (= 12 (faults/packets (str "Chain INPUT (policy ACCEPT 5 packets, 300 bytes)\n"
                                 "    pkts      bytes target     prot opt in     out     source               destination\n"
                                 "       9      540 DROP       all  --  *      *       10.0.0.1             0.0.0.0/0\n"
                                 "       3      180 REJECT     tcp  --  *      *       10.0.0.2             0.0.0.0/0\n")))))

(deftest steps-name-their-nodes
  (let [now #(:value {:value (faults/value-now %1 {:nodes three, :leader %2})})]
    (is (= ["n3"] (now {:f :kill, :value [[:leader "n1"]]} "n3")))
    (is (= ["n1"] (now {:f :pause, :value ["n1" [:leader "n2"]]} "n1")))
    (is (= {:workers [0]} (now {:f :pause, :value {:workers [0]}} "n1")))
    (is (= {:node "n1", :how :hang} (now {:f :start-client-fault, :value {:node [:leader "n1"], :how :hang}} nil)))
    (is (true? (faults/aims-at-leader? {:cut [:isolate [:leader "n1"]]})))
    (is (false? (faults/aims-at-leader? ["n1"])))))

(deftest a-fault-lasts-until-it-is-over-for-all-it-hit
  (let [spans (fn [& steps]
                (for [{:keys [begin end left]} (faults/spans (h/nemesis-steps (apply b/history steps)))]
                  [(:f begin) (:index end) left]))]
    (is (= [[:kill 5 #{}]] (spans (b/step :kill ["n1" "n2"]) (b/step :start ["n1"]) (b/step :start ["n2"]))))
    (is (= [[:kill nil #{"n2"}]] (spans (b/step :kill ["n1" "n2"]) (b/step :start ["n1"]))))
    (testing "a worker that goes on wakes no node, and no node a worker"
      (is (= [[:pause nil #{"n1"}]] (spans (b/step :pause ["n1"]) (b/step :resume {:workers :all}))))
      (is (= [[:pause 7 #{}] [:pause 5 #{}]]
             (spans (b/step :pause {:workers [1]}) (b/step :pause ["n1"]) (b/step :resume nil) (b/step :resume {:workers :all})))))
    (testing "what was not done begins nothing and ends nothing"
      (is (= [] (spans (b/step :kill ["n1"] [:no-effect "nothing was there to be killed"]))))
      (is (= [[:skew nil #{}]] (spans (b/step :skew {}) (b/step :heal nil [:heal-failed "clocks"]))))
      (is (= [[:skew 3 #{}]] (spans (b/step :skew {}) (b/step :heal nil [:not-serving "n1"])))))))
