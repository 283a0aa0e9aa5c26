(ns gossip-rs.checker-test
  (:require [clojure.edn :as edn]
            [clojure.java.io :as io]
            [clojure.test :refer [deftest is testing]]
            [gossip-rs.build :as b]
            [gossip-rs.checker :as all]
            [gossip-rs.checker.elle :as elle]
            [gossip-rs.checker.knossos :as knossos]
            [gossip-rs.checker.nodes :as nodes]
            [gossip-rs.history :as h]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.plots :as plots]
            [gossip-rs.report :as report]
            [gossip-rs.workload :as workload]
            [jepsen.checker :as checker]
            [jepsen.checker.perf :as perf]
            [jepsen.history :as history]
            [jepsen.store :as store])
  (:import (java.nio.file Files)
           (java.nio.file.attribute FileAttribute)))

(def ^:private limit-ms 10000)

(deftest knossos-agrees-with-the-table-on-every-history
  ; No file is left out: what the Rust judge says of the order of calls, Knossos must say as well.
  (let [folder   (io/file "../../histories")
        expected (edn/read-string (slurp (io/file folder "expected.edn")))]
    (is (< 100 (count expected)))
    (doseq [[file {:keys [violated]}] (sort-by key expected)]
      (testing file
        (let [{:keys [valid? unknown] :as result} (knossos/check-ops (h/read-history (io/file folder file)) limit-ms)]
          (is (= (contains? violated :L) (false? valid?)) (pr-str (:anomalies result)))
          (is (empty? unknown)))))))

(deftest knossos-sees-what-cannot-be
  (doseq [[what ops] {"two grants of one fence" [(b/acquire "v" 1) (assoc-in (b/acquire "w" 1) [:in :op-id] "other")]
                      "a stale fence accepted"  [(b/acquire "v" 1) (b/acquire "w" 2) (b/write :checkpoint "v" 1 :cursor "0a")]
                      "a lost cursor"           [(b/acquire "v" 1) (b/write :checkpoint "v" 1 :cursor "0a")
                                                 (b/read-shard {:status :active, :fence 1, :cursor nil})]}]
    (testing what
      (is (false? (:valid? (knossos/check-ops (apply b/history (b/register ["s" nil nil]) ops) limit-ms)))))))

(deftest what-there-was-no-time-for-is-unknown
  (let [ops (b/history (b/register ["s" nil nil]) (b/acquire "v" 1))]
    (is (= [:unknown :time-limit-for-all] ((juxt :valid? (comp :cause #(get % "s") :unknown)) (knossos/check-ops ops 0))))))

(deftest a-lost-claim-may-explain-a-gap
  (let [claim {:f :claim, :in {:run "r", :worker "u", :op-id "c"}, :type :info, :error [:transport ""]}
        grant (fn [n] (assoc-in (b/acquire "w" n) [:out :cursor] nil))]
    (is (true? (:valid? (knossos/check-ops (b/history (b/register ["s" nil nil]) [claim] (assoc (grant 2) :process 5)) limit-ms))))
    (is (false? (:valid? (knossos/check-ops (b/history (b/register ["s" nil nil]) [claim] (assoc (grant 3) :process 5)) limit-ms))))))

(defn- checkpoint
  [ids]
  (b/write :checkpoint "v" 1 :cursor (format "%02x" (count ids)) :ids ids))

(deftest elle-sees-lost-and-reordered-checkpoints
  (let [check (fn [& calls] (:valid? (elle/check-ops (apply b/history (b/register ["s" nil nil]) calls) nil)))
        read  (fn [ids] (b/read-shard {:status :active, :fence 1, :ids ids}))]
    (is (true? (check (checkpoint [1]) (checkpoint [1 2]) (read [1 2]))))
    (is (true? (check (checkpoint [1]) (b/lost (checkpoint [1 2])) (read [1 2]))) "a lost one that did happen")
    (is (false? (check (checkpoint [1]) (checkpoint [1 2]) (read [1]))) "stale")
    (is (false? (check (checkpoint [1]) (checkpoint [1 2]) (read [1 2]) (read [2 1]))) "reordered")
    (is (false? (check (checkpoint [1]) (b/failed (checkpoint [1 2]) :fence-mismatch) (read [1 2]))) "refused, yet there")
    (is (= :unknown (check (read []))) "nothing to check")))

;; Everything around them

(def ^:private ^:dynamic *store* nil)

(defn- path
  [_ & parts]
  (apply io/file *store* (remove nil? parts)))

(defn- path!
  [& args]
  (doto (apply path args) io/make-parents))

(defmacro ^:private in-a-store
  "Runs body in a run's folder of its own."
  [& body]
  `(binding [*store* (.toFile (Files/createTempDirectory "gossip-store" (make-array FileAttribute 0)))]
     (try (with-redefs [store/path path, store/path! path!] ~@body)
          (finally (run! #(.delete %) (reverse (file-seq *store*)))))))

(def ^:private nodes-test {:nodes ["n1" "n2"]})

(defn- log!
  [node text]
  (spit (path! nodes-test node "gossip-worker.log") text))

(defn- check-nodes [] (checker/check (nodes/->Checker) nodes-test nil nil))

(deftest every-node-must-have-been-watched-and-have-a-log
  (in-a-store
    (log! "n1" "fine")
    (log! "n2" "fine")
    (is (= :unknown (:valid? (check-nodes))) "nobody watched")
    (nodes/watch! nodes-test)
    (is (true? (:valid? (check-nodes))))
    (.delete (path nodes-test "n2" "gossip-worker.log"))
    (is (= {:valid? :unknown, :no-log ["n2"]} (select-keys (check-nodes) [:valid? :no-log])) "one log of two")
    (nodes/note-death! nodes-test {:node "n2", :time 5, :last-line "panicked at \"x\""})
    (nodes/note-death! nodes-test {:node "n1", :time nil, :last-line ""})
    (nodes/watch! nodes-test)
    (is (= {:valid? false, :deaths [["n2" 5] ["n1" nil]]}
           (update (select-keys (check-nodes) [:valid? :deaths]) :deaths (partial map (juxt :node :time))))
        "a death beats a missing log, and whoever judges later knows of it")))

(deftest what-no-node-may-log-fails-the-run
  (doseq [line ["thread 'main' panicked at src/x.rs" "{\"level\":\"ERROR\"}" "stack backtrace:"
                "{\"level\":\"WARN\",\"message\":\"clock control file ignored\"}"]]
    (in-a-store
      (nodes/watch! nodes-test)
      (log! "n1" "fine")
      (log! "n2" (str "fine\n" line "\n"))
      (is (= {:valid? false, :lines [["n2" line]]} (select-keys (check-nodes) [:valid? :lines])))))
  (testing "what only resembles it does not"
    (doseq [line ["" "{\"level\":\"INFO\",\"message\":\"no ERROR\"}" "panicked" "\"level\"=\"ERROR\""]]
      (is (not (re-find nodes/bad-line line)) line))))

(deftest a-rust-judge-that-is-not-there-is-no-pass
  (in-a-store
    (is (:absent (all/ask-rust {:repo "/nowhere"})))
    (let [results {:invariants {:judgement {}, :required []}, :linearizable {:valid? true}}]
      (is (= :unknown (:valid? (:rust (all/compare-judges (assoc results :rust {:answer (all/ask-rust {:repo "/nowhere"})}))))))
      (is (= :unknown (:valid? (:rust (all/compare-judges (assoc results :rust {:error "crashed"})))))))))

(defn- verdict
  "Of everything, from parts that say so."
  [parts]
  (in-a-store
    (let [part (fn [result] (reify checker/Checker (check [_ _ _ _] (if (fn? result) (result) result))))]
      (binding [*out* (java.io.StringWriter.)]
        (checker/check (all/->Everything (update-vals parts part)) {:workload "lease-exclusivity", :schedule [], :nodes ["n1"]} [] {})))))

(def ^:private passing
  (let [judgement (zipmap invariants/ids (repeat {:valid? true, :checks 1, :violations []}))]
    {:invariants   {:valid? true, :required [], :judgement judgement}
     :linearizable {:valid? true}
     :rust         {:valid? true, :answer {:exit 0, :out (report/text {:run {:workload "w", :nodes [], :duration-s 1}, :ops []
                                                                       :linearizability {:valid? true}
                                                                       :judgement judgement})}}
     :coverage     {:valid? true}}))

(deftest one-verdict-over-everything
  (is (true? (:valid? (verdict passing))))
  (is (= :unknown (:valid? (verdict (assoc passing :coverage {:valid? :unknown})))))
  (is (false? (:valid? (verdict (assoc passing :coverage {:valid? :unknown}, :nodes {:valid? false, :deaths [{:node "n1"}]})))))
  (testing "a checker that crashes is unknown"
    (is (= :unknown (:valid? (verdict (assoc passing :elle #(throw (ex-info "boom" {}))))))))
  (testing "a judge that contradicts fails the run"
    (is (false? (:valid? (verdict (assoc-in passing [:rust :answer :exit] 1))))))
  (testing "a report that cannot be written is unknown"
    (with-redefs [report/text (fn [_] (throw (ex-info "no words" {})))]
      (let [results (verdict (assoc-in passing [:rust :answer :out] (get-in passing [:rust :answer :out])))]
        (is (= :unknown (:valid? results)))
        (is (re-find #"no words" (:error (:report results))))))))

(deftest a-workload-that-deletes-runs-owes-their-final-reads
  (let [missing (fn [workload] (:missing (#'all/check-final-reads {:workload workload, :nodes ["n1"]} [])))
        runs    (fn [workload] (set (keep second (missing workload))))]
    (is (some :deletes? workload/catalogue))
    (doseq [{:keys [name deletes?]} workload/catalogue]
      (is (= (boolean deletes?) (contains? (runs name) "brief-3")) name))))

(deftest what-merely-decorates-fails-nothing
  (is (true? (:valid? (checker/check (all/tolerant (reify checker/Checker (check [_ _ _ _] {:valid? false}))) {} [] {})))))

(deftest a-fault-that-only-the-heal-ended-is-shaded-until-then
  (let [at       (fn [s op] (assoc op :time (* s 1000000000)))
        step     (fn [from to f] [(at from {:process :nemesis, :type :info, :f f}) (at to {:process :nemesis, :type :info, :f f})])
        history  (#'all/drawn (history/history (concat (step 1 2 :kill) (step 3 4 :start) (step 5 6 :start-partition) (step 7 8 :heal))))
        activity (perf/nemesis-activity plots/nemeses history)]
    (is (= {"partition" [[5.0 7.0] [6.0 8.0]], "kill" [[1.0 3.0] [2.0 4.0]], "heal" []}
           (into {} (map (juxt :name #(map perf/interval->times (:intervals %)))) activity))
        "and no fault is drawn that never was")))
