(ns gossip-rs.invariants.oplog
  "What the service may have forgotten of its answers, as `docs/protocol.md` has it (*How long an answer can be replayed*).

  The answers of `complete`, of splits and of operations on runs stay as long as the run; those of the newest 1,024 deletions
  longer. Those of all other mutations share a ring for each shard: the newest 64, fewer if they would hold more than 256 KiB of
  ranges and cursors, but always three. An op id whose answer is forgotten is a new request.

  Whether an answer was forgotten is not in the history, so it is asked whether it *may* have been: whether so many other
  operations may have put an answer into the ring between the earliest moment at which the answer may have been put there and the
  moment in question. A call that was never answered may have done so at any time after its invocation; a claim that never
  was, in any ring of its run. It is enough to count each op id once: the first that gets into a ring twice must have been
  forgotten in between, and by so many others.

  The bytes are those of the longest range and cursor anywhere in the history, since what a lost grant held is not told. A
  cursor's token stands beside its key, or as the `:ids` that are kept in it.

  Whether two requests are the same has three answers, since a recorder may note what the service is never sent, and may send what
  is not known here. A difference in what is known to be sent makes them two; one in anything else, but for what is known to be a
  note, leaves it open. So whichever list lacks a key, nobody is accused for it."
  (:require [gossip-rs.history :as h]
            [gossip-rs.invariants.facts :as facts :refer [cursor-key]]))

(def kept
  "Answers in a ring, if they are small."
  64)

(def always-kept
  "Answers in a ring, however large they are."
  3)

(def kept-deletions
  "Deletions that a tenant remembers, whatever becomes of the run's name."
  1024)

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

(def ^:private sent
  "What a request says to the service, as far as it is known here, which holds it against the first of its op id. At the top of a
  registration `:start?` (or `:start`) asks to start the run."
  [:run :shard :worker :op-id :shards :cuts :at :fence :cursor :ids :reason :lease-ms :start? :start :metadata])

(def ^:private noted
  "What a recorder notes of a call and does not send, or what the service does not hold against the first request of an op id."
  #{:node :attempt :wait-ms})

(defn request
  "What a call is known to have sent, nil where it says nothing. Calls that differ in it sent two requests."
  [{:keys [f in]}]
  (into [f] (map #(get in %)) sent))

(defn asked
  "As `request`, whatever the op id is."
  [call]
  (request (update call :in #(when (map? %) (dissoc % :op-id)))))

(defn may-be-nameless-try?
  "Whether two calls of which one tells no op id may be tries of one operation."
  [a b]
  (and (or (nil? (:op-id (:in a))) (nil? (:op-id (:in b))))
       (= (asked a) (asked b))
       (or (not (h/ok? a)) (not (h/ok? b)) (= (answer a) (answer b)))))

(defn- said
  "All that a call tells, but for notes of the recorder."
  [{:keys [in]}]
  (when (map? in)
    (into {} (remove (fn [[k v]] (or (nil? v) (noted k)))) in)))

(defn surely-same-request?
  "Whether two calls surely sent the same: they differ in nothing, but for what is known not to be sent."
  [a b]
  (and (= (request a) (request b))
       (= (said a) (said b))))

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

(def block
  "So many calls are looked through one by one."
  64)

(defn- reach
  "Of operations and how far they reach, {operation end} and #{[end operation]}, with one more call."
  [[ends order] [_ end operation]]
  (let [known (get ends operation -1)]
    (if (< known end)
      [(assoc ends operation end) (-> order (disj [known operation]) (conj [end operation]))]
      [ends order])))

(defn ring
  "Calls [index end operation], in order of invocation, that may have put an answer into one ring. `:furthest` has, at each whole
  block of them, the operations up to there that reach furthest, [end operation], one more than are ever asked for. So a question
  costs the same however many calls there were."
  [logged]
  {:logged   (vec logged)
   :furthest (->> (partition block logged)
                  (reductions #(reduce reach %1 %2) [{} (sorted-set)])
                  rest
                  (mapv (fn [[_ order]] (into [] (take (inc kept)) (rseq order)))))})

(defn- begun
  "How many of the calls were invoked before a place."
  [logged until]
  (loop [low 0, high (count logged)]
    (if (= low high)
      low
      (let [middle (quot (+ low high) 2)]
        (if (< (first (logged middle)) until)
          (recur (inc middle) high)
          (recur low middle))))))

(defn before
  "Enough of the calls of a ring that were invoked before a place, as [end operation], to tell how many operations reach beyond
  another one."
  [{:keys [logged furthest]} until]
  (let [begun  (begun logged until)
        blocks (quot begun block)]
    (concat (when (pos? blocks) (furthest (dec blocks)))
            (map rest (subvec logged (* blocks block) begun)))))

(defn op-log
  "What `may-have-forgotten?` needs to know of a history."
  [{:keys [calls runs] :as facts}]
  (let [numbers (into {} (map-indexed (fn [i operation] [operation i])) (distinct (map #(facts/operation facts %) calls)))
        number  #(numbers (facts/operation facts %))
        calls   (remove h/failed? calls)
        logged  (filter (comp evictable :f) calls)
        rings   (fn [by calls] (update-vals (group-by by calls) (fn [calls] (ring (map (juxt :index :end number) calls)))))]
    {:number    number
     :runs      runs
     :run-of    #(facts/run-of facts %)
     :rings     (delay (rings h/shard-of (filter h/shard-of logged)))
     ; Of each run, as far as it is told: which shard they were granted is not.
     :lost      (delay (rings (comp :run :in) (remove h/shard-of logged)))
     :deletions (filterv #(= :delete-run (:f %)) calls)
     :size      (delay (ring-size calls))}))

(defn- rings-of
  "The rings that the answer to a call on a run may be in, and the lost claims that may be in one of them. A claim of which nothing
  is known may have been in that of any shard of its run."
  [{:keys [rings lost runs]} call run]
  (let [may-be? #(or (nil? run) (nil? %) (= run %))]
    (concat (if-let [shard (h/shard-of call)]
              (keep @rings [shard])
              (for [[shard ring] @rings :when (may-be? (runs shard))] ring))
            (for [[other ring] @lost :when (may-be? other)] ring))))

(defn may-have-forgotten?
  "Whether what was answered to `call`, and put into the op log at place `from` or later, may be forgotten at some place
  before `until`."
  [{:keys [deletions size number run-of] :as log} call from until]
  (let [run      (run-of call)
        own      (number call)
        deleted? (fn [{:keys [in index end]}]
                   (and (or (nil? run) (nil? (:run in)) (= run (:run in)))
                        (< index until)
                        (< from end)))
        others   (comp (mapcat #(before % until))
                       (filter (fn [[end operation]] (and (< from end) (not= own operation))))
                       (map second)
                       (distinct)
                       (take @size))]
    (if (= :delete-run (:f call))
      (< kept-deletions (count deletions))
      (boolean
        (or (some deleted? deletions)
            (and (evictable (:f call))
                 (= @size (count (into [] others (rings-of log call run))))))))))
