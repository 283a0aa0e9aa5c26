(defproject gossip-rs "0.1.0"
  :description "The full-Jepsen tier of gossip-rs: real nodes over SSH, real faults, Knossos, Elle and our own judges."
  :license {:name "Apache-2.0"}
  :dependencies [[org.clojure/clojure "1.12.5"]
                 [jepsen "0.3.13"]
                 [io.grpc/grpc-netty-shaded "1.76.0"]
                 [io.grpc/grpc-stub "1.76.0"]
                 [com.google.protobuf/protobuf-java "3.25.8"]
                 ; google.rpc.Status and ErrorInfo, in which errors travel.
                 [com.google.api.grpc/proto-google-common-protos "2.59.2"]]
  :main gossip-rs.cli
  :source-paths ["src"]
  ; test/ mirrors the namespaces that need Clojure alone, test-jepsen/ those that meet Jepsen.
  :test-paths ["test" "test-jepsen"]
  :jvm-opts ["-Xmx4g" "-Djava.awt.headless=true" "-XX:-OmitStackTraceInFastThrow"
             ; Checkers run side by side and share pools of as many threads as there are processors; two are too few.
             "-XX:ActiveProcessorCount=8"]
  :profiles {; `lein with-profile pure test`: everything that can be tested from Maven Central alone.
             :pure {:dependencies ^:replace [[org.clojure/clojure "1.12.5"]]
                    :test-paths ^:replace ["test"]}})
