(ns gossip-rs.options-test
  (:require [clojure.string :as str]
            [clojure.test :refer [are deftest is testing]]
            [gossip-rs.options :as options]
            [gossip-rs.schedule :as schedule]
            [gossip-rs.workload :as workload]))

(defn- positions
  "Where each of these stands in a text."
  [text parts]
  (map #(or (str/index-of text %) (str "no " %)) parts))

(deftest what-matters-most-is-explained-first
  (doseq [command ["test" "test-all"]]
    (let [text (options/explanation command "target/gossip-worker")
          at   (positions text ["--workload" "--nemesis NAME" "--nodes NODE_LIST" "--time-limit" "--concurrency" "--rate" "--test-seed"
                                "--test-count" "--bin" "--node HOSTNAME" "--username" "--help" "\nWorkloads" "\nNemeses" "\nExit codes"
                                "\nExamples"])]
      (is (every? number? at) (pr-str at))
      (is (apply < at)))))

(deftest every-flag-has-its-line-and-its-default
  (doseq [command ["test" "test-all" "analyze" "serve"]
          [_ flags] (options/groups command "target/gossip-worker")
          [_ long text & {:keys [default shown]}] flags]
    (testing long
      (let [line (first (filter #(str/includes? % (str " " long " ")) (str/split-lines (options/explanation command "target/gossip-worker"))))]
        (is (str/includes? (str line) text))
        (is (< (count line) 150))
        (when-let [default (or shown default)]
          (is (str/includes? (str line) (str "[default: " default "]"))))))))

(deftest everything-that-can-be-chosen-is-explained
  (let [lines (str/split-lines (options/explanation "test" ""))]
    (doseq [{:keys [name default-nemesis]} workload/catalogue]
      (is (some #(re-find (re-pattern (str "^  " name " +[A-Z].*[a-z] \\[" default-nemesis "\\]$")) %) lines) name))
    (doseq [nemesis (keys schedule/nemeses)]
      (is (some #(str/starts-with? % (str "  " nemesis " ")) lines) nemesis))))

(deftest specs-are-what-is-explained
  (is (= (map second (mapcat second (options/groups "test" ""))) (map second (options/specs "test" ""))))
  (is (not-any? #(some #{:shown} %) (options/specs "test" ""))))

(deftest every-planted-bug-is-read-from-their-table
  (let [table (slurp "../../crates/gossip-core/src/mutants.rs")
        names (set (options/planted table))]
    (is (every? names ["fence-unchecked" "live-run-deletable"]))
    (is (= (count names) (count (re-seq #"(?m) = \"[^\"]+\",$" table))))))

(def ^:private usual {:nodes ["n1" "n2" "n3"], :concurrency 10, :time-limit 60})

(deftest what-cannot-show-anything-is-refused
  (are [refused pair more] (= refused (options/problems (merge usual more) [pair]))
    nil ["lease-exclusivity" "combined"] {}
    nil ["crash-recovery" "kill-random-node"] {:concurrency 1}
    nil ["gossip-convergence" "none"] {:concurrency 2, :time-limit 1}
    ["--nodes: a cluster has 1, 3 or 5 nodes, not 4"] ["lease-exclusivity" "none"] {:nodes ["a" "b" "c" "d"]}
    ["--nodes: a cluster has 1, 3 or 5 nodes, not 0"] ["lease-exclusivity" "none"] {:nodes []}
    ["--nodes, --node, --nodes-file: named more than once: a"] ["lease-exclusivity" "none"] {:nodes ["a" "b" "a"]}
    ["--nodes: combined needs nodes that can be parted; take 3 or 5, not 1"] ["lease-exclusivity" "combined"] {:nodes ["a"]}
    ["--concurrency 3: concurrent-acquisition needs at least 4"] ["concurrent-acquisition" "none"] {:concurrency 3}
    ["--concurrency 1: gossip-convergence needs at least 2, of which one watches what the nodes see of each other"]
    ["gossip-convergence" "none"] {:concurrency 1}
    ["--concurrency 1001: at most 1000"] ["lease-exclusivity" "none"] {:concurrency 1001}
    ["--time-limit 6: one fault of kill-random-node and its end take up to 7 s"] ["crash-recovery" "kill-random-node"] {:time-limit 6})
  (testing "one line for a flag, however many pairs it is too small for"
    (is (= 2 (count (options/problems (assoc usual :concurrency 1, :time-limit 2)
                                      (for [w options/workload-names, n (keys schedule/nemeses)] [w n])))))))

(deftest many-runs-have-the-code-of-the-worst
  (are [code verdicts] (= code (options/exit-code-of-all verdicts))
    0 [true] , 1 [true false] , 1 [:unknown false :crashed] , 255 [:unknown :crashed] , 2 [true :unknown])
  (is (= [0 1 2 2] (map options/exit-code [true false :unknown nil]))))
