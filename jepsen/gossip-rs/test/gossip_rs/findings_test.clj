(ns gossip-rs.findings-test
  (:require [clojure.string :as str]
            [clojure.test :refer [deftest is testing]]
            [gossip-rs.findings :as findings]))

(def ^:private clean
  {:linearizable {:valid? true, :shards 4, :checked 3, :skipped ["t"], :unknown {}, :operations 90, :longest 40}
   :elle         {:valid? true, :transactions 12, :foreign []}
   :coverage     {:faults {:pause 2}, :takeovers 5, :missing []}
   :healing      {:valid? true, :steps []}
   :nodes        {:valid? true, :watched? true, :deaths [], :lines [], :no-log []}
   :rust         {:valid? true}
   :invariants   {:required [:S1], :judgement {:S1 {:valid? true}}}})

(defn- found [results] (map (juxt :id :message) (findings/beside-invariants (merge clean results))))

(deftest a-clean-run-finds-nothing
  (is (empty? (found {})))
  (is (= ["faults that took hold: {:pause 2}, leases that ran out under their holder: 5"
          "Knossos: 3 of 4 shards checked, 0 given up, 1 skipped (only their making is known); 90 operations, at most 40 a shard (one counts for each shard that it tells of, or may have changed)"
          "Elle: true, 12 transactions (one for each checkpoint, and one for each shard's list that an answer showed)"
          "Rust judge: agrees"]
         (findings/notes clean))))

(deftest every-checker-that-fails-says-what-it-found
  (doseq [[id results] {"L"      {:linearizable (assoc (:linearizable clean) :anomalies {"s" {:op {:f :acquire}, :at 7}})}
                        "Elle"   {:elle {:valid? false, :anomaly-types [:G1a], :at [1 2]}}
                        "node"   {:nodes {:deaths [{:node "n1", :time 5, :last-line "panicked"}]}}
                        "G1"     {:views {:faults ["n1 sees n2 as nobody"]}}
                        "S6"     {:healing {:valid? false, :error [:not-serving "n2 does not serve"]}}
                        "judges" {:rust {:valid? false, :different [{:what :S2, :clojure true, :rust false}]}}}]
    (is (= [id] (map first (found results))))))

(deftest a-claim-that-two-shards-need-is-named
  (is (= [["L" "shard t: no order of its calls explains the checkpoint that ends at index 7 but the lost claim c1, which shard s needs"]]
         (found {:linearizable (assoc (:linearizable clean) :anomalies
                                      {"t" {:op {:f :checkpoint}, :at 7, :claim "c1", :beside "s"}})}))))

(deftest what-makes-a-run-unknown-is-named
  (doseq [[text results] {"coverage: no fault took hold"           {:coverage {:missing ["no fault took hold"]}}
                          "coverage: S1 is required"               {:invariants {:required [:S1], :judgement {:S1 {:valid? :unknown}}}}
                          "Knossos gave up on s (:time-limit)"     {:linearizable (assoc (:linearizable clean) :unknown {"s" {:cause :time-limit}})}
                          "healing: [:heal-failed"                 {:healing {:valid? :unknown, :error [:heal-failed "ssh"]}}
                          "nemesis: kill was not done"             {:healing {:valid? true, :steps [{:f :kill, :error [:failed "ssh"]}]}}
                          "final reads: no read-run of main from n2" {:final-reads {:missing [[:read-run "main" "n2"]]}}
                          "answers: 3 with the reason :moon"       {:answers {:unknown-reasons {:moon 3}}}
                          "answers: 1 operations ended in NPE"     {:answers {:exceptions {"NPE" 1}}}
                          "nodes: no log of n3"                    {:nodes {:no-log ["n3"]}}
                          "nodes: nobody watched"                  {:nodes {:watched? false}}
                          "Rust judge: not built"                  {:rust {:valid? :unknown, :gaps ["not built"]}}
                          "checker perf failed: boom"              {:perf {:valid? :unknown, :error {:cause "boom"}}}}]
    (testing text
      (is (some #(str/starts-with? % text) (findings/notes (merge clean results)))))))

(deftest what-was-left-out-is-noted
  (is (some #{"left out: run r: why"}
            (findings/notes (assoc-in clean [:invariants :judgement :N] {:valid? :unknown, :left-out ["run r: why"]})))))
