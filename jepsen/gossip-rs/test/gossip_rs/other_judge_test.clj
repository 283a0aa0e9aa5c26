(ns gossip-rs.other-judge-test
  (:require [clojure.test :refer [are deftest is testing]]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.other-judge :as other-judge]))

(def ^:private all-true
  (zipmap invariants/ids (repeat {:valid? true})))

(defn- report
  "A report of the Rust judge, with these words in place of PASS."
  [linearizable words]
  (apply str "JEPSEN REPORT\nLinearizability:\n  Valid history: " linearizable "     Checker: wgl     Anomalies: 0\n"
         (for [id invariants/ids]
           (format "│ %-29s│ %-7s│%7d │\n" (str (invariants/title id) " (" (name id) ")") (get words id "PASS") 3))))

(defn- agreement
  [ours theirs]
  (other-judge/agreement (merge {:judgement all-true, :linearizable true, :required [:S1]} ours)
                         (merge {:exit 0, :out (report "yes" {})} theirs)))

(deftest the-report-is-read-row-by-row
  (let [{:keys [rows linearizable]} (other-judge/parse (report "no" {:S2 "FAIL", :G1 "-", :S3 "UNKN"}))]
    (is (false? linearizable))
    (is (= (set invariants/ids) (set (keys rows))))
    (is (= {:S1 true, :S2 false, :S3 :unknown, :G1 :unknown} (select-keys rows [:S1 :S2 :S3 :G1])))))

(deftest judges-that-say-the-same-agree
  (is (= {:valid? true, :compared (count invariants/ids), :different [], :gaps []} (agreement {} {})))
  (is (true? (:valid? (agreement {:judgement (assoc all-true :S2 {:valid? false})}
                                 {:exit 1, :out (report "yes" {:S2 "FAIL"})}))))
  (is (true? (:valid? (agreement {:linearizable false} {:exit 1, :out (report "no" {})})))))

(deftest a-contradiction-fails-the-run
  (are [what ours theirs] (let [{:keys [valid? different]} (agreement ours theirs)]
                            (and (false? valid?) (contains? (set (map :what different)) what)))
    ; the same invariant
    :S2   {} {:exit 1, :out (report "yes" {:S2 "FAIL"})}
    :S2   {:judgement (assoc all-true :S2 {:valid? false})} {}
    ; a violation that the other one had nothing to check for
    :S2   {:judgement (assoc all-true :S2 {:valid? false})} {:exit 2, :out (report "yes" {:S2 "-"})}
    ; linearizability, which stands in no row
    :L    {} {:exit 1, :out (report "no" {})}
    :L    {:linearizable false} {}
    ; it fails for something that it does not name
    :exit {} {:exit 1}))

(deftest what-was-not-compared-is-unknown
  (are [ours theirs] (= :unknown (:valid? (agreement ours theirs)))
    {} {:absent "not built"}
    {} {:exit 255, :err "panicked"}
    {} {:exit 254, :out ""}
    {} {:out (report "perhaps" {})}
    ; a row is missing; one is new
    {} {:out (subs (report "yes" {}) 0 500)}
    {} {:out (str (report "yes" {}) "│ Exactly once (S9) │ PASS │ 3 │\n")}
    ; required, and only one of the two had something to check
    {} {:out (report "yes" {:S1 "-"})})
  (testing "a row of the other judge's alone that had nothing to check is no gap"
    (is (true? (:valid? (agreement {:judgement (dissoc all-true :G2)} {:out (report "yes" {:G2 "-"})})))))
  (testing "what nobody requires may be checked by one judge alone"
    (is (true? (:valid? (agreement {} {:out (report "yes" {:G1 "-"})})))))
  (testing "a search that gave up contradicts nothing"
    (is (true? (:valid? (agreement {:linearizable false} {:exit 2, :out (report "unknown" {})}))))))

(deftest names-that-one-judge-alone-could-not-tell-apart-are-a-gap
  (let [unclear {:judgement (assoc all-true :N {:valid? :unknown})}
        row     (str (report "yes" {}) "│ Names told apart (N)         │ UNKN   │      0 │\n")]
    (is (= [] (:gaps (agreement unclear {:exit 2, :out row}))))
    (is (= ["N was judged by one of us alone"] (:gaps (agreement unclear {}))))
    (is (= ["N was judged by one of us alone"] (:gaps (agreement {} {:exit 2, :out row}))))))
