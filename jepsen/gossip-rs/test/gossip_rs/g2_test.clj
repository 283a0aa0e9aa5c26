(ns gossip-rs.g2-test
  "G2 at its edges. What it accepts and rejects as a whole stands in `histories/`."
  (:require [clojure.test :refer [deftest is testing]]
            [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts]
            [gossip-rs.invariants.g2 :as g2]))

(defn- ns-at
  [seconds]
  (long (* seconds 1e9)))

(defn- call
  [process f in out at]
  [{:process process, :type :invoke, :f f, :value in, :time (ns-at at)}
   {:process process, :type :ok, :f f, :value (merge in out), :time (ns-at (+ at 0.01))}])

(defn- publish
  "As a node that is asked how it stands answers: the version is in the answer alone."
  [version at]
  (call 0 :publish {:node "n1"} {:key "applied", :version version} at))

(defn- view
  [reader version at]
  (call 1 :read-view {:node reader} {:view {"n1" {"applied" {:value (str version), :version version}}}} at))

(defn- nemesis
  [f value at]
  [{:process :nemesis, :type :info, :f f, :value value, :time (ns-at at)}])

(defn- cut
  [& links]
  {:cut (vec links)})

(defn- judge
  [& parts]
  (update (g2/check (facts/facts (h/index (apply concat parts)))) :violations (partial mapv :message)))

(defn- violations
  [& parts]
  (:violations (apply judge parts)))

(deftest nothing-published-or-nobody-in-reach-is-nothing-checked
  (is (= {:checks 0, :violations []} (judge (view "n2" 3 1.0))))
  (is (= {:checks 1, :violations []} (judge (publish 7 1.0) (view "n2" 7 1.5))))
  (is (= 0 (:checks (judge (nemesis :start-partition (cut ["n1" "n2"]) 0.5) (publish 7 1.0) (view "n2" 3 1.5))))))

(deftest a-fact-has-the-bound-to-arrive
  (is (empty? (violations (publish 7 1.0) (view "n2" 3 4.9))))
  (is (= ["node n2 has not seen applied of n1 at version 7 for 4.1 s (bound 4.0 s)"]
         (violations (publish 7 1.0) (view "n2" 3 4.9) (view "n2" 3 5.15))))
  (is (empty? (violations (publish 7 1.0) (view "n2" 9 20.0))) "a newer one will do"))

(deftest no-fact-passes-a-cut-but-by-way-of-a-third-node
  (let [third  (view "n3" 7 1.5)
        apart  [(nemesis :start-partition (cut ["n1" "n2"] ["n1" "n3"]) 0.5) (publish 7 1.0) third (view "n2" 3 20.0)]
        bridge [(nemesis :start-partition (cut ["n1" "n2"] ["n2" "n1"]) 0.5) (publish 7 1.0) third (view "n2" 3 20.0)]
        healed (conj apart (nemesis :stop-partition nil 20.5))]
    (is (empty? (apply violations apart)) "nobody hears n1")
    (is (= 1 (count (apply violations bridge))) "n3 hears both")
    (is (empty? (apply violations (conj healed (view "n2" 3 28.0)))))
    (is (= 1 (count (apply violations (conj healed (view "n2" 3 29.0))))) "it heals, and still nothing comes")))

(deftest what-is-given-back-counts-from-when-it-was-done
  (let [healing [(publish 7 1.0) (nemesis :kill ["n2"] 1.1) (nemesis :start nil 9.0) (nemesis :start ["n2"] 12.0)]]
    (is (empty? (apply violations (conj healing (view "n2" 3 19.5)))))
    (is (= 1 (count (apply violations (conj healing (view "n2" 3 20.5))))))))

(deftest what-was-not-mended-owes-no-fact
  (let [apart  [(nemesis :start-partition (cut ["n1" "n2"]) 0.5) (publish 7 1.0)]
        failed (fn [f value reason]
                 [(nemesis f nil 2.0) [(assoc (first (nemesis f value 3.0)) :error [reason "ssh"])]])
        late   [(view "n2" 3 20.0)]
        count  (fn [f value reason] (count (apply violations (concat apart (failed f value reason) late))))]
    (is (= 0 (count :stop-partition nil :failed)))
    (is (= 1 (count :stop-partition nil :no-effect)) "its filters are gone")
    (is (= 0 (count :heal nil :heal-failed)))
    (is (= 0 (count :heal {:unmended ["n2"]} :heal-failed)))
    (is (= 1 (count :heal {:unmended []} :heal-failed)))
    (is (= 1 (count :heal nil :not-serving)))))

(deftest keywords-are-names-as-strings-are
  (let [local [{:process 1, :type :invoke, :f :read-view, :value {:node "n2"}, :time (ns-at 6.0)}
               {:process 1, :type :ok, :f :read-view, :time (ns-at 6.1)
                :value {:node "n2", :view {"n1" {:applied {:value "7", :version 7}}}}}]]
    (is (= {:checks 1, :violations []} (judge (publish 7 1.0) local)))
    (is (= 1 (count (violations (publish 8 1.0) local))))))

(deftest a-clock-that-jumps-cuts-nobody-off
  (is (= 1 (count (violations (publish 7 1.0) (nemesis :reset-clock nil 4.0) (view "n2" 3 5.5))))))

(deftest a-view-never-goes-back-unless-a-node-began-a-new-life
  (let [first-view [(publish 7 1.0) (view "n2" 7 2.0)]]
    (is (= ["node n2 saw applied of n1 at version 7, then at 6"]
           (apply violations (conj first-view (view "n2" 6 2.5)))))
    (is (empty? (apply violations (conj first-view (nemesis :kill ["n1"] 2.2) (view "n2" 6 2.5)))))
    (testing "another node's view"
      (is (empty? (apply violations (conj first-view (view "n3" 6 2.5))))))))
