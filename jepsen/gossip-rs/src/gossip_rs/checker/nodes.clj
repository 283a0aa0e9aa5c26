(ns gossip-rs.checker.nodes
  "Whether every node ran as it should: none ended by itself, none logged what no node may ever log.

  Deaths are kept in a file of the run's folder, since the run that sees them and the judge that comes later by
  `lein run analyze` are two processes. The file is there as soon as anybody watches: a run without it was not watched."
  (:require [clojure.edn :as edn]
            [clojure.java.io :as io]
            [clojure.string :as str]
            [jepsen.checker :as checker]
            [jepsen.store :as store])
  (:import (java.util.regex Pattern)))

(def ^:private deaths-file "deaths.edn")

(defonce ^:private writing (Object.))

(defn watch!
  "Says in the run's folder that node deaths are noted from now on."
  [test]
  (locking writing
    (spit (store/path! test deaths-file) "" :append true)))

(defn note-death!
  "Notes in the run's folder that a node ended by itself: {:node :time :last-line}, time in nanoseconds of the history."
  [test death]
  (locking writing
    (spit (store/path! test deaths-file) (prn-str death) :append true)))

(defn- entries
  [file]
  (with-open [in (java.io.PushbackReader. (io/reader file))]
    (vec (take-while #(not= ::end %) (repeatedly #(edn/read {:eof ::end} in))))))

(defn deaths
  "The noted deaths; nil when nobody watched."
  [test]
  (let [file (store/path test deaths-file)]
    (when (.exists (io/file file))
      (entries file))))

(def bad-line
  "What no node may ever log. A clock control file that was ignored is a fault that the run only believes to have made.
  In a file, a text a line, since tools/lib/jepsen.sh looks for the same in the logs of a run that never came to this judge."
  (->> (str/split-lines (slurp (io/resource "bad-log-lines.txt")))
       (remove str/blank?)
       (map #(Pattern/quote %))
       (str/join "|")
       re-pattern))

(def ^:private most-lines
  "Of each log."
  5)

(defn- log-file
  [test node]
  (io/file (store/path test node "gossip-worker.log")))

(defn- bad-lines
  [file]
  (with-open [reader (io/reader file)]
    (into [] (comp (filter #(re-find bad-line %)) (take most-lines)) (line-seq reader))))

(defrecord Checker []
  checker/Checker
  (check [_ test _ _]
    (let [deaths  (deaths test)
          logs    (into {} (for [node (:nodes test), :let [file (log-file test node)], :when (.exists file)] [node file]))
          lines   (vec (for [[node file] logs, line (bad-lines file)] [node line]))
          no-log  (vec (remove logs (:nodes test)))]
      {:valid?   (cond (or (seq deaths) (seq lines))   false
                       ; What nobody watched, or looked at, may have been anything.
                       (or (nil? deaths) (seq no-log)) :unknown
                       :else                           true)
       :watched? (some? deaths)
       :deaths   (vec deaths)
       :lines    lines
       :no-log   no-log})))
