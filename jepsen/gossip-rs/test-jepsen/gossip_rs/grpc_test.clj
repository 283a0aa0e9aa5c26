(ns gossip-rs.grpc-test
  (:require [clojure.test :refer [deftest is testing]]
            [gossip-rs.grpc :as grpc])
  (:import (com.google.protobuf Any Descriptors$MethodDescriptor InvalidProtocolBufferException)
           (com.google.rpc ErrorInfo Status)
           (io.grpc Metadata Metadata$Key StatusRuntimeException)))

(def contract
  (delay (grpc/load-contract (or (grpc/find-contract "../..")
                                 (throw (ex-info "no descriptor set: cargo build --release" {}))))))

(defn- request-type
  [method]
  (.getInputType ^Descriptors$MethodDescriptor (get @contract (str "gossip.v1." method))))

(deftest the-contract-has-the-methods-we-call
  (doseq [method ["RunService/CreateRun" "RunService/RegisterShards" "ShardService/Acquire" "ShardService/ListShards"
                  "ClusterService/Status" "ClusterService/Members"]]
    (is (contains? @contract (str "gossip.v1." method)) method)))

(deftest maps-survive-the-way-through-messages
  (let [type    (request-type "ShardService/Checkpoint")
        request {:tenant "t", :run "r", :op-id "00ff", :lease {:shard "s", :worker "w", :fence 7}
                 :cursor {:key "00ff", :token "2c"}}]
    (is (= request (grpc/message-> (grpc/->message type request))))
    (testing "what is not set is absent, what is empty is empty"
      (is (= {:tenant "", :run "r", :op-id ""} (grpc/message-> (grpc/->message type {:run "r", :cursor nil})))))
    (testing "a key that the contract does not know is our bug"
      (is (thrown-with-msg? IllegalArgumentException #"no field :fence" (grpc/->message type {:fence 7}))))))

(deftest enums-lose-their-prefix
  (let [type (request-type "ShardService/ListShards")]
    (is (= {:consistency :stale, :status :done}
           (select-keys (grpc/message-> (grpc/->message type {:consistency :stale, :status :done})) [:consistency :status])))
    (is (thrown? IllegalArgumentException (grpc/->message type {:status :finished})))))

(defn- error
  [domain]
  (let [info    (-> (ErrorInfo/newBuilder) (.setReason "LEASE_HELD") (.setDomain domain) (.putMetadata "definite" "true") .build)
        status  (-> (Status/newBuilder) (.setCode 14) (.addDetails (Any/pack info)) .build)
        trailer (doto (Metadata.)
                  (.put (Metadata$Key/of "grpc-status-details-bin" Metadata/BINARY_BYTE_MARSHALLER) (.toByteArray status)))]
    (StatusRuntimeException. (.withDescription io.grpc.Status/UNAVAILABLE "held") trailer)))

(deftest errors-carry-the-services-own-words
  (is (= {:type ::grpc/error, :status "UNAVAILABLE", :message "held", :reason "LEASE_HELD", :definite true
          :metadata {"definite" "true"}, :never-sent? false}
         (grpc/error-data (error "gossip-rs"))))
  (is (nil? (:reason (grpc/error-data (error "somebody-else")))))
  (is (nil? (:reason (grpc/error-data (StatusRuntimeException. io.grpc.Status/UNKNOWN))))))

(deftest an-answer-that-is-no-message-is-no-status-of-the-call
  (let [broken (InvalidProtocolBufferException. "truncated")
        status (-> io.grpc.Status/CANCELLED (.withCause (RuntimeException. broken)) .asRuntimeException)]
    (is (true? (#'grpc/undecodable? status)))
    (is (false? (#'grpc/undecodable? (StatusRuntimeException. io.grpc.Status/CANCELLED))))))

(deftest a-refused-connection-never-sent-anything
  (let [channel (grpc/open-channel "127.0.0.1" 1)]
    (try (grpc/call {:contract @contract, :channel channel, :deadline-ms 2000} "ClusterService/Status" {})
         (is false "nothing listens there")
         (catch clojure.lang.ExceptionInfo e
           (is (= "UNAVAILABLE" (:status (ex-data e))))
           (is (:never-sent? (ex-data e))))
         (finally (grpc/close-channel! channel)))))
