(ns gossip-rs.names-test
  "Names used again."
  (:require [clojure.string :as str]
            [clojure.test :refer [deftest is testing]]
            [gossip-rs.build :refer [acquire failed history lost register write]]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.linear :as linear]))

(def ^:private root (register ["s" "10" "40"]))

(defn- delete
  [run]
  {:f :delete-run, :in {:run run, :op-id (str "delete " run)}})

(defn- life
  [fence]
  [root (acquire "a" fence) (write :complete "a" fence) {:f :complete-run, :in {:run "r", :op-id "c"}}])

(defn- judged
  "The verdict by every invariant, and what was left out."
  [calls]
  (let [judgement (invariants/judge (apply history calls))]
    [(invariants/valid? judgement []) (get-in judgement [:N :left-out])]))

(deftest two-lives-of-a-run-are-not-judged-as-one
  (let [once  (concat (life 1) [(delete "r")])
        twice (concat once (life 2))]
    (is (nil? (second (judged once))))
    (let [[valid? [sentence]] (judged twice)]
      (is (= :unknown valid?))
      (is (str/starts-with? sentence "run r: it may have been deleted and made again")))
    (is (= ["s"] (keys (linear/shards (apply history once)))))
    (is (empty? (linear/shards (apply history twice))))
    (testing "what violates something elsewhere is still found"
      (let [grant (fn [fence] {:f :acquire, :in {:run "q", :shard "x", :worker "a", :op-id (str "x" fence)}, :out {:fence fence}})]
        (is (false? (first (judged (concat twice [(grant 2) (grant 1)])))))))))

(deftest one-life-is-judged-whatever-was-deleted
  (let [bad [root (acquire "a" 2) (acquire "b" 1)]]
    (doseq [calls [bad
                   (cons (delete "r") bad)
                   (concat bad [(delete "r")])
                   (concat [(delete "q")] bad [(delete "q")])
                   (concat bad [(failed (delete "r") :run-not-ended)])]]
      (is (= [false nil] (judged calls))))))

(deftest a-deletion-that-may-have-come-between-is-enough
  (let [left-out (fn [& calls] (second (judged calls)))]
    (is (left-out (lost root) (assoc (acquire "a" 1) :process 1) (assoc (lost (delete "r")) :process 1)
                  (assoc (acquire "a" 2) :process 2)))
    (testing "nothing can have made it once more"
      (is (nil? (left-out root (acquire "a" 1) (lost (delete "r")) (assoc (acquire "a" 2) :process 1)))))
    (testing "nobody tells the run of the shard"
      (is (str/starts-with? (first (left-out (acquire "a" 1) (delete "r") (acquire "a" 2))) "shard s: ")))))

(deftest a-shard-name-in-two-runs-is-of-neither
  (let [other        (assoc-in root [:in :run] "q")
        [valid? why] (judged [root other (acquire "a" 1) (acquire "b" 1)])]
    (is (= :unknown valid?))
    (is (= ["run q: a shard s is in each of the runs q, r" "run r: a shard s is in each of the runs q, r"] why))
    (is (nil? (second (judged [root (failed other :run-ended) (acquire "a" 1)]))))))

(deftest what-shows-a-shard-elsewhere-does-not-put-it-there
  (let [left-out (fn [& calls] (second (judged calls)))
        claim    (fn [run id] {:f :claim, :in {:run run, :worker "a", :op-id id}, :out {:shard "s"}})]
    (is (nil? (left-out root (assoc-in (register ["t" nil nil]) [:in :run] "q") (claim "q" "c1"))))
    (testing "nothing made it: it may be in either"
      (is (some? (left-out (claim "q" "c1") (claim "r" "c2")))))
    (is (nil? (left-out (acquire "a" 1) (delete "q")
                        {:f :read-run, :in {:run "q", :stale? true}, :out {:status :active, :shards [{:shard "s"}]}})))))
