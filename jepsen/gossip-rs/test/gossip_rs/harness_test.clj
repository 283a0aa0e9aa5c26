(ns gossip-rs.harness-test
  (:require [clojure.test :refer [are deftest is testing]]
            [gossip-rs.build :as b]
            [gossip-rs.harness :as harness]))

(defn- step
  [f & [error]]
  (b/step f nil error))

(def ^:private run b/history)

(deftest a-node-that-does-not-come-back-violates-progress-and-anything-else-is-our-trouble
  (are [verdict ops] (= verdict (:valid? (harness/healing ops)))
    true     (run (step :heal))
    false    (run (step :heal [:not-serving "n2 does not serve within 60000 ms"]))
    :unknown (run (step :heal [:heal-failed "filters: n2 is not reached"]))
    :unknown (run (step :kill))
    ; planned, and the run ended before it was done
    :unknown (b/history (first (step :heal)))))

(deftest a-heal-accuses-the-service-only-of-what-it-owed
  (let [said (fn [more] (harness/heal-error (merge {:nodes ["n1" "n2" "n3"], :unmended #{}, :grown? true, :silent nil, :said ["a" "b"]} more)))]
    (are [kind more] (= [kind "a; b"] (said more))
      :not-serving {:silent ["n2"]}
      :not-serving {:silent ["n2"], :grown? false}
      :not-serving {:silent ["n2"], :unmended #{"n1"}}
      :heal-failed {:silent ["n2"], :unmended #{"n2"}}
      :heal-failed {:silent ["n2"], :unmended #{"n1"}, :grown? false}
      :heal-failed {:silent ["n2"], :unmended #{"n1" "n3"}}
      ; The group is not what it was, and yet each node serves.
      :heal-failed {:grown? false})
    (is (nil? (said {:said []})))))

(deftest a-heal-that-failed-names-whom-it-did-not-mend
  (are [named kind more] (= named (harness/named-unmended (merge {:nodes ["n1" "n2" "n3"], :unmended #{"n3"}, :grown? true} more) [kind ""]))
    ["n3"]           :heal-failed {}
    ["n3"]           :not-serving {:grown? false}
    ["n1" "n2" "n3"] :heal-failed {:grown? false}
    ; Every fault is over, and the service did not take its nodes back.
    []               :heal-failed {:grown? false, :unmended #{}}))

(deftest steps-that-were-not-done-are-listed
  (is (= [[:kill [:failed "ssh"]]]
         (map (juxt :f :error)
              (:steps (harness/healing (run (step :kill [:failed "ssh"]) (step :pause [:no-effect "never stopped"]) (step :heal))))))))

(defn- read-of
  [f node run]
  {:f f, :in (cond-> {:node node, :final? true} run (assoc :run run)), :out {:shards []}})

(deftest every-node-owes-every-final-read
  (let [nodes   {:nodes ["n1" "n2"], :runs ["main"], :views? true}
        reads   [(read-of :read-run "n1" "main") (read-of :read-view "n1" nil)
                 (read-of :read-run "n2" "main") (read-of :read-view "n2" nil)]
        missing (fn [calls] (:missing (harness/final-reads (apply b/history calls) nodes)))]
    (is (= {:valid? true, :missing []} (harness/final-reads (apply b/history reads) nodes)))
    (doseq [i (range 4)]
      (is (= 1 (count (missing (assoc reads i (b/failed (reads i) :overloaded))))))
      (is (= :unknown (:valid? (harness/final-reads (apply b/history (assoc reads i (b/failed (reads i) :overloaded))) nodes)))))
    (testing "a read during the load is none"
      (is (= [[:read-run "main" "n1"]] (missing (update-in reads [0 :in] dissoc :final?)))))
    (testing "of each run"
      (is (= 2 (count (:missing (harness/final-reads (apply b/history reads) (update nodes :runs conj "side")))))))))

(deftest every-node-owes-an-answer-about-every-deleted-run
  (let [nodes   {:nodes ["n1" "n2"], :runs ["main"], :deleted ["brief-0" "brief-1"]}
        reads   (for [run ["main" "brief-0" "brief-1"], node ["n1" "n2"]] (read-of :read-run node run))
        check   (fn [calls] (harness/final-reads (apply b/history calls) nodes))
        with    (fn [i reason] (update (vec reads) i b/failed reason))]
    (is (= {:valid? true, :missing []} (check reads)) "one that is there yet is judged elsewhere")
    (is (= {:valid? true, :missing []} (check (with 3 :run-not-found))))
    (is (= {:valid? :unknown, :missing [[:read-run "brief-0" "n2"]]} (check (with 3 :overloaded))))
    (is (= {:valid? :unknown, :missing [[:read-run "brief-1" "n1"]]} (check (concat (take 4 reads) (drop 5 reads)))))
    (is (= [[:read-run "main" "n1"]] (:missing (check (with 0 :run-not-found)))) "nobody deleted it")))

(deftest answers-that-nobody-understands-are-named
  (let [understood (fn [& calls] (harness/understood (apply b/history calls)))]
    (is (= {:valid? true, :unknown-reasons {}, :exceptions {}}
           (understood (b/acquire "a" 1) (b/failed (b/acquire "b" 2) :lease-held) (assoc (b/failed (b/acquire "b" 2) :timeout) :type :info))))
    (is (= {:valid? :unknown, :unknown-reasons {:moon-phase 1}, :exceptions {}}
           (understood (b/failed (b/acquire "b" 2) :moon-phase))))
    (testing "an exception is no outcome"
      (let [[invoke done] (b/history (assoc (b/acquire "a" 1) :type :info))]
        (is (= {:valid? :unknown, :unknown-reasons {}, :exceptions {"java.lang.NullPointerException" 1}}
               (harness/understood [invoke (assoc done :error [:indeterminate "npe"]
                                                  :exception {:via [{:type 'java.lang.NullPointerException}]})])))))))
