(ns gossip-rs.errors-test
  (:require [clojure.java.io :as io]
            [clojure.set :as set]
            [clojure.test :refer [deftest is]]
            [gossip-rs.errors :as errors]))

(deftest the-services-own-word-decides
  (is (= {:type :fail, :error [:fence-mismatch "the fence is 3"]}
         (errors/classify {:reason "FENCE_MISMATCH", :definite true, :status "ABORTED", :message "the fence is 3"} false)))
  (is (= :info (:type (errors/classify {:reason "TIMEOUT", :definite false} false))))
  (is (= :fail (:type (errors/classify {:reason "TIMEOUT", :definite true} false))))
  (is (= :info (:type (errors/classify {:reason "FENCE_MISMATCH"} false))) "no word, no certainty"))

(deftest an-error-without-details-is-open-whatever-its-status
  (doseq [status ["UNAVAILABLE" "DEADLINE_EXCEEDED" "INVALID_ARGUMENT" "NOT_FOUND" "UNKNOWN"]]
    (is (= {:type :info, :error [:transport (str status " refused")]}
           (errors/classify {:status status, :message "refused"} false)))))

(deftest reads-fail-definitely-whatever-happened
  (is (= :fail (:type (errors/classify {:status "DEADLINE_EXCEEDED"} true)))))

(deftest reasons-are-read-however-they-are-spelled
  (is (= :fence-mismatch (errors/reason "FENCE_MISMATCH") (errors/reason :FENCE_MISMATCH) (errors/reason :fence-mismatch)))
  (is (= :lease-held (errors/reason-of {:error ["LEASE_HELD" ""]})))
  (is (nil? (errors/reason-of {:error nil}))))

(defn- contract
  "The service's own table: {reason definite}."
  []
  (into {}
        (for [[_ reason word] (re-seq #"row\(\s*\"([A-Z_]+)\",\s*Code::\w+,\s*(\w+)," (slurp (io/file "../../crates/gossip-proto/src/errors.rs")))]
          [(errors/reason reason) word])))

(deftest the-table-is-the-services
  (let [contract (contract)
        word     (fn [reason] (cond (errors/self-declared reason) "None"
                                    (errors/open-reasons reason)  "NO"
                                    :else                         "YES"))
        ours     (set/union errors/refusals errors/node-refusals errors/open-reasons errors/self-declared)]
    (is (< 20 (count contract)))
    (is (= contract (into {} (map (juxt identity word)) ours)))
    (is (not (errors/known? :brand-new)))))
