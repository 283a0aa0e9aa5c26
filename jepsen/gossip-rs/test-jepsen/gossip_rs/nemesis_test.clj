(ns gossip-rs.nemesis-test
  "The nemesis against nodes that are maps: what it says it did, it did."
  (:require [clojure.test :refer [deftest is testing use-fixtures]]
            [gossip-rs.client :as client]
            [gossip-rs.db :as gdb]
            [gossip-rs.grpc :as grpc]
            [gossip-rs.harness :as harness]
            [gossip-rs.nemesis :as gnemesis]
            [jepsen.control :as c]
            [jepsen.db :as db]
            [jepsen.nemesis :as nemesis]))

(def ^:private ^:dynamic *nodes*
  "{node {:running? :stopped? :deaf? :readings}} of the test at hand."
  nil)

(use-fixtures :each (fn [test]
                      (binding [*nodes* (atom {"n1" {:running? true, :readings 1}
                                               "n2" {:running? true, :readings 1}})]
                        (test))))

(def ^:private ^:dynamic *here* nil)

(defn- here
  "The node that is spoken to. One that is :unreachable? throws, as SSH does."
  []
  (when (get-in @*nodes* [*here* :unreachable?])
    (throw (ex-info (str *here* " is not reached") {})))
  *here*)

(defn- become!
  [k v]
  (swap! *nodes* assoc-in [(here) k] v))

(defrecord FakeDB []
  db/Kill
  (kill! [_ _ _] (become! :running? false))
  (start! [_ _ _] (become! :running? true))
  db/Pause
  (pause! [_ _ _] (become! :stopped? true))
  (resume! [_ _ _] (become! :stopped? false)))

(defn- on-nodes
  "One node after the other."
  [test nodes f]
  (into {} (for [node nodes] [node (binding [*here* node] (f test node))])))

(def ^:private ^:dynamic *test* nil)

(defn- fresh-test
  []
  {:nodes ["n1" "n2"], :db (->FakeDB), :lease-ms 100, :paused-workers (atom {}), :client-faults (atom {}), :fault-effects (atom 0)
   :joiners (atom #{}), :up (atom #{"n1" "n2"}), :away (atom #{})})

(defn- act
  "What a step of the schedule completes with, in `*test*` or a fresh one."
  [f value & {:as redefs}]
  (with-redefs-fn
    (merge {#'c/on-nodes          on-nodes
            #'c/exec              (fn [& _] (here) "")
            #'gdb/running?        #(get-in @*nodes* [(here) :running?])
            #'gdb/stopped?        #(get-in @*nodes* [(here) :stopped?])
            #'gdb/set-clock!      (fn [_] (when-not (get-in @*nodes* [(here) :deaf?])
                                            (swap! *nodes* update-in [(here) :readings] inc)))
            #'gdb/clock-readings  #(get-in @*nodes* [(here) :readings])
            #'gdb/await-serving!  (fn [& _])
            #'gdb/leader          (constantly "n1")
            #'gnemesis/members    (constantly #{"n1" "n2"})
            #'gnemesis/by-service (fn [& _] {})
            #'gdb/wipe!           #(become! :wiped? true)}
           redefs)
    #(nemesis/invoke! (gnemesis/nemesis)
                      (or *test* (fresh-test))
                      {:process :nemesis, :type :info, :f f, :value value})))

(deftest only-what-runs-is-killed
  (swap! *nodes* assoc-in ["n2" :running?] false)
  (is (= ["n1"] (:value (act :kill ["n1" "n2"]))))
  (is (= :no-effect (first (:error (act :kill ["n1" "n2"]))))))

(deftest a-pause-that-nobody-saw-is-none
  (is (nil? (:error (act :pause ["n1"]))))
  (is (= :no-effect (first (:error (act :pause ["n1"] #'gdb/stopped? (constantly false)))))))

(deftest a-skew-that-no-node-read-is-none
  (let [skew {"n1" {:wall-ms 0, :rate-ppm 1050000}, "n2" {:wall-ms 5, :rate-ppm 1000000}}]
    (swap! *nodes* assoc-in ["n1" :deaf?] true)
    (is (nil? (:error (act :skew skew))) "one that stands still reads it later")
    (swap! *nodes* assoc-in ["n2" :deaf?] true)
    (is (= :no-effect (first (:error (act :skew skew #'gnemesis/seen-within-ms 100)))))))

(deftest a-step-that-cannot-find-the-leader-was-not-done
  (is (= :failed (first (:error (act :kill [[:leader "n1"]] #'gdb/leader (fn [_] (throw (ex-info "no way" {})))))))))

(deftest healing-ends-everything
  (swap! *nodes* update "n1" merge {:running? false, :stopped? true})
  (is (= {:unmended []} (:value (act :heal {:unmended ["n1" "n2"]}))))
  (is (= {:running? true, :stopped? false} (select-keys (get @*nodes* "n1") [:running? :stopped?]))))

(deftest a-heal-step-that-throws-does-not-stop-the-others
  (swap! *nodes* update "n2" merge {:running? false, :stopped? true})
  (let [error (:error (act :heal nil #'gdb/flush-filters! (fn [] (throw (ex-info "no iptables" {})))))]
    (is (= [:heal-failed "filters of n1: no iptables; filters of n2: no iptables"] error))
    (is (= {:running? true, :stopped? false} (select-keys (get @*nodes* "n2") [:running? :stopped?]))))
  (testing "the judge takes it for our trouble"
    (is (= :unknown (:valid? (harness/healing [{} {:process :nemesis, :type :info, :f :heal}
                                               {:process :nemesis, :type :info, :f :heal, :error [:heal-failed ""]}]))))))

(defn- healed-as
  "What a heal of three nodes completes with when these do not serve."
  [silent & redefs]
  (swap! *nodes* update "n3" #(merge {:running? true, :readings 1} %))
  (binding [*test* (assoc (fresh-test) :nodes ["n1" "n2" "n3"])]
    (apply act :heal {:unmended ["n1" "n2" "n3"]}
           #'gnemesis/heal-within-ms 0
           #'gnemesis/members        (constantly #{"n1" "n2" "n3"})
           #'gdb/await-serving!      (fn [& _]
                                       (when (seq silent)
                                         (throw (ex-info "silence" {:type ::gdb/not-serving, :nodes silent}))))
           redefs)))

(defn- healed
  "The kind of error, or nil."
  [& args]
  (first (:error (apply healed-as args))))

(def ^:private nobody-leads
  "Redefinitions by which the group has no leader."
  [#'gnemesis/members @#'gnemesis/members
   #'gnemesis/leads-within-ms 0
   #'gdb/leader (constantly nil)
   #'client/open-nodes (constantly {})
   #'client/close-nodes! (fn [_])])

(deftest a-service-that-does-not-serve-is-told-whatever-else-it-did-not-do
  (is (nil? (healed [])))
  (is (= :not-serving (healed ["n2"])))
  (testing "it cannot grow when nobody leads"
    (is (= :not-serving (apply healed ["n1" "n2" "n3"] nobody-leads))))
  (testing "nor when it answers nothing"
    (is (= :not-serving (healed ["n1"] #'gnemesis/grow! (fn [_] (throw (ex-info "late" {:type ::grpc/error, :status "UNAVAILABLE"})))))))
  (testing "that we could not ask is our trouble"
    (is (= :heal-failed (healed ["n1"] #'gnemesis/grow! (fn [_] (throw (ex-info "ssh" {}))))))))

(deftest a-node-that-we-cannot-reach-excuses-itself-alone
  (swap! *nodes* assoc "n3" {:unreachable? true})
  (swap! *nodes* update "n1" merge {:running? false, :stopped? true})
  (is (= :heal-failed (healed ["n3"])))
  (is (= {:running? true, :stopped? false} (select-keys (get @*nodes* "n1") [:running? :stopped?])) "the others are mended")
  (is (= {:unmended ["n3"]} (:value (healed-as ["n3"]))))
  (is (= :not-serving (healed ["n1" "n3"])) "n1 and n2 are a majority")
  (is (= {:unmended ["n3"]} (:value (healed-as ["n1" "n3"]))))
  (is (= :heal-failed (apply healed ["n1" "n2"] nobody-leads)) "the group may be n2 and n3 alone")
  (is (= {:unmended ["n1" "n2" "n3"]} (:value (apply healed-as ["n1" "n2"] nobody-leads))))
  (swap! *nodes* assoc-in ["n2" :unreachable?] true)
  (is (= :heal-failed (healed ["n1"])) "it cannot serve alone"))

(deftest a-removed-node-stays-away-until-the-group-grows
  (binding [*test* (fresh-test)]
    (is (nil? (:error (act :shrink ["n2"]))))
    (is (= {:running? false, :wiped? true} (select-keys (get @*nodes* "n2") [:running? :wiped?])))
    (is (= #{"n1"} @(:up *test*)) "that it ended is no trouble")
    (testing "also when nobody says who the members are"
      (is (= [] (:value (act :start nil #'gnemesis/members (fn [_] (throw (ex-info "no leader" {}))))))))
    (is (= ["n2"] (:value (act :grow nil #'gnemesis/members (constantly #{"n1"})))))
    (is (true? (get-in @*nodes* ["n2" :running?])))
    (is (= [#{"n2"} #{}] [@(:joiners *test*) @(:away *test*)]))))

(deftest a-removal-that-nobody-answered-may-have-happened
  (let [answer (fn [data] (fn [& _] (throw (ex-info "no" (assoc data :type ::grpc/error)))))
        lost   (answer {:status "DEADLINE_EXCEEDED"})]
    (binding [*test* (fresh-test)]
      (is (= :failed (first (:error (act :shrink ["n2"] #'gnemesis/by-service (answer {:reason "CHANGE_IN_PROGRESS", :definite true}))))))
      (is (= #{"n1" "n2"} @(:up *test*)) "refused for good: it has to run")
      (is (= :failed (first (:error (act :shrink ["n2"] #'gnemesis/by-service lost)))))
      (is (= #{"n1"} @(:up *test*)) "it may end, which is nobody's fault")
      (testing "it has to run again once it serves"
        (act :heal nil)
        (is (= #{"n1" "n2"} @(:up *test*)))))
    (testing "and comes back as empty as any other"
      (binding [*test* (fresh-test)]
        (act :shrink ["n2"] #'gnemesis/by-service lost)
        (is (not (get-in @*nodes* ["n2" :wiped?])))
        (act :grow nil #'gnemesis/members (constantly #{"n1"}))
        (is (= {:running? true, :wiped? true} (select-keys (get @*nodes* "n2") [:running? :wiped?])))))))

(defn- by-word-of
  "Redefinitions by which `members` is the real one: this node leads, if any, and lists these members."
  [real leader listed]
  [#'gnemesis/members real
   #'gnemesis/leads-within-ms 0
   #'gdb/leader         (constantly leader)
   #'client/open-nodes  (constantly {})
   #'client/close-nodes! (fn [_])
   #'client/call-node   (fn [_ _ node method _ _]
                          (when (= "ClusterService/Members" method)
                            {:node node, :members (map #(hash-map :node %) (if (= leader node) listed []))}))])

(deftest nobody-is-wiped-on-the-word-of-a-node-that-does-not-count-itself-in
  (let [real  @#'gnemesis/members
        grown (fn [leader listed] (apply act :grow nil (by-word-of real leader listed)))]
    (doseq [[leader listed] [["n2" []] ["n2" ["n1"]] [nil []]]]
      (is (= :failed (first (:error (grown leader listed)))) (str leader " lists " listed))
      (is (not-any? :wiped? (vals @*nodes*)))
      (is (every? :running? (vals @*nodes*))))
    (testing "n1 is asked for nothing when n2 leads"
      (is (= [] (:value (grown "n2" ["n1" "n2"]))))
      (is (not-any? :wiped? (vals @*nodes*))))
    (testing "whom the leader does not list comes back empty"
      (is (= ["n1"] (:value (grown "n2" ["n2"]))))
      (is (= [true nil] (map #(:wiped? (get @*nodes* %)) ["n1" "n2"]))))))

(deftest a-node-is-started-whatever-one-that-lists-nobody-says
  (let [real    @#'gnemesis/members
        started (fn [leader listed]
                  (swap! *nodes* assoc-in ["n1" :running?] false)
                  (:value (apply act :start nil (by-word-of real leader listed))))]
    (is (= ["n1"] (started "n2" ["n1" "n2"])))
    (is (= ["n1"] (started "n2" [])) "as if there were nobody to ask")
    (is (= ["n1"] (started nil [])))
    (is (= [] (started "n2" ["n2"])) "the leader says that it was removed")))

(deftest a-node-whose-adding-nobody-answered-is-started-all-the-same
  (binding [*test* (fresh-test)]
    (act :shrink ["n2"])
    (is (= :failed (first (:error (act :grow nil
                                       #'gnemesis/members    (constantly #{"n1"})
                                       #'gnemesis/by-service (fn [& _] (throw (ex-info "no" {:type ::grpc/error, :status "UNAVAILABLE"}))))))))
    (is (false? (get-in @*nodes* ["n2" :running?])))
    (is (= ["n2"] (:value (act :grow nil #'gnemesis/by-service (fn [& _] (throw (ex-info "it is a member" {})))))))
    (is (true? (get-in @*nodes* ["n2" :running?])))
    (is (= [#{"n2"} #{}] [@(:joiners *test*) @(:away *test*)]) "it joins, and is no founder")))
