(ns gossip-rs.timeline-test
  (:require [clojure.string :as str]
            [clojure.test :refer [deftest is]]
            [gossip-rs.build :as b]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.timeline :as timeline]))

(def ops
  (b/history (b/register ["s" nil nil])
             (b/acquire "v" 2)
             (b/step :pause ["n1"])
             (b/acquire "w" 1)
             (b/step :resume nil)))

(defn- drawn
  "How many bars of a lane there are."
  [page lane]
  (count (re-seq (re-pattern (str "class=\"lease\"[^>]*" lane)) page)))

(deftest leases-faults-and-violations-are-drawn
  (let [page (timeline/html ops (invariants/judge ops) [] "JEPSEN <REPORT>")]
    (is (str/includes? page "JEPSEN &lt;REPORT&gt;"))
    (is (= [2 2 0] (map #(drawn page %) ["granted" "believed" "sections"])))
    (is (= 1 (count (re-seq #"class=\"fault\"" page))))
    (is (re-find #"class=\"bad\"[^>]*S2" page))
    (is (not (re-find #"https?://" page)) "one file, no network")))

(deftest sections-and-what-other-checkers-found-are-drawn
  (let [section {:f :section, :in {:shard "s", :worker "v", :fence 1}, :out {:entered 5000000, :left 7000000}}
        ops     (b/history (b/register ["s" nil nil]) (b/acquire "v" 1) section)
        found   [{:id "L", :shard "s", :at [3], :message "no order"} {:id "node", :time 4000000, :message "n1 ended"}]
        page    (timeline/html ops {} found "")]
    (is (= 1 (drawn page "sections")))
    (is (re-find #"class=\"name\">s<.*class=\"bad\"[^>]*L: no order" page))
    (is (re-find #"whole run<.*class=\"bad\"[^>]*node: n1 ended" page))))

(deftest a-page-stays-small-and-shows-what-was-found
  (let [shard (fn [i] (format "s%03d" i))
        takes (fn [i] (assoc-in (assoc-in (b/acquire "v" 1) [:in :shard] (shard i)) [:in :op-id] (str i)))
        ops   (apply b/history (apply b/register (for [i (range 150)] [(shard i) (str i) (str i "a")])) (map takes (range 150)))
        page  (timeline/html ops {} [{:id "L", :shard (shard 149), :at [4], :message "no order"}] "")]
    (is (= 100 (drawn page "believed")))
    (is (str/includes? page "50 more shards"))
    (is (< (str/index-of page ">s149<") (str/index-of page ">s000<")))))

(deftest a-fault-lasts-until-its-end
  (is (= [{:label "pause [\"n1\"]", :from 5000000, :to 9000000}] (timeline/fault-spans ops))))
