(ns gossip-rs.invariants.oplog
  "What the service may have forgotten of its answers, as `docs/protocol.md` has it (*How long an answer can be replayed*).

  The answers of `complete`, of splits and of operations on runs stay as long as the run. Those of all other mutations share a
  ring for each shard: the newest 64, fewer if they would hold more than 256 KiB of ranges and cursors, but always three. An
  op id whose answer is forgotten is a new request.

  Whether an answer was forgotten is not in the history, so it is asked whether it *may* have been: whether so many other op
  ids may have put an answer into the ring between the earliest moment at which the answer may have been put there and the
  moment in question. A call that was never answered may have done so at any time after its invocation; a claim that never
  was, in any ring. It is enough to count each op id once: the first that gets into a ring twice must have been forgotten in
  between, and by so many others.

  The bytes are those of the longest range and cursor anywhere in the history, since what a lost grant held is not told. A
  cursor's token stands beside its key, or as the `:ids` that are kept in it."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [cursor-key]]))

(def kept
  "Answers in a ring, if they are small."
  64)

(def always-kept
  "Answers in a ring, however large they are."
  3)

(def ring-bytes
  "Bytes of ranges and cursors in a ring."
  (* 256 1024))

(def id-bytes
  "Bytes of one id in a token, at most."
  8)

(def evictable
  "Operations whose answer can be forgotten while their run is there."
  #{:acquire :claim :renew :checkpoint :release :park :unpark})

(defn answer
  "What the service said. An acquire answers with the cursor; a checkpoint only echoes the one it was sent."
  [call]
  (select-keys (:out call) [:shard :fence :granted :deadline :cursor :children :residual]))

(defn- hex-bytes
  [k]
  (if (string? k) (quot (inc (count k)) 2) 0))

(defn- key-bytes
  "Of the longest bound of a range that the call names."
  [{:keys [out]}]
  (transduce (comp (mapcat (juxt :start :end)) (map hex-bytes)) max 0
             (concat (:shards out) (:children out) (some-> (:residual out) list))))

(defn- cursor-bytes
  [{{:keys [cursor ids]} :out}]
  (+ (hex-bytes (cursor-key cursor))
     (if (and (map? cursor) (string? (:token cursor))) (count (:token cursor)) 0)
     (* id-bytes (if (coll? ids) (count ids) 0))))

(defn- ring-size
  [calls]
  (let [bytes (+ (* 2 (transduce (map key-bytes) max 0 calls))
                 (transduce (map cursor-bytes) max 0 calls))]
    (if (pos? bytes)
      (-> (quot ring-bytes bytes) (max always-kept) (min kept))
      kept)))

(defn op-log
  "What `may-have-forgotten?` needs to know of a history's calls."
  [calls]
  (let [calls   (remove h/failed? calls)
        logged  (filter (comp evictable :f) calls)
        by-ring (group-by h/shard-of logged)]
    {:rings     (dissoc by-ring nil)
     :lost      (get by-ring nil)
     :deletions (filterv #(= :delete-run (:f %)) calls)
     :size      (delay (ring-size calls))}))

(defn- during?
  "Whether the call may have taken effect between two places."
  [from until {:keys [index end]}]
  (and (< index until) (< from end)))

(defn may-have-forgotten?
  "Whether what was answered to `call`, and put into the op log at place `from` or later, may be forgotten at some place
  before `until`."
  [{:keys [rings lost deletions size]} call from until]
  (let [; A claim of which nothing is known may have been in the ring of any shard.
        ring   (concat (if-let [shard (h/shard-of call)] (get rings shard) (mapcat val rings)) lost)
        others (comp (filter #(during? from until %))
                     (map #(or (:op-id (:in %)) (:index %)))
                     (remove #{(:op-id (:in call))})
                     (distinct)
                     (take @size))]
    (boolean
      (or (some #(during? from until %) deletions)
          (and (evictable (:f call))
               (= @size (count (into [] others ring))))))))
