(ns gossip-rs.floors-test
  (:require [clojure.test :refer [deftest is]]
            [gossip-rs.invariants.floors :as floors]))

(def ^:private shown
  (floors/floors second (fn [[a] [b]] (> a b)) [[7 30] [3 10] [9 40] [7 20] [5 25]]))

(deftest the-best-before-a-place-is-told-and-where-it-was-shown-first
  (is (= [nil nil [3 10] [7 20] [7 20] [7 20] [9 40]]
         (map (partial floors/before shown) [0 10 11 21 26 40 41]))))

(deftest where-nothing-was-shown-there-is-none
  (is (nil? (floors/before (floors/floors identity > []) 5))))
