(ns gossip-rs.timeline
  "The lease timeline as one HTML file without network: each shard a row, each lease a bar by its holder's colour, faults
  shaded, violations marked. Pure."
  (:require [clojure.string :as str]
            [gossip-rs.faults :as faults]
            [gossip-rs.history :as h]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.invariants.facts :as facts]))

(def ^:private colours
  ["#4e79a7" "#f28e2b" "#59a14f" "#b07aa1" "#76b7b2" "#edc948" "#9c755f" "#ff9da7" "#86bcb6" "#d37295"])

(def ^:private row-px 18)
(def ^:private left-px 130)
(def ^:private width-px 1400)

(defn- escape
  [s]
  (-> (str s) (str/replace "&" "&amp;") (str/replace "<" "&lt;") (str/replace ">" "&gt;") (str/replace "\"" "&quot;")))

(defn- seconds [ns] (/ (double ns) 1e9))

(defn fault-spans
  "[{:label :from :to}] in nanoseconds: each fault from the completion of its beginning to the next end of its kind."
  [ops]
  (let [done  (take-nth 2 (rest (h/nemesis-ops ops)))
        last  (reduce max 0 (keep :time ops))]
    (for [{:keys [f time value error]} done
          :when (and (faults/begins f) (not error))]
      {:label (str (name f) " " (pr-str value))
       :from  time
       :to    (or (:time (first (filter #(and (#{(faults/ends f) :heal} (:f %)) (< time (:time %))) done))) last)})))

(defn- lease-end
  "When a holder stopped believing: it gave the lease up, or its belief ran out."
  [{:keys [ended-at call renewals]}]
  (let [believed (reduce max 0 (keep (comp :believed-until :out) (cons call renewals)))]
    (if ended-at (min ended-at (max believed (:end-time call))) (max believed (:end-time call)))))

(defn- bars
  [leases x]
  (for [{:keys [fence worker call] :as lease} (sort-by :fence leases)
        :let [from (:end-time call)
              to   (lease-end lease)]]
    (format "<div class=\"lease\" style=\"left:%.1fpx;width:%.1fpx;background:%s\" title=\"%s\">%s</div>"
            (x from) (max 1.5 (- (x to) (x from)))
            (nth colours (mod (hash worker) (count colours)))
            (escape (str worker " fence " fence ", " (format "%.2f" (seconds from)) " to " (format "%.2f" (seconds to)) " s"))
            fence)))

(defn- marks
  "Where violations stand: {shard [{:time :message}]}; those of no shard under nil."
  [ops judgement]
  (let [ops   (vec ops)
        place (fn [i] (get ops i))]
    (group-by :shard
              (for [[id {:keys [violations]}] judgement
                    {:keys [at message]} violations
                    :let [op (some-> (last at) place)]]
                {:shard (get-in op [:value :shard]), :time (or (:time op) 0), :message (str (name id) ": " message)}))))

(def ^:private style
  (str "body{font:13px sans-serif;margin:16px}.row{position:relative;height:" row-px "px;border-bottom:1px solid #eee}"
       ".name{position:absolute;width:" (- left-px 6) "px;overflow:hidden;font-size:11px}"
       ".lease{position:absolute;height:" (- row-px 4) "px;top:2px;overflow:hidden;font-size:9px;color:#fff}"
       ".fault{position:absolute;top:0;bottom:0;background:rgba(200,40,40,.12)}"
       ".bad{position:absolute;top:0;width:3px;height:" row-px "px;background:#d00}.tick{position:absolute;font-size:10px;color:#777}"
       "pre{background:#f6f6f6;padding:8px}"))

(defn html
  "The page, from a history, its judgement and the text report."
  [ops judgement report]
  (let [{:keys [leases]} (facts/facts ops)
        end    (reduce max 1 (keep :time ops))
        x      (fn [ns] (+ left-px (* (double width-px) (/ (double ns) end))))
        marks  (marks ops judgement)
        mark   (fn [{:keys [time message]}]
                 (format "<div class=\"bad\" style=\"left:%.1fpx\" title=\"%s\"></div>" (x time) (escape message)))
        rows   (for [[shard granted] (sort-by key leases), :when (or (seq granted) (marks shard))]
                 (str "<div class=\"row\"><span class=\"name\">" (escape shard) "</span>"
                      (str/join (bars granted x)) (str/join (map mark (marks shard))) "</div>"))
        shades (for [{:keys [label from to]} (fault-spans ops)]
                 (format "<div class=\"fault\" style=\"left:%.1fpx;width:%.1fpx\" title=\"%s\"></div>"
                         (x from) (max 2.0 (- (x to) (x from))) (escape label)))
        ticks  (for [i (range 11) :let [ns (/ (* i end) 10.0)]]
                 (format "<span class=\"tick\" style=\"left:%.1fpx\">%.0f s</span>" (x ns) (seconds ns)))]
    (str "<!doctype html><meta charset=\"utf-8\"><title>Leases</title><style>" style "</style>"
         "<pre>" (escape report) "</pre>"
         "<div style=\"position:relative;height:16px\">" (str/join ticks) "</div>"
         "<div style=\"position:relative;width:" (+ left-px width-px) "px\">" (str/join shades) (str/join rows)
         (when-let [others (marks nil)]
           (str "<div class=\"row\"><span class=\"name\">whole run</span>" (str/join (map mark others)) "</div>"))
         "</div>\n")))
