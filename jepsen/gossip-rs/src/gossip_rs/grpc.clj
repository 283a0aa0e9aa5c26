(ns gossip-rs.grpc
  "Unary gRPC calls from data: Clojure maps in and out, over the project's descriptor set. No generated code.

  A message is a map from kebab-case keywords; bytes are hex strings; enums are keywords without their type's prefix
  (`SHARD_STATUS_ACTIVE` is `:active`); an optional field or message that is not set is absent."
  (:require [clojure.java.io :as io]
            [clojure.string :as str])
  (:import (com.google.protobuf ByteString Descriptors$Descriptor Descriptors$EnumDescriptor Descriptors$EnumValueDescriptor
                                Descriptors$FieldDescriptor Descriptors$FieldDescriptor$JavaType Descriptors$FileDescriptor
                                Descriptors$MethodDescriptor Descriptors$ServiceDescriptor DynamicMessage
                                InvalidProtocolBufferException Message
                                DescriptorProtos$FileDescriptorProto DescriptorProtos$FileDescriptorSet)
           (com.google.rpc ErrorInfo Status)
           (io.grpc CallOptions Channel ManagedChannel Metadata Metadata$Key MethodDescriptor MethodDescriptor$Marshaller
                    MethodDescriptor$MethodType StatusRuntimeException)
           (io.grpc.netty.shaded.io.grpc.netty NettyChannelBuilder)
           (io.grpc.stub ClientCalls)
           (java.io ByteArrayInputStream File InputStream)
           (java.net ConnectException)
           (java.util HexFormat)
           (java.util.concurrent TimeUnit)))

;; Descriptors

(defn- link
  "Builds the file descriptors of a set, each after those it imports."
  [^DescriptorProtos$FileDescriptorSet set]
  (reduce (fn [files ^DescriptorProtos$FileDescriptorProto proto]
            (let [imports (map files (.getDependencyList proto))]
              (assoc files (.getName proto)
                     (Descriptors$FileDescriptor/buildFrom proto (into-array Descriptors$FileDescriptor imports)))))
          {}
          (.getFileList set)))

(defn load-contract
  "The services of a descriptor set: {\"gossip.v1.ShardService/Acquire\" method-descriptor}."
  [file]
  (with-open [in (io/input-stream file)]
    (into {}
          (for [^Descriptors$FileDescriptor file      (vals (link (DescriptorProtos$FileDescriptorSet/parseFrom in)))
                ^Descriptors$ServiceDescriptor service (.getServices file)
                ^Descriptors$MethodDescriptor method   (.getMethods service)]
            [(str (.getFullName service) "/" (.getName method)) method]))))

(defn find-contract
  "The newest descriptor set that a build under `root` left, or nil."
  [root]
  (->> (.listFiles (io/file root "target/release/build"))
       (filter #(str/starts-with? (.getName ^File %) "gossip-proto-"))
       (map #(io/file % "out/gossip_descriptors.bin"))
       (filter #(.isFile ^File %))
       (sort-by #(.lastModified ^File %))
       last))

;; Messages

(declare ->message message->)

(defn- field-key
  [^Descriptors$FieldDescriptor field]
  (keyword (str/replace (.getName field) "_" "-")))

(defn- enum-prefix
  "`SHARD_STATUS_` for ShardStatus."
  [^Descriptors$EnumDescriptor enum]
  (str (str/upper-case (str/replace (.getName enum) #"(?<=[a-z0-9])(?=[A-Z])" "_")) "_"))

(defn- enum->
  [^Descriptors$EnumValueDescriptor value]
  (let [prefix (enum-prefix (.getType value))
        name   (.getName value)]
    (keyword (str/replace (str/lower-case (cond-> name (str/starts-with? name prefix) (subs (count prefix)))) "_" "-"))))

(defn- ->enum
  [^Descriptors$EnumDescriptor enum k]
  (let [name (str/upper-case (str/replace (clojure.core/name k) "-" "_"))]
    (or (.findValueByName enum (str (enum-prefix enum) name))
        (throw (IllegalArgumentException. (str (.getFullName enum) " has no value " k))))))

(defn- ->value
  [^Descriptors$FieldDescriptor field x]
  (condp = (.getJavaType field)
    Descriptors$FieldDescriptor$JavaType/LONG        (long x)
    Descriptors$FieldDescriptor$JavaType/INT         (int x)
    Descriptors$FieldDescriptor$JavaType/BYTE_STRING (ByteString/copyFrom (.parseHex (HexFormat/of) ^String x))
    Descriptors$FieldDescriptor$JavaType/ENUM        (->enum (.getEnumType field) x)
    Descriptors$FieldDescriptor$JavaType/MESSAGE     (->message (.getMessageType field) x)
    x))

(defn- value->
  [^Descriptors$FieldDescriptor field x]
  (condp = (.getJavaType field)
    Descriptors$FieldDescriptor$JavaType/BYTE_STRING (.formatHex (HexFormat/of) (.toByteArray ^ByteString x))
    Descriptors$FieldDescriptor$JavaType/ENUM        (enum-> x)
    Descriptors$FieldDescriptor$JavaType/MESSAGE     (message-> x)
    x))

(defn ->message
  "A message of this type from a map. An unknown key is a bug of ours and throws; nil leaves a field out."
  ^Message [^Descriptors$Descriptor type m]
  (let [fields  (into {} (map (juxt field-key identity)) (.getFields type))
        builder (DynamicMessage/newBuilder type)]
    (doseq [[k v] m
            :let  [^Descriptors$FieldDescriptor field
                   (or (fields k)
                       (throw (IllegalArgumentException. (str (.getFullName type) " has no field " k))))]
            :when (some? v)]
      (if (.isRepeated field)
        (doseq [x v] (.addRepeatedField builder field (->value field x)))
        (.setField builder field (->value field v))))
    (.build builder)))

(defn- map-field->
  [^Descriptors$FieldDescriptor field entries]
  (let [type  (.getMessageType field)
        key   (.findFieldByName type "key")
        value (.findFieldByName type "value")]
    (into {}
          (for [^Message entry entries]
            [(.getField entry key) (value-> value (.getField entry value))]))))

(defn message->
  "A map from a message. Fields without presence are always there; others when they are set."
  [^Message message]
  (into {}
        (for [^Descriptors$FieldDescriptor field (.getFields (.getDescriptorForType message))
              :when (or (.isRepeated field) (not (.hasPresence field)) (.hasField message field))
              :let  [x (.getField message field)]]
          [(field-key field)
           (cond (.isMapField field) (map-field-> field x)
                 (.isRepeated field) (mapv #(value-> field %) x)
                 :else               (value-> field x))])))

;; Calls

(defn- marshaller
  [^Descriptors$Descriptor type]
  (reify MethodDescriptor$Marshaller
    (stream [_ message] (ByteArrayInputStream. (.toByteArray ^Message message)))
    (parse [_ in] (try (DynamicMessage/parseFrom type ^InputStream in)
                       ; gRPC keeps the cause of a runtime exception alone.
                       (catch InvalidProtocolBufferException e (throw (RuntimeException. e)))))))

(def ^:private grpc-method
  "What gRPC wants to know of a method; made once for each."
  (memoize
    (fn [^Descriptors$MethodDescriptor method]
      (-> (MethodDescriptor/newBuilder (marshaller (.getInputType method)) (marshaller (.getOutputType method)))
          (.setType MethodDescriptor$MethodType/UNARY)
          (.setFullMethodName (MethodDescriptor/generateFullMethodName (.getFullName (.getService method)) (.getName method)))
          .build))))

(defn open-channel
  "A channel to host:port. Connects when it is first used, and again by itself: a broken connection is tried anew within a
  second, since nodes come and go here."
  ^ManagedChannel [^String host port]
  (-> (NettyChannelBuilder/forAddress host (int port))
      .usePlaintext
      (.keepAliveTime 2 TimeUnit/SECONDS)
      (.keepAliveTimeout 2 TimeUnit/SECONDS)
      .directExecutor
      .build))

(defn close-channel!
  [^ManagedChannel channel]
  (.shutdownNow channel))

(defn reconnect-soon!
  "Forgets the back-off after failed connects: the next call connects at once."
  [^ManagedChannel channel]
  (.resetConnectBackoff channel))

(def ^:private details-key
  (Metadata$Key/of "grpc-status-details-bin" Metadata/BINARY_BYTE_MARSHALLER))

(def ^:private domain "gossip-rs")

(defn- error-info
  "The ErrorInfo that the service packed into the trailers, or nil."
  [^Metadata trailers]
  (when-let [bytes (some-> trailers (.get details-key))]
    (->> (.getDetailsList (Status/parseFrom ^bytes bytes))
         (filter #(.is ^com.google.protobuf.Any % ErrorInfo))
         (map #(.unpack ^com.google.protobuf.Any % ErrorInfo))
         (filter #(= domain (.getDomain ^ErrorInfo %)))
         first)))

(defn- causes
  [^Throwable e]
  (take-while some? (iterate #(.getCause ^Throwable %) e)))

(defn- undecodable?
  "Whether the answer came and was no message: gRPC reports it as a status of the call, which it is not."
  [e]
  (boolean (some #(instance? InvalidProtocolBufferException %) (causes e))))

(defn- never-sent?
  "Whether the call waited for a connection that could not be made: nothing left this machine."
  [^Throwable e]
  (boolean (some #(instance? ConnectException %) (causes e))))

(defn error-data
  "What an exception of a call says, for `errors/classify`."
  [^StatusRuntimeException e]
  (let [status         (.getStatus e)
        ^ErrorInfo info (error-info (.getTrailers e))
        metadata       (when info (into {} (.getMetadataMap info)))]
    {:type        ::error
     :status      (str (.getCode status))
     :message     (or (.getDescription status) "")
     :reason      (when info (.getReason info))
     :definite    (when-let [word (get metadata "definite")] (= "true" word))
     :metadata    metadata
     :never-sent? (never-sent? e)}))

(defn call
  "Calls a method with a map and gives the answer as a map. Fails with ex-info of `error-data`, or `::undecodable`.

    :contract     of `load-contract`
    :channel      of `open-channel`
    :deadline-ms  no call goes without one"
  [{:keys [contract ^Channel channel deadline-ms]} method request]
  (let [^Descriptors$MethodDescriptor descriptor
        (or (get contract (str "gossip.v1." method))
            (throw (IllegalArgumentException. (str "the contract has no method " method))))
        options (.withDeadlineAfter CallOptions/DEFAULT (long deadline-ms) TimeUnit/MILLISECONDS)]
    (try (message-> (ClientCalls/blockingUnaryCall channel (grpc-method descriptor) options
                                                   (->message (.getInputType descriptor) request)))
         (catch StatusRuntimeException e
           (when (undecodable? e)
             (throw (ex-info (str method ": the answer cannot be decoded") {:type ::undecodable} e)))
           (let [data (error-data e)]
             (throw (ex-info (str method ": " (:status data) " " (:message data)) data e)))))))
