(ns gossip-rs.timeline
  "The lease timeline as one HTML file without network: for each shard its leases as granted and as believed, by their holders'
  colours, and its sections; faults shaded, and marked what any checker found. Pure."
  (:require [clojure.string :as str]
            [gossip-rs.faults :as faults]
            [gossip-rs.history :as h]
            [gossip-rs.invariants :as invariants]
            [gossip-rs.invariants.facts :as facts]))

(def ^:private colours
  ["#4e79a7" "#f28e2b" "#59a14f" "#b07aa1" "#76b7b2" "#edc948" "#9c755f" "#ff9da7" "#86bcb6" "#d37295"])

(def ^:private lanes ["granted" "believed" "sections"])
(def ^:private lane-px 14)
(def ^:private row-px (+ 6 (* lane-px (count lanes))))
(def ^:private most-shards
  "Beyond which only those are drawn of which something was found."
  100)
(def ^:private most-in-row
  "Bars and marks of one shard beyond which later ones are left out."
  1000)
(def ^:private left-px 130)
(def ^:private width-px 1400)

(defn- escape
  [s]
  (-> (str s) (str/replace "&" "&amp;") (str/replace "<" "&lt;") (str/replace ">" "&gt;") (str/replace "\"" "&quot;")))

(defn- seconds [ns] (/ (double ns) 1e9))

(defn fault-spans
  "[{:label :from :to}] in nanoseconds: each fault from the completion of its beginning to that of its end."
  [ops]
  (let [last (reduce max 0 (keep :time ops))]
    (for [{:keys [begin end]} (faults/spans (h/nemesis-steps ops))]
      {:label (str (name (:f begin)) " " (pr-str (:value begin)))
       :from  (:time begin)
       :to    (:time end last)})))

(defn- lease-end
  "When a holder stopped believing: it gave the lease up, or its belief ran out."
  [{:keys [ended-at call renewals]}]
  (let [believed (reduce max 0 (keep (comp :believed-until :out) (cons call renewals)))]
    (if ended-at (min ended-at (max believed (:end-time call))) (max believed (:end-time call)))))

(defn- bar
  [x lane {:keys [worker fence]} from to]
  (format "<div class=\"lease\" style=\"left:%.1fpx;top:%dpx;width:%.1fpx;background:%s\" title=\"%s\">%s</div>"
          (x from) (+ 2 (* lane lane-px)) (max 1.5 (- (x to) (x from)))
          (nth colours (mod (hash worker) (count colours)))
          (escape (str worker " fence " fence ", " (nth lanes lane) " " (format "%.2f" (seconds from)) " to "
                       (format "%.2f" (seconds to)) " s"))
          fence))

(defn- clock-offset
  "Lays the lease clock on real time: nobody hears of a grant before it was made, and the quickest answer tells best when."
  [leases]
  (reduce min Long/MAX_VALUE
          (for [{{:keys [end-time out]} :call} (mapcat val leases), :when (:granted out)]
            (- end-time (* 1000000 (:granted out))))))

(defn- lease-bars
  [x offset {:keys [call renewals ended-at] :as lease}]
  (let [granted  (get-in call [:out :granted])
        deadline (reduce max 0 (keep (comp :deadline :out) (cons call renewals)))
        real     #(+ offset (* 1000000 %))]
    (cond-> [(bar x 1 lease (:end-time call) (lease-end lease))]
      granted (conj (bar x 0 lease (real granted) (cond-> (real deadline) ended-at (min ended-at)))))))

(defn- section-bars
  [x calls]
  (for [{:keys [in out]} calls, :when (and (:entered out) (:left out))]
    (bar x 2 in (:entered out) (:left out))))

(defn- marks
  "What was found, and where it stands: {shard [{:time :message}]}; that of no shard under nil. `findings` are those of the
  checkers beside the invariants."
  [ops judgement findings]
  (let [ops   (vec ops)
        place (fn [i] (get ops i))]
    (group-by :shard
              (concat (for [[id {:keys [violations]}] judgement
                            {:keys [at message]} violations
                            :let [op (some-> (last at) place)]]
                        {:shard (get-in op [:value :shard]), :time (or (:time op) 0), :message (str (name id) ": " message)})
                      (for [{:keys [id shard at time message]} findings
                            :let [op (some-> (last at) place)]]
                        {:shard shard, :time (or (:time op) time 0), :message (str id ": " message)})))))

(def ^:private style
  (str "body{font:13px sans-serif;margin:16px}.row{position:relative;height:" row-px "px;border-bottom:1px solid #eee}"
       ".name{position:absolute;width:" (- left-px 6) "px;overflow:hidden;font-size:11px}"
       ; Seen through, so that two leases at a time show as such.
       ".lease{position:absolute;height:" (- lane-px 2) "px;overflow:hidden;font-size:9px;color:#fff;opacity:.7;outline:1px solid #333}"
       ".fault{position:absolute;top:0;bottom:0;background:rgba(200,40,40,.12)}"
       ".bad{position:absolute;top:0;width:3px;height:" row-px "px;background:#d00}.tick{position:absolute;font-size:10px;color:#777}"
       "pre{background:#f6f6f6;padding:8px}"))

(defn- drawn
  "The shards to draw, those first of which something was found, and how many are left out."
  [leases marks]
  (let [[found others] ((juxt filter remove) (comp marks key) (sort-by key (filter #(or (seq (val %)) (marks (key %))) leases)))
        room           (max 0 (- most-shards (count found)))]
    [(concat found (take room others)) (max 0 (- (count others) room))]))

(defn html
  "The page, from a history, its judgement, what the checkers beside the invariants found, and the text report."
  [ops judgement findings report]
  (let [{:keys [leases]} (facts/facts ops)
        end      (reduce max 1 (keep :time ops))
        x        (fn [ns] (+ left-px (* (double width-px) (/ (double ns) end))))
        offset   (clock-offset leases)
        sections (group-by (comp :shard :in) (filter #(= :section (:f %)) (h/calls ops)))
        marks    (marks ops judgement findings)
        mark     (fn [{:keys [time message]}]
                   (format "<div class=\"bad\" style=\"left:%.1fpx\" title=\"%s\"></div>" (x time) (escape message)))
        bars     (fn [shard granted]
                   (concat (mapcat (partial lease-bars x offset) (sort-by :fence granted)) (section-bars x (sections shard))))
        row      (fn [shard parts]
                   (str "<div class=\"row\"><span class=\"name\">" (escape shard) "</span>" (str/join parts) "</div>"))
        [shards left-out] (drawn leases marks)
        rows     (for [[shard granted] shards]
                   (row shard (concat (take most-in-row (bars shard granted)) (map mark (take most-in-row (marks shard))))))
        shades   (for [{:keys [label from to]} (fault-spans ops)]
                   (format "<div class=\"fault\" style=\"left:%.1fpx;width:%.1fpx\" title=\"%s\"></div>"
                           (x from) (max 2.0 (- (x to) (x from))) (escape label)))
        ticks    (for [i (range 11) :let [ns (/ (* i end) 10.0)]]
                   (format "<span class=\"tick\" style=\"left:%.1fpx\">%.0f s</span>" (x ns) (seconds ns)))]
    (str "<!doctype html><meta charset=\"utf-8\"><title>Leases</title><style>" style "</style>"
         "<pre>" (escape report) "</pre>"
         "<p>Each shard from top to bottom: " (str/join ", " lanes) ". Colours are workers, numbers fences, shaded stretches faults, red
         strokes what was found. Granted times are of the lease clock, laid on real time by the answers.</p>"
         "<div style=\"position:relative;height:16px\">" (str/join ticks) "</div>"
         "<div style=\"position:relative;width:" (+ left-px width-px) "px\">" (str/join shades)
         (when-let [others (marks nil)]
           (row "whole run" (map mark (take most-in-row others))))
         (str/join rows) "</div>"
         (when (pos? left-out) (str "<p>" left-out " more shards of which nothing was found are not drawn.</p>"))
         "\n")))
