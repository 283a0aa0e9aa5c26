(ns gossip-rs.worker
  "What one worker does, as a pure state machine: `next-op` says what it tries next, `learn` takes in how that ended.

  A worker's *intents* are drawn from the seed before the run: dice, op ids, step widths. What an intent becomes depends on
  what the worker holds at that moment, so the same seed means the same intents and not the same history.

  A *plan* says what a workload wants of its workers:

    :run            the run's name
    :roots          [{:shard :start :end}], as registered
    :window         how many shards all workers contend for at a time
    :ops-per-shard  how many operations a shard gets, about, before the window moves on: a linearizability checker's price
                    grows with them
    :threads        how many workers there are
    :idle, :held    what to do without and with a lease: [[kind weight] ...]
    :wait           percent of acquires and claims that stand in line while the shard is leased, for `:wait-ms` at most
    :retry          percent of lost answers that are asked for again under the same op id
    :section-ms     how long a critical section lasts

  Keys are four bytes, as eight hex digits. Each checkpoint carries a fresh id at the end of all ids the shard has seen, so
  that a shard's cursor token reads back as the list of its checkpoints."
  (:require [gossip-rs.errors :as errors]
            [gossip-rs.history :as h]
            [gossip-rs.rng :as rng]))

;; Keys

(def ^:private key-space 4294967296)

(defn hex-key
  "A number of the key space as a key; its end is infinity."
  [n]
  (when (< n key-space)
    (format "%08x" n)))

(defn- start-number [k] (if k (Long/parseLong k 16) 0))
(defn- end-number [k] (if k (Long/parseLong k 16) key-space))

(defn roots
  "n shards that tile the key space from infinity to infinity."
  [n]
  (let [width (quot key-space n)]
    (mapv (fn [i]
            {:shard (format "s%03d" i)
             :start (when (pos? i) (hex-key (* i width)))
             :end   (when (< (inc i) n) (hex-key (* (inc i) width)))})
          (range n))))

(defn roots-for
  "How many roots a run needs for its windows."
  [{:keys [window ops-per-shard]} operations]
  (* window (inc (long (Math/ceil (/ operations (double (* window ops-per-shard))))))))

;; Intents

(defn intents
  "The endless intents of a worker under a seed. Lazy and memoised, so asking twice draws once."
  [seed thread]
  (let [s (rng/stream seed (str "worker-" thread))]
    (repeatedly (fn []
                  {:op-id (rng/hex-id s)
                   :roll  (rng/below s 100)
                   :retry (rng/below s 100)
                   :pick  (rng/below s 1000000)
                   :step  (rng/below s 1000)}))))

(defn intents-text
  "The first intents of each worker as text, for the digest."
  [seed threads n]
  (pr-str (for [thread (range threads)]
            (map (juxt :op-id :roll :retry :pick :step) (take n (intents seed thread))))))

(defn worker
  "A worker that has done nothing yet."
  [plan seed thread]
  {:plan    plan
   :thread  thread
   :worker  (str "w" thread)
   :intents (intents seed thread)
   :tried   0
   :lease   nil
   :past    []
   :done    []
   :ended   #{}
   :parked  []
   :born    []
   :lost    nil})

;; Choosing

(defn- weighted
  "The kind that a roll out of 100 falls on."
  [choices roll]
  (let [total (reduce + (map second choices))
        point (quot (* roll total) 100)]
    (loop [[[kind weight] & more] choices, seen 0]
      (if (or (< point (+ seen weight)) (empty? more))
        kind
        (recur more (+ seen weight))))))

(defn- window-shards
  "The shards that everybody contends for at this stage of the worker's life."
  [{:keys [plan tried]}]
  (let [{:keys [roots window ops-per-shard threads]} plan
        stage (quot (* tried threads) (* window ops-per-shard))
        first (min (* stage window) (- (count roots) window))]
    (map :shard (subvec roots first (+ first window)))))

(defn- target
  "A shard to acquire: now and then one that a split of ours made."
  [{:keys [born ended] :as state} {:keys [pick]}]
  (let [born   (remove ended born)
        window (remove ended (window-shards state))
        pool   (if (and (seq born) (or (empty? window) (zero? (rem pick 3)))) born window)]
    (when (seq pool)
      (nth pool (rem (quot pick 3) (count pool))))))

(defn- room
  "How many keys are left beyond the cursor."
  [{:keys [cursor start end]}]
  (- (end-number end)
     (if cursor (inc (start-number cursor)) (start-number start))))

(defn- next-cursor
  "A little further, but never out of the range; the same key when there is no room."
  [{:keys [cursor start end] :as lease} step]
  (let [from (if cursor (start-number cursor) (start-number start))]
    (hex-key (max (start-number start)
                  (min (+ from 1 step) (max from (dec (end-number end))))))))

(defn- wrong-cursor
  "A key that the service must refuse: behind what is done, or outside of the range; nil when there is none."
  [{:keys [cursor start end]} pick]
  (let [behind  (when (and cursor (< (start-number start) (start-number cursor)))
                  (hex-key (dec (start-number cursor))))
        outside (or end
                    (when (pos? (start-number start)) (hex-key (dec (start-number start)))))]
    (if (even? pick) (or behind outside) (or outside behind))))

(defn- cuts
  "n keys strictly inside of the range and beyond the cursor, evenly spaced; nil when there is no room."
  [{:keys [cursor start end] :as lease} n]
  (when (< 64 (room lease))
    (let [low  (if cursor (start-number cursor) (start-number start))
          step (quot (- (end-number end) low) (inc n))]
      (mapv #(hex-key (+ low (* % step))) (range 1 (inc n))))))

;; Operations

(defn- under
  "A write's value under a lease."
  [{:keys [shard fence worker]} op-id more]
  (merge {:shard shard, :worker worker, :fence fence, :op-id op-id} more))

(defn- checkpoint-id
  "Unique in the run."
  [{:keys [thread tried]}]
  (+ (* 1000000 (inc thread)) tried))

(defn- checkpoint
  [state lease {:keys [op-id step]}]
  {:f     :checkpoint
   :value (under lease op-id {:cursor (next-cursor lease step)
                              :ids    (conj (vec (:ids lease)) (checkpoint-id state))})})

(defn- other-payload
  "The same op id with another request: a caller's bug, which the service must refuse."
  [{:keys [f value] :as op}]
  (case f
    (:acquire :claim) (update-in op [:value :worker] str "x")
    (update-in op [:value :fence] inc)))

(defn- in-line
  "An acquire or a claim; some wait until the shard is free."
  [{{:keys [wait wait-ms]} :plan} op {:keys [step]}]
  (cond-> op
    (< (rem step 100) (or wait 0)) (assoc :wait-ms wait-ms)))

(defn- idle-op
  [{:keys [worker plan done parked] :as state} kind {:keys [op-id pick] :as intent}]
  (let [shard (target state intent)]
    (case kind
      :acquire    (when shard (in-line state {:f :acquire, :value {:shard shard, :worker worker, :op-id op-id}} intent))
      :claim      (in-line state {:f :claim, :value {:run (:run plan), :worker worker, :op-id op-id}} intent)
      :read-shard (when shard {:f :read-shard, :value {:shard shard}})
      :unpark     (when-let [shard (peek parked)] {:f :unpark, :value {:shard shard, :op-id op-id}})
      :stale      (when-let [lease (peek (:past state))] (checkpoint state lease intent))
      :replay     (when (seq done) (nth done (rem pick (count done))))
      :conflict   (when (seq done) (other-payload (nth done (rem pick (count done)))))
      nil)))

(defn- held-op
  [{:keys [lease past] :as state} kind {:keys [op-id pick step] :as intent}]
  (case kind
    :checkpoint     (checkpoint state lease intent)
    ; A renewal takes no op id in a history: it is the lease that it is about.
    :renew          {:f :renew, :value (dissoc (under lease op-id {:op-id op-id}) :op-id), :op-id op-id}
    :release        {:f :release, :value (under lease op-id {})}
    :complete       {:f :complete, :value (under lease op-id {:cursor (:cursor lease), :ids (vec (:ids lease))})}
    :park           {:f :park, :value (under lease op-id {:reason "the workload says so"})}
    :split-replace  (when-let [cuts (cuts lease (inc (rem pick 3)))]
                      {:f :split-replace, :value (under lease op-id {:cuts cuts})})
    :split-residual (when-let [[cut] (cuts lease 1)]
                      {:f :split-residual, :value (under lease op-id {:at cut})})
    :section        {:f     :section
                     :value (dissoc (under lease op-id {:believed-until (:believed-until lease)
                                                        :hold-ms        (+ (:section-ms (:plan state)) (rem step 100))})
                                    :op-id)}
    :wrong-cursor   (when-let [wrong (wrong-cursor lease pick)]
                      (assoc-in (checkpoint state lease intent) [:value :cursor] wrong))
    :stale          (when-let [lease (peek past)] (checkpoint state lease intent))
    (idle-op state kind intent)))

(defn next-op
  "[op state]: what the worker tries now, and the worker that tries it."
  [{:keys [plan lease lost] :as state}]
  (let [[intent & more] (:intents state)
        state   (assoc state :intents more, :tried (inc (:tried state)), :lost nil)
        again   (when (and lost (< (:retry intent) (:retry plan))) lost)
        kind    (weighted (if lease (:held plan) (:idle plan)) (:roll intent))
        op      (or again
                    (if lease (held-op state kind intent) (idle-op state kind intent))
                    ; What the kind needs is not there: look around instead.
                    (idle-op state :acquire intent)
                    (idle-op state :read-shard intent))]
    (if op
      [op state]
      ; Everything in this window has ended: go on to the next one, or read.
      (let [{:keys [window ops-per-shard threads]} plan]
        [{:f :read-run, :value {:run (:run plan)}}
         (update state :tried + (quot (* window ops-per-shard) threads))]))))

;; Learning

(def ^:private kept 4)

(defn- remember
  "The last few different things. What is done again does not count as newer: a grant must not outlive its lease in memory."
  [items x]
  (let [items (cond-> items (not-any? #{x} items) (conj x))]
    (if (< kept (count items)) (subvec items 1) items)))

(defn- drop-lease
  [{:keys [lease] :as state}]
  (cond-> (assoc state :lease nil)
    lease (update :past remember lease)))

(def ^:private lease-lost
  #{:fence-mismatch :lease-expired :not-owner :shard-terminal :shard-parked :run-ended})

(def ^:private replayable
  #{:acquire :claim :checkpoint :release :complete :split-replace :split-residual})

(defn- ours?
  "Whether an operation was about the lease we hold."
  [{:keys [lease]} {:keys [value]}]
  (and lease
       (= (:shard lease) (:shard value))
       (= (:fence lease) (:fence value))
       (= (:worker lease) (:worker value))))

(defn- told
  "The worker after a checkpoint that did, or may, take hold: the lease it was made under knows of it, held or given up. A
  worker that believes its lease to be over may still be the holder, and what it then writes counts. A replay of an earlier
  checkpoint tells nothing new."
  [state {:keys [value]} ks]
  (let [same? #(and % (= (select-keys % [:shard :fence :worker]) (select-keys value [:shard :fence :worker])))
        learn #(cond-> % (and (same? %) (< (count (:ids %)) (count (:ids value)))) (merge (select-keys value ks)))]
    (-> state
        (update :lease learn)
        (update :past (partial mapv learn)))))

(defn- learn-grant
  "A replayed grant may tell of a lease long lost; only a newer one than any we had is worth holding."
  [{:keys [worker lease past] :as state} {:keys [value]}]
  (let [known (for [l (cons lease past) :when (= (:shard l) (:shard value))] (:fence l))]
    (cond-> state
      (and (= worker (:worker value)) (not-any? #(<= (:fence value) %) known))
      (-> drop-lease
          (assoc :lease (select-keys value [:shard :worker :fence :cursor :start :end :ids :believed-until]))))))

(defn- learn-ok
  [state {:keys [f value] :as op}]
  (case f
    (:acquire :claim) (learn-grant state op)
    :renew            (cond-> state (ours? state op) (assoc-in [:lease :believed-until] (:believed-until value)))
    :checkpoint       (told state op [:cursor :ids])
    :split-residual   (cond-> state
                        (ours? state op)                (assoc-in [:lease :end] (:at value))
                        (:shard (:residual value))      (update :born conj (:shard (:residual value))))
    :release          (cond-> state (ours? state op) drop-lease)
    :park             (cond-> (update state :parked conj (:shard value)) (ours? state op) drop-lease)
    :unpark           (update state :parked (fn [parked] (filterv #(not= (:shard value) %) parked)))
    :complete         (cond-> (update state :ended conj (:shard value)) (ours? state op) drop-lease)
    :split-replace    (cond-> (-> state
                                  (update :ended conj (:shard value))
                                  (update :born into (map :shard (:children value))))
                        (ours? state op) drop-lease)
    :read-shard       (cond-> state
                        (contains? #{:done :split :cancelled} (:status value)) (update :ended conj (:shard value))
                        (= :parked (:status value))                           (update :parked #(vec (distinct (conj % (:shard value))))))
    state))

(defn- learn-fail
  [state {:keys [value] :as op}]
  (let [reason (errors/reason-of op)]
    (cond-> state
      (and (lease-lost reason) (ours? state op)) drop-lease
      (= :shard-terminal reason)                 (update :ended conj (:shard value))
      (= :shard-parked reason)                   (update :parked #(vec (distinct (conj % (:shard value)))))
      (= :shard-not-parked reason)               (update :parked (fn [p] (filterv #(not= (:shard value) %) p))))))

(defn- learn-lost
  "The answer was lost. Who gave the lease up must not go on as if it had kept it; a checkpoint's id may be there. A renewal
  is not asked for again: no history holds its op id, so a replayed answer would read as a new renewal."
  [state {:keys [f value] :as op}]
  (cond-> (assoc state :lost (when (not= :renew f) (select-keys op [:f :value :op-id])))
    (and (ours? state op) (#{:release :complete :park :split-replace} f)) drop-lease
    ; A lost cut may have taken the right part away.
    (and (ours? state op) (= :split-residual f))                        (assoc-in [:lease :end] (:at value))
    (= :checkpoint f)                                                   (told op [:ids])))

(defn learn
  "The worker after an operation of its own came to an end. `asked` is the operation as it was tried."
  [state asked {:keys [type] :as done}]
  (case type
    :ok   (cond-> (learn-ok state done)
            (replayable (:f done)) (update :done remember asked))
    :fail (learn-fail state done)
    :info (learn-lost state (merge asked (select-keys done [:error])))))

;; Driving everything to its end

(defn driver
  "One of `drivers` that, after the faults are healed, drive every shard to a terminal state. Each takes its share."
  [plan seed thread drivers]
  {:plan plan, :thread thread, :drivers drivers, :worker (str "w" thread)
   :intents (intents seed (str "driver-" thread)), :todo nil, :lease nil, :done? false})

(defn- share?
  [{:keys [thread drivers]} shard]
  (= thread (mod (hash shard) drivers)))

(defn next-drive
  "[op state], or nil when this driver's share is finished."
  [{:keys [todo lease plan worker done?] :as state}]
  (let [[{:keys [op-id]} & more] (:intents state)
        state (assoc state :intents more)
        {:keys [shard status]} (peek todo)]
    (cond done?               nil
          lease               [{:f :complete, :value (under lease op-id {:cursor (:cursor lease), :ids (vec (:ids lease))})} state]
          (nil? shard)        [{:f :read-run, :value {:run (:run plan)}} state]
          (= :parked status)  [{:f :unpark, :value {:shard shard, :op-id op-id}} state]
          :else               [{:f :acquire, :value {:shard shard, :worker worker, :op-id op-id}, :wait-ms 3000} state])))

(defn- later
  "Tries the shard on top after the others."
  [todo]
  (if (seq todo)
    (into [(peek todo)] (pop todo))
    todo))

(defn learn-drive
  "The driver after its operation came to an end. What went wrong is simply tried again: time is the bound."
  [{:keys [todo] :as state} {:keys [f type value] :as done}]
  (let [next-shard #(assoc % :lease nil, :todo (if (seq todo) (pop todo) todo))]
    (case [f type]
      [:read-run :ok] (let [left (->> (:shards value)
                                      (remove #(contains? #{:done :split :cancelled} (:status %)))
                                      (filter #(share? state (:shard %)))
                                      (sort-by :shard)
                                      vec)]
                        (assoc state :todo left, :done? (empty? left)))
      [:acquire :ok]  (assoc state :lease (select-keys value [:shard :worker :fence :cursor :ids]))
      [:complete :ok] (next-shard state)
      [:unpark :ok]   (assoc state :todo (conj (pop todo) {:shard (:shard value), :status :active}))
      (case (errors/reason-of done)
        :shard-terminal                  (next-shard state)
        :shard-parked                    (assoc state :lease nil, :todo (conj (pop todo) {:shard (:shard value), :status :parked}))
        :shard-not-parked                (assoc state :todo (conj (pop todo) {:shard (:shard value), :status :active}))
        (:fence-mismatch :lease-expired) (assoc state :lease nil)
        :lease-held                      (assoc state :todo (later todo))
        ; Lost or refused by a node: the next look at the run says how it stands.
        (if (= :read-run f)
          state
          (assoc state :lease nil, :todo nil))))))
