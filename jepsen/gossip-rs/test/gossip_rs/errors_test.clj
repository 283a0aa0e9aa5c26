(ns gossip-rs.errors-test
  (:require [clojure.set :as set]
            [clojure.test :refer [deftest is]]
            [gossip-rs.errors :as errors]))

(deftest the-services-own-word-decides
  (is (= :fail (:type (errors/classify {:reason "FENCE_MISMATCH", :definite true} false))))
  (is (= :info (:type (errors/classify {:reason "FENCE_MISMATCH", :definite false} false))))
  (is (= :fail (:type (errors/classify {:reason "BRAND_NEW", :definite true} false)))))

(deftest without-that-word-the-table-decides-and-doubt-stays-open
  (is (= :fail (:type (errors/classify {:reason "LEASE_HELD"} false))))
  (is (= :info (:type (errors/classify {:reason "BRAND_NEW"} false))))
  (is (= {:type :info, :error [:connection-lost "refused"]}
         (errors/classify {:status "UNAVAILABLE", :message "refused"} false)))
  (is (= :info (:type (errors/classify {:status "DEADLINE_EXCEEDED"} false))))
  (is (= :fail (:type (errors/classify {:status "UNIMPLEMENTED"} false)))))

(deftest reads-fail-definitely-whatever-happened
  (is (= {:type :fail, :error [:deadline-exceeded ""]} (errors/classify {:status "DEADLINE_EXCEEDED"} true))))

(deftest no-reason-is-of-two-kinds
  (is (empty? (set/intersection errors/refusals errors/node-refusals)))
  (is (empty? (set/intersection errors/refusals errors/open-reasons)))
  (is (empty? (set/intersection errors/node-refusals errors/open-reasons)))
  (is (every? errors/known? (vals errors/grpc-reasons)))
  (is (not (errors/known? :brand-new))))
