(ns gossip-rs.invariants-test
  "Each invariant: what it must accept, what it must reject, and that it says so when there was nothing to check."
  (:require [clojure.test :refer [are deftest is testing]]
            [gossip-rs.build :refer [acquire failed history lost read-run read-shard register write]]
            [gossip-rs.history :as h]
            [gossip-rs.invariants :as invariants]))

(defn- verdict
  [id & calls]
  (:valid? (get (invariants/judge (apply history calls) [id]) id)))

(deftest nothing-to-check-is-unknown
  (doseq [[id result] (invariants/judge [])]
    (is (= :unknown (:valid? result)) id)
    (is (= 0 (:checks result)) id)))

(deftest false-beats-unknown-beats-true
  (are [expected verdicts] (= expected (invariants/merge-verdicts verdicts))
    true     [true true]
    :unknown [true :unknown]
    false    [true :unknown false]
    :unknown [])
  (let [judgement {:S1 {:valid? true}, :S2 {:valid? :unknown}}]
    (is (true? (invariants/valid? judgement [:S1])))
    (is (= :unknown (invariants/valid? judgement [:S1 :S2])))))

(deftest s1-leases-as-granted
  (are [expected calls] (= expected (apply verdict :S1 calls))
    ; a grant exactly at the deadline
    true  [(acquire "a" 1 0 1000) (acquire "b" 2 1000 2000)]
    false [(acquire "a" 1 0 1000) (acquire "b" 2 999 2000)]
    ; given up before the grant was answered
    true  [(acquire "a" 1 0 1000) (write :release "a" 1) (acquire "b" 2 500 1500)]
    true  [(acquire "a" 1 0 1000) (lost (write :release "a" 1)) (acquire "b" 2 500 1500)]
    false [(acquire "a" 1 0 1000) (failed (write :release "a" 1) :lease-expired) (acquire "b" 2 500 1500)]
    ; moved by a renewal
    false [(acquire "a" 1 0 1000)
           (assoc (write :renew "a" 1) :out {:granted 900, :deadline 1900})
           (acquire "b" 2 1000 2000)]
    ; the lease two before reaches furthest
    false [(acquire "a" 1 0 9000) (acquire "b" 2 10000 11000) (acquire "c" 3 8000 8500)]
    ; a lease that had run out is renewed
    false [(acquire "a" 1 0 1000) (assoc (write :renew "a" 1) :out {:granted 1000, :deadline 2000})]))

(defn- believe
  [call until]
  (assoc-in call [:out :believed-until] until))

(def ^:private mad-clocks
  {:process :nemesis, :type :info, :f :skew, :value {"n1" {:wall-ms 0, :rate-ppm 1200000}}})

(deftest s1-leases-as-believed
  (let [a (acquire "a" 1 0 1000)
        b (acquire "b" 2 1000 2000)]
    ; a's answer comes at 1 ms, b's at 3 ms
    (is (true? (verdict :S1 (believe a 2000000) (believe b 9000000))))
    (is (false? (verdict :S1 (believe a 3500000) (believe b 9000000))))
    (testing "who gives up stops believing when it says so"
      (is (true? (verdict :S1 (believe a 9000000) (write :release "a" 1) (believe b 9900000)))))
    (testing "beyond the drift margin beliefs may overlap"
      (is (true? (verdict :S1 mad-clocks (believe a 9000000) (believe b 9900000)))))))

(deftest s1-sections
  (let [section (fn [worker fence entered left]
                  {:f :section, :in {:shard "s", :worker worker, :fence fence}, :out {:entered entered, :left left}})
        leases  [(acquire "a" 1 0 1000) (acquire "b" 2 1000 2000)]]
    (is (true? (apply verdict :S1 (concat leases [(section "a" 1 10 20) (section "b" 2 20 30)]))))
    (is (false? (apply verdict :S1 (concat leases [(section "a" 1 10 21) (section "b" 2 20 30)]))))
    (testing "beyond the drift margin sections may overlap"
      (is (true? (apply verdict :S1 mad-clocks (concat leases [(section "a" 1 10 21) (section "b" 2 20 30)])))))
    (is (true? (apply verdict :S1 (concat leases [(section "a" 1 10 21) (section "a" 1 20 30)]))))
    (testing "b believes from its answer at 3 ms on"
      (are [expected section] (= expected (verdict :S1 (first leases) (assoc-in (second leases) [:out :believed-until] 9000000) section))
        false (section "a" 1 2000000 3000001)
        true  (section "a" 1 2000000 3000000)
        true  (section "b" 2 4000000 9500000)
        ; one that was left late counts for as long as its holder believed
        true  (assoc-in (section "a" 1 2000000 3000001) [:out :believed-until] 2900000)
        false (assoc-in (section "a" 1 2000000 3000001) [:out :believed-until] 3000001)))))

(deftest s2-fences
  (are [expected calls] (= expected (apply verdict :S2 calls))
    true  [(acquire "a" 1) (acquire "b" 2) (write :checkpoint "b" 2 :cursor "05")]
    false [(acquire "a" 2) (acquire "b" 1)]
    false [(acquire "a" 1) (acquire "b" 2) (write :checkpoint "a" 1 :cursor "05")]
    true  [(acquire "a" 1) (acquire "b" 2) (failed (write :checkpoint "a" 1 :cursor "05") :fence-mismatch)]
    ; two operations, one fence, in whatever order
    false [[(acquire "a" 1) (assoc-in (acquire "b" 1) [:in :op-id] "other")]]
    ; concurrent grants may be answered in any order
    true  [[(acquire "a" 2) (acquire "b" 1)] (write :checkpoint "a" 2 :cursor "05")]
    ; unpark raises the fence and says so
    false [(acquire "a" 1) (write :park "a" 1) {:f :unpark, :in {:shard "s", :op-id "u"}, :out {:fence 1}}]
    false [(acquire "a" 1) {:f :unpark, :in {:shard "s", :op-id "u"}, :out {:fence 2}} (acquire "b" 2)]
    ; the answer of a write that took effect before the grant, replayed after it
    true  [(acquire "a" 1) (lost (write :checkpoint "a" 1 :cursor "05")) (acquire "b" 2)
           (assoc (write :checkpoint "a" 1 :cursor "05") :process 1)]
    ; but not when every earlier try was refused
    false [(acquire "a" 1) (failed (write :checkpoint "a" 1 :cursor "05") :overloaded) (acquire "b" 2)
           (write :checkpoint "a" 1 :cursor "05")]))

(defn- checks
  [id & calls]
  (:checks (get (invariants/judge (apply history calls) [id]) id)))

(deftest only-what-was-compared-counts-as-a-check
  (testing "S2: there must be a fence that was known before"
    (is (= 0 (checks :S2 (acquire "a" 1))))
    (is (= 0 (checks :S2 (write :checkpoint "a" 1 :cursor "05"))))
    (is (= 1 (checks :S2 (acquire "a" 1) (write :checkpoint "a" 1 :cursor "05"))))
    (is (= 0 (checks :S2 [(acquire "a" 1) (acquire "b" 2)]))))
  (testing "S5: two answers"
    (is (= 0 (checks :S5 (acquire "a" 1) (failed (acquire "a" 1) :overloaded))))
    (is (= 1 (checks :S5 (acquire "a" 1) (acquire "a" 1)))))
  (testing "S7: a cursor that was known before, or the range"
    (is (= 0 (checks :S7 (write :checkpoint "a" 1 :cursor "05"))))
    (is (= 1 (checks :S7 (write :checkpoint "a" 1 :cursor "05") (write :checkpoint "a" 1 :cursor "06"))))
    (is (= 1 (checks :S7 (register ["s" nil nil]) (write :checkpoint "a" 1 :cursor "05"))))))

(deftest s3-ends
  (are [expected calls] (= expected (apply verdict :S3 calls))
    true  [(acquire "a" 1) (write :complete "a" 1) (read-shard {:status :done})]
    false [(acquire "a" 1) (write :complete "a" 1) (acquire "b" 2)]
    false [(acquire "a" 1) (write :complete "a" 1) (read-shard {:status :active})]
    true  [(acquire "a" 1) (write :complete "a" 1) (read-shard {:status :active} :stale true) (read-shard {:status :done})]
    false [(acquire "a" 1) (write :complete "a" 1) (write :split-replace "a" 1)]
    false [(acquire "a" 1) [(write :complete "a" 1) (write :split-replace "a" 1)]]
    ; asking again for the same answer is not a second end
    true  [(acquire "a" 1) (write :complete "a" 1) (write :complete "a" 1) (read-shard {:status :done})]
    ; the end of the run ends its shards
    false [(register ["s" nil nil]) {:f :cancel-run, :in {:run "r", :op-id "c"}} (acquire "a" 1)]
    false [(register ["s" nil nil]) {:f :complete-run, :in {:run "r", :op-id "c"}} (register ["t" nil nil])]
    false [(register ["s" nil nil]) {:f :complete-run, :in {:run "r", :op-id "c"}} {:f :fail-run, :in {:run "r", :op-id "d"}}]
    ; whose completion may still be under way
    true  [(acquire "a" 1) (lost (write :complete "a" 1)) (assoc (acquire "b" 2) :process 1)
           (assoc (write :complete "b" 2) :process 1) (assoc (read-shard {:status :done}) :process 1)]))

(defn- split-replace
  [& children]
  {:f :split-replace, :in {:shard "s", :worker "a", :fence 1, :op-id "x"}
   :out {:children (mapv (fn [[shard start end]] {:shard shard, :start start, :end end}) children)}})

(defn- residual
  [at end]
  {:f :split-residual, :in {:shard "s", :worker "a", :fence 1, :op-id "y", :at at}
   :out {:residual {:shard "s~1", :start at, :end end}}})

(deftest s4-splits
  (are [expected root calls] (= expected (apply verdict :S4 (register (into ["s"] root)) (acquire "a" 1) calls))
    true  ["10" "40"] [(split-replace ["a" "10" "20"] ["b" "20" "40"])]
    false ["10" "40"] [(split-replace ["a" "10" "20"] ["b" "21" "40"])]
    false ["10" "40"] [(split-replace ["a" "10" "20"] ["b" "19" "40"])]
    false ["10" "40"] [(split-replace ["a" "11" "20"] ["b" "20" "40"])]
    false ["10" "40"] [(split-replace ["a" "10" "20"] ["b" "20" "3f"])]
    false ["10" "40"] [(split-replace)]
    true  [nil nil]   [(split-replace ["a" nil "20"] ["b" "20" nil])]
    false [nil nil]   [(split-replace ["a" nil "20"] ["b" "20" "ff"])]
    true  ["10" "40"] [(residual "30" "40")]
    false ["10" "40"] [(assoc-in (residual "30" "40") [:out :residual :start] "31")]
    false ["10" "40"] [(residual "30" nil)]
    ; a parent that had been cut before ends where it was cut
    true  ["10" "40"] [(residual "30" "40") (split-replace ["a" "10" "20"] ["b" "20" "30"])]))

(deftest s4-reads
  (are [expected shards] (= expected (verdict :S4 (register ["s" nil "40"] ["t" "40" nil]) (read-run shards)))
    true  [{:shard "s", :status :active, :end "40"} {:shard "t", :status :done, :start "40"}]
    false [{:shard "s", :status :active, :end "40"}]
    false [{:shard "s", :status :active, :end "40"} {:shard "t", :status :split, :start "40"}]
    false [{:shard "s", :status :active, :end "40"} {:shard "t", :status :active, :start "3f"}]
    false [{:shard "s", :status :active, :end "40"} {:shard "t", :status :active, :start "4000"}])
  (testing "children need a split that may have made them"
    (let [roots    (register ["s" nil "40"] ["t" "40" nil])
          children (assoc (read-run [{:shard "s", :status :active, :end "40"} {:shard "t", :status :split, :start "40"}
                                     {:shard "t~1", :status :active, :start "40", :end "60"}
                                     {:shard "t~2", :status :active, :start "60"}])
                          :process 1)
          split    (lost (write :split-replace "a" 1 :shard "t"))]
      (is (true? (verdict :S4 roots split children)))
      (is (false? (verdict :S4 roots children)))
      (is (false? (verdict :S4 roots children split)))))
  (testing "a registration that was never answered may or may not have happened"
    (let [maybe (lost (assoc-in (register ["t" "40" nil]) [:in :op-id] "z"))]
      (is (true? (verdict :S4 (register ["s" nil "40"]) maybe
                          (assoc (read-run [{:shard "s", :status :active, :end "40"}]) :process 1))))
      (is (true? (verdict :S4 (register ["s" nil "40"]) maybe
                          (assoc (read-run [{:shard "s", :status :active, :end "40"}
                                            {:shard "t", :status :active, :start "40"}]) :process 1)))))
    (is (false? (verdict :S4 (register ["s" nil "40"])
                         (read-run [{:shard "s", :status :active, :end "40"} {:shard "t", :status :active, :start "40"}]))))))

(deftest s5-one-answer
  (are [expected calls] (= expected (apply verdict :S5 calls))
    :unknown [(acquire "a" 1)]
    true  [(acquire "a" 1) (acquire "a" 1)]
    false [(acquire "a" 1) (assoc-in (acquire "a" 1) [:out :fence] 2)]
    false [(acquire "a" 1) (assoc-in (acquire "a" 1) [:out :deadline] 7777)]
    false [(acquire "a" 1) (assoc-in (acquire "a" 1) [:in :worker] "b")]
    false [(acquire "a" 1) (failed (acquire "a" 1) :lease-held)]
    ; another request under its op id is refused as it must be
    true  [(acquire "a" 1) (failed (assoc-in (acquire "a" 1) [:in :worker] "b") :op-id-conflict)]
    ; one answer, and nothing to compare it with
    :unknown [(acquire "a" 1) (failed (acquire "a" 1) :overloaded)]
    :unknown [(acquire "a" 1) (assoc (lost (acquire "a" 1)) :process 1)]
    ; refused, then taken: the refusal changed nothing
    true  [(failed (acquire "a" 1) :lease-held) (acquire "a" 1) (acquire "a" 1)]
    ; what a holder made of the answer is its own affair
    true  [(acquire "a" 1) (believe (acquire "a" 1) 5)]))

(deftest s5-evicted-answers-prove-nothing
  (let [others (for [i (range 64)] (write :checkpoint "a" 1 :cursor (format "%04x" i)))
        again  (failed (acquire "a" 1) :lease-held)]
    (is (= :unknown (apply verdict :S5 (concat [(acquire "a" 1)] others [again]))))
    (is (false? (apply verdict :S5 (concat [(acquire "a" 1)] (rest others) [again]))))))

(deftest s6-progress
  (are [expected calls] (= expected (apply verdict :S6 calls))
    :unknown [(read-shard {:status :active})]
    true  [(read-shard {:status :done} :final? true :node "n1")]
    false [(read-shard {:status :active, :shard "s"} :final? true :node "n1")]
    false [(read-shard {:status :done} :final? true :node "n1")
           (failed (read-shard nil :final? true :node "n2") :deadline-exceeded)]
    true  [(failed (read-shard nil :final? true :node "n1") :overloaded)
           (read-shard {:status :done} :final? true :node "n1")])
  (testing "nor is it in order that the last reads show nothing at all, or only another run"
    (let [two   (register ["s" nil "40"] ["t" "40" nil])
          other (update (read-run [] :final? true) :in assoc :node "n1" :run "q")]
      (are [expected calls] (= expected (apply verdict :S6 calls))
        false    [two other]
        false    [two (failed other :run-not-found)]
        :unknown [two (failed (update other :in dissoc :node) :read-unconfirmed)]
        true     [other two]))))

(deftest s7-cursor
  (are [expected calls] (= expected (apply verdict :S7 (register ["s" "10" "40"]) calls))
    true  [(acquire "a" 1) (write :checkpoint "a" 1 :cursor "20") (write :checkpoint "a" 1 :cursor "20")]
    false [(acquire "a" 1) (write :checkpoint "a" 1 :cursor "20") (write :checkpoint "a" 1 :cursor "1f")]
    false [(acquire "a" 1) (write :checkpoint "a" 1 :cursor "40")]
    false [(acquire "a" 1) (write :checkpoint "a" 1 :cursor "0f")]
    true  [(acquire "a" 1) (write :checkpoint "a" 1 :cursor "10")]
    ; a release that forgets the cursor
    false [(acquire "a" 1) (write :checkpoint "a" 1 :cursor "20") (acquire "b" 2)]
    true  [(acquire "a" 1) (write :checkpoint "a" 1 :cursor "20") (assoc-in (acquire "b" 2) [:out :cursor] "20")]
    false [(acquire "a" 1) (write :checkpoint "a" 1 :cursor "20") (read-shard {:cursor "1f"})]
    true  [(acquire "a" 1) (write :checkpoint "a" 1 :cursor "20") (read-shard {:cursor {:key "20", :token "ab"}})]
    ; beyond the point where a residual was split off
    false [(acquire "a" 1) (residual "30" "40") (write :checkpoint "a" 1 :cursor "30")]
    true  [(acquire "a" 1) (residual "30" "40") (write :checkpoint "a" 1 :cursor "2f")]
    ; concurrent checkpoints may be answered in any order
    true  [(acquire "a" 1) [(write :checkpoint "a" 1 :cursor "20") (write :checkpoint "a" 1 :cursor "18")]]))

(deftest s8-durability
  (are [expected calls] (= expected (apply verdict :S8 (register ["s" "10" "40"]) calls))
    true  [(acquire "a" 1) (write :checkpoint "a" 1 :cursor "20") (read-shard {:fence 1, :cursor "20"} :final? true)]
    false [(acquire "a" 3) (read-shard {:fence 2} :final? true)]
    false [(acquire "a" 1) (write :checkpoint "a" 1 :cursor "20") (read-shard {:fence 1, :cursor "1f"} :final? true)]
    false [(acquire "a" 1) (write :complete "a" 1) (read-shard {:fence 1, :status :active} :final? true)]
    false [(failed (read-shard nil :final? true) :shard-not-found)]
    false [(read-run [] :final? true)]
    false [(acquire "a" 1) (split-replace ["x" "10" "20"] ["y" "20" "40"])
           (read-run [{:shard "s", :status :split, :fence 1} {:shard "x", :status :active}] :final? true)]
    false [{:f :cancel-run, :in {:run "r", :op-id "c"}}
           (read-run [{:shard "s", :status :cancelled, :fence 1}] :final? true)]))

(deftest g1-convergence
  (let [publish {:f :publish, :in {:node "n1", :key "k", :version 2}}
        view    (fn [node view] {:f :read-view, :in {:node node, :final? true}, :out {:view view}})]
    (are [expected calls] (= expected (apply verdict :G1 calls))
      :unknown [publish]
      true  [publish (view "n1" {"n1" {"k" 2}}) (view "n2" {"n1" {"k" 2}})]
      false [publish (view "n1" {"n1" {"k" 2}}) (view "n2" {"n1" {"k" 1}})]
      ; the same everywhere, but old
      false [publish (view "n1" {"n1" {"k" 1}}) (view "n2" {"n1" {"k" 1}})]
      false [publish (view "n1" {}) (view "n2" {})]
      ; each node's last view counts
      true  [publish (view "n2" {}) (view "n1" {"n1" {"k" 3}}) (view "n2" {"n1" {"k" 3}})])))

(deftest violations-name-their-places
  (let [ops       (history (acquire "a" 1) (acquire "b" 2) (write :checkpoint "a" 1 :cursor "05"))
        violation (first (get-in (invariants/judge ops) [:S2 :violations]))]
    (is (= [3 5] (:at violation)))
    (is (= :checkpoint (:f (nth ops (last (:at violation))))))
    (is (re-find #"shard s: checkpoint of a under fence 1" (:message violation)))))

(deftest s4-roots
  (let [root (fn [shard start end] (register [shard start end]))]
    (are [expected calls] (= expected (apply verdict :S4 calls))
      false    [(root "s" "10" "30") (root "t" "20" "40")]
      false    [(register ["s" "10" nil] ["t" "10" "18"])]
      :unknown [(root "s" "10" "20") (root "t" "20" "40") (root "u" "50" nil)]
      ; another answer to the same registration, one that was refused, one of which nobody knows, and another run
      :unknown [(root "s" "10" "30") (root "s" "10" "30")]
      :unknown [(root "s" "10" "30") (failed (root "t" "20" "40") :shard-overlap)]
      :unknown [(root "s" "10" "30") (lost (root "t" "20" "40"))]
      :unknown [(root "s" "10" "30") (assoc-in (root "t" "20" "40") [:in :run] "other")])))

(deftest s8-what-was-deleted-is-not-missed
  (let [root   (register ["s" "10" "40"])
        delete (fn [run] {:f :delete-run, :in {:run run, :op-id run}})
        gone   (failed (read-shard nil :final? true) :shard-not-found)]
    (are [expected calls] (= expected (apply verdict :S8 calls))
      false    [root gone (delete "r")]
      :unknown [root (delete "r") gone]
      :unknown [root (lost (delete "r")) (assoc gone :process 1)]
      false    [root (delete "q") gone])))

(deftest s3-only-an-ended-run-is-deleted
  (let [root   (register ["s" "10" "40"])
        delete {:f :delete-run, :in {:run "r", :op-id "d"}}
        end    {:f :cancel-run, :in {:run "r", :op-id "e"}}
        by     #(assoc %1 :process %2)
        read   (read-run [{:shard "s", :status :cancelled}])]
    (are [expected calls] (= expected (apply verdict :S3 calls))
      false    [root delete]
      true     [root end delete]
      true     [root (lost end) (by delete 1)]
      false    [root (failed end :run-ended) delete]
      ; asked for when the deletion was under way, and when it was answered
      true     [root [delete end]]
      false    [root delete end]
      ; refused, or not answered
      :unknown [root (failed delete :run-not-ended)]
      :unknown [root (lost delete)]
      ; of this run nothing was known before
      :unknown [delete root]
      ; the first try is what counts
      true     [root (lost delete) (by end 1) (by delete 2)]
      ; what comes after it
      false    [root end delete (assoc-in read [:out :status] :cancelled)]
      true     [root end delete (assoc-in read [:in :stale?] true)]
      true     [root end delete (failed read :run-not-found)])))

(deftest s4-a-shard-is-where-it-was-made
  (let [root  (register ["s" nil nil])
        other (assoc-in (register ["t" nil nil]) [:in :run] "q")
        claim (fn [run shard]
                {:f :claim, :in {:run run, :worker "a", :op-id "c1"}, :out {:shard shard, :fence 1}, :process 1})
        split (lost (write :split-replace "a" 1))]
    (are [expected calls] (= expected (apply verdict :S4 calls))
      false    [root other (claim "q" "s")]
      :unknown [root other (claim "q" "t")]
      ; a lost split may have made what nothing else made
      :unknown [root split (claim "r" "x")]
      false    [root other split (claim "r" "t")]
      false    [root other split (claim "q" "x")]
      ; the parent's own split was lost, so that nobody tells its run
      true     [root split
                (assoc (write :split-replace "a" 1 :shard "k" :cuts ["10"])
                       :process 1, :out {:children [{:shard "x", :end "10"} {:shard "y", :start "10"}]})
                (claim "r" "x")]
      ; a registration that was lost is recorded all the same, and with it all that there were
      false    [(lost root) (claim "r" "x")]
      :unknown [(lost root) (claim "r" "s")]
      :unknown [(claim "r" "x")]
      ; whatever is answered to a call that names a run shows the shard there
      false    [root other (assoc-in (acquire "a" 1) [:in :run] "q")]
      :unknown [root other (assoc-in (acquire "a" 1) [:in :run] "r")])))

(deftest s4-a-name-is-given-once
  (let [root  (fn [id] (assoc-in (register ["s" nil "40"]) [:in :op-id] id))
        split (fn [& names]
                (assoc (write :split-replace "a" 1)
                       :out {:children [{:shard (first names), :end "10"} {:shard (second names), :start "10"}]}))]
    (are [expected calls] (= expected (apply verdict :S4 calls))
      :unknown [(root "1") (root "1")]
      :unknown [(root "1") (lost (root "2"))]
      false    [(root "1") (root "2")]
      false    [(split "k" "k")]
      false    [(split "k" "s")]
      false    [(register ["s" "40" "40"])])))

(deftest s5-an-op-id-counts-within-its-run
  (let [roots [(register ["s" nil nil]) (assoc-in (register ["t" nil nil]) [:in :run] "q")]
        of-t  (assoc-in (acquire "a" 1) [:in :shard] "t")
        end   (fn [f run id] {:f f, :in {:run run, :op-id id}})]
    (are [expected calls] (= expected (apply verdict :S5 (concat roots calls)))
      :unknown [(acquire "a" 1) of-t]
      :unknown [(end :cancel-run "r" "x") (end :cancel-run "q" "x")]
      false    [(acquire "a" 1) of-t (assoc-in (acquire "a" 1) [:out :fence] 2)]
      true     [(acquire "a" 1) of-t (acquire "a" 1)]
      ; that of a deletion counts within the tenant
      false    [(end :cancel-run "r" "x") (end :cancel-run "q" "x") (end :delete-run "r" "d") (end :delete-run "q" "d")])))

(deftest s6-that-nothing-is-there-is-an-answer
  (let [read #(failed (assoc-in (read-run [] :final? true) [:in :node] "n1") %)]
    (are [expected reason] (= expected (verdict :S6 (read reason)))
      true  :run-not-found
      false :read-unconfirmed)
    (testing "and wrong if nobody deleted it, which is S8's to say"
      (is (true? (verdict :S6 (register ["s" nil nil]) (read :run-not-found))))
      (is (false? (verdict :S8 (register ["s" nil nil]) (read :run-not-found))))
      (is (= :unknown (verdict :S8 (register ["s" nil nil]) {:f :delete-run, :in {:run "r", :op-id "d"}} (read :run-not-found)))))))

(deftest s5-an-answer-is-to-what-was-asked
  (are [expected calls] (= expected (apply verdict :S5 calls))
    :unknown [(register ["s" "10" "40"]) (acquire "a" 1)]
    false    [(assoc-in (acquire "a" 1) [:out :worker] "b")]
    false    [(assoc-in (acquire "a" 1) [:out :shard] "t")]
    false    [(assoc (write :checkpoint "a" 1 :cursor "20") :out {:fence 2})]
    false    [(assoc (register ["s" nil nil]) :out {:shards [{:shard "s", :start nil, :end "40"}]})]
    ; an unpark makes a fence of its own
    :unknown [{:f :unpark, :in {:shard "s", :op-id "u"}, :out {:fence 2}}]))

(deftest s7-a-leftmost-child-has-no-cursor-that-nobody-wrote
  (let [root  (register ["s" "10" "40"])
        split (assoc (write :split-replace "a" 1)
                     :out {:children [{:shard "k", :start "10", :end "20"} {:shard "l", :start "20", :end "40"}]})
        child (fn [cursor] (-> (acquire "b" 1) (assoc-in [:in :shard] "k") (assoc-in [:out :cursor] cursor) (assoc :process 1)))
        done  (write :checkpoint "a" 1 :cursor "14")]
    (are [expected calls] (= expected (apply verdict :S7 calls))
      false [root split (child "15")]
      false [root done split (child "15")]
      true  [root done split (child "14")]
      true  [root (lost done) (assoc split :process 1) (child "14")]
      ; refused, or asked for too late
      false [root (failed done :lease-expired) split (child "14")]
      false [root split (child "14") (assoc-in done [:in :shard] "k")]
      ; of the parent nothing is known
      true  [split (child "15")])))

(deftest s1-what-the-lease-clock-tells
  (let [of-t  #(-> % (assoc-in [:in :shard] "t") (update-in [:in :op-id] str "t"))
        renew (fn [granted deadline] (assoc (write :renew "a" 1) :out {:granted granted, :deadline deadline}))
        other #(assoc-in % [:in :op-id] "other")]
    (are [expected calls] (= expected (apply verdict :S1 calls))
      false    [(acquire "a" 1 5000 6000) (of-t (acquire "a" 1 4999 6000))]
      :unknown [(acquire "a" 1 5000 6000) (of-t (acquire "a" 1 5000 6000))]
      ; they were under way at one time; or the second is the first's answer once more
      :unknown [[(acquire "a" 1 5000 6000) (of-t (acquire "a" 1 4000 6000))]]
      :unknown [(acquire "a" 1 1000 2000) (of-t (acquire "a" 2 1500 2500)) (acquire "a" 1 1000 2000)]
      false    [(acquire "a" 1 1000 1000)]
      :unknown [(acquire "a" 1 1000 1001)]
      false    [(acquire "a" 1 1000 3000) (renew 1100 2999)]
      true     [(acquire "a" 1 1000 3000) (renew 1100 3000)]
      false    [(acquire "a" 1 1000 3000) (renew 1100 4000) (other (renew 1200 3999))]
      ; answered in another order than they took effect in
      true     [(acquire "a" 1 1000 3000) [(renew 1200 4000) (other (renew 1100 3500))]])))

(deftest s3-the-status-of-a-run
  (let [root (register ["s" "10" "40"])
        end  (fn [f] {:f f, :in {:run "r", :op-id "e"}})
        lost-end #(assoc (lost (end %)) :process 5)
        named #(assoc-in %2 [:in :op-id] %1)
        late (assoc (named "q" (register ["t" nil "10"])) :process 7)
        read (fn [run shard] (assoc (assoc-in (read-run [{:shard "s", :status shard}]) [:out :status] run) :process 9))]
    (are [expected calls] (= expected (apply verdict :S3 calls))
      ; a read that shows a run ended is an end
      false [root (lost-end :complete-run) (read :done :done) (read :active :done)]
      false [root (lost-end :complete-run) (read :done :done) (read :cancelled :done)]
      false [root (lost-end :cancel-run) (read :cancelled :cancelled) (register ["t" nil nil])]
      false [root (lost-end :cancel-run) (read :cancelled :cancelled) (acquire "a" 1)]
      true  [root (lost-end :cancel-run) (read :cancelled :cancelled) (end :cancel-run)]
      true  [root (lost-end :cancel-run) (read :cancelled :cancelled) (assoc-in (read :active :active) [:in :stale?] true)]
      ; it ends by what was asked for
      false [root (read :failed :done)]
      false [root (failed (end :fail-run) :run-ended) (read :failed :done)]
      false [root (lost-end :complete-run) (read :failed :done)]
      true  [root [(lost-end :fail-run) (read :failed :done)]]
      true  [(read :failed :done)]
      ; its shards have ended
      false [root (lost-end :cancel-run) (read :cancelled :active)]
      false [root (lost-end :complete-run) (read :done :parked)]
      false [root (lost-end :complete-run) (read :done :cancelled)]
      true  [root (lost-end :complete-run) (read :done :split)]
      ; once started it is never open again
      false    [root (acquire "a" 1) (read :open :active)]
      false    [root (read :active :active) (read :open :active)]
      :unknown [root (read :open :active)]
      ; and its shards are registered before
      false    [root (acquire "a" 1) late]
      false    [root (read :active :active) late late]
      true     [root (lost late) (acquire "a" 1) (assoc late :process 8)]
      true     [root [(acquire "a" 1) late]]
      true     [root (acquire "a" 1) (assoc root :process 7)]
      true     [root (acquire "a" 1) (assoc (named "q" root) :process 7)]
      false    [(named "p" root) (acquire "a" 1) (assoc (named "q" root) :process 7)]
      :unknown [root late])))
