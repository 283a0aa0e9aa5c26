(ns gossip-rs.rng-test
  (:require [clojure.test :refer [deftest is]]
            [gossip-rs.rng :as rng]))

(deftest the-stream-is-the-published-one
  ; Reference values of splitmix64.c for state 1234567.
  (let [s (long-array [1234567])]
    (is (= [6457827717110365317 3203168211198807973] [(rng/bits s) (rng/bits s)]))))

(deftest a-stream-depends-on-seed-and-purpose-only
  (let [draw (fn [seed purpose]
               (let [s (rng/stream seed purpose)]
                 (vec (repeatedly 8 #(rng/bits s)))))]
    (is (= (draw 7 "nemesis") (draw 7 "nemesis")))
    (is (not= (draw 7 "nemesis") (draw 8 "nemesis")))
    (is (not= (draw 7 "nemesis") (draw 7 "worker-0")))))

(deftest bounds-hold-and-all-values-occur
  (let [s    (rng/stream 1 "bounds")
        seen (frequencies (repeatedly 1000 #(rng/between s 3 7)))]
    (is (= #{3 4 5 6 7} (set (keys seen))))
    (is (every? #(< 100 %) (vals seen)))))

(deftest below-multiplies-unsigned
  ; A draw with its top bit set must land in the upper half.
  (let [s (rng/stream 1 "unsigned")]
    (dotimes [_ 200]
      (let [n (aget ^longs s 0)
            b (rng/bits (long-array [n]))]
        (is (= (neg? b) (<= 500 (rng/below s 1000))))))))

(deftest shuffle-keeps-every-item
  (let [items (vec (range 50))
        mixed (rng/shuffle (rng/stream 3 "shuffle") items)]
    (is (not= items mixed))
    (is (= items (vec (sort mixed))))))

(deftest op-ids-are-128-bits-of-hex
  (is (re-matches #"[0-9a-f]{32}" (rng/hex-id (rng/stream 1 "op-ids")))))
