# shellcheck shell=bash
# The pure namespaces of jepsen/gossip-rs need Clojure alone. Where there is no lein, Maven fetches Clojure and java runs them.

# clojure_classpath FILE: writes the class path of the Clojure that project.clj names. Maven finds what Clojure itself needs.
clojure_classpath() {
    local version
    version=$(sed -nE 's/.*\[org\.clojure\/clojure "([^"]+)"\].*/\1/p' jepsen/gossip-rs/project.clj | head -n 1)
    mkdir -p "$(dirname "$1")"
    cat >"$(dirname "$1")/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>gossip-rs</groupId>
  <artifactId>pure-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.clojure</groupId><artifactId>clojure</artifactId><version>$version</version></dependency>
  </dependencies>
</project>
POM
    mvn -q -B -f "$(dirname "$1")/pom.xml" dependency:build-classpath -Dmdep.outputFile="$(realpath "$1")"
}

# The namespaces of the pure tests, from the names of their files.
pure_namespaces() {
    (cd jepsen/gossip-rs/test && find . -name '*_test.clj') | sed -E 's,^\./(.*)\.clj$,\1,; s,/,.,g; s/_/-/g' | sort | paste -sd ' '
}

pure_clojure_tests() {
    local classpath=$PWD/target/clojure/classpath spaces
    spaces=$(pure_namespaces)
    clojure_classpath "$classpath" || return
    (cd jepsen/gossip-rs && java -Djava.awt.headless=true -XX:-OmitStackTraceInFastThrow -cp "src:test:$(cat "$classpath")" clojure.main -e "
        (apply require 'clojure.test '[$spaces])
        (let [{:keys [fail error]} (apply clojure.test/run-tests '[$spaces])]
          (shutdown-agents)
          (System/exit (if (zero? (+ fail error)) 0 1)))")
}
