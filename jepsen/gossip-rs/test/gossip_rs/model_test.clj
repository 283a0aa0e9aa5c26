(ns gossip-rs.model-test
  (:require [clojure.test :refer [are deftest is testing]]
            [gossip-rs.model :as model]))

(defn- run
  "The state after operations [f value], or the first inconsistency's message."
  [& ops]
  (reduce (fn [state [f value]]
            (let [next (model/step state {:f f, :value value})]
              (if (model/inconsistent? next)
                (reduced (:inconsistent next))
                next)))
          (model/shard "10" "40")
          ops))

(defn- a
  ([fence] {:worker "a", :fence fence})
  ([fence cursor] {:worker "a", :fence fence, :cursor cursor}))

(deftest a-whole-life
  (is (= {:status :done, :fence 2, :lease nil, :cursor "30", :start "10", :end "40"}
         (run [:acquire (a 1)] [:checkpoint (a 1 "20")] [:release (a 1)]
              [:acquire {:worker "b", :fence 2, :cursor "20"}] [:renew {:worker "b", :fence 2}]
              [:read-shard {:status "Active", :fence 2, :cursor "20"}]
              [:complete {:worker "b", :fence 2, :cursor "30"}]))))

(deftest a-shard-is-made-once-and-in-a-run-that-goes-on
  (let [step  (fn [state f & [value]] (model/step state {:f f, :value value}))
        range {:start "10", :end "40", :fence 0}]
    (is (= (assoc (model/shard "10" "40") :cursor nil) (step model/absent :create (assoc range :cursor nil))))
    (is (not (contains? (step model/absent :create range) :cursor)) "the parent's cursor, which nobody told")
    (is (not (contains? (step model/absent :create (dissoc range :fence)) :fence)) "a run was deleted before")
    (is (model/inconsistent? (step (model/shard "10" "40") :create range)))
    (is (model/inconsistent? (step (step model/absent :complete-run) :create range)))
    (is (model/inconsistent? (step (step model/absent :cancel-run) :create range)))
    (is (model/inconsistent? (step model/absent :read-shard {:status :active})))
    (is (model/inconsistent? (step model/absent :acquire {:worker "a", :fence 1})))))

(deftest what-nobody-told-is-settled-by-the-first-who-does
  (let [step (fn [state f value] (model/step state {:f f, :value value}))
        seen (step model/unknown :read-shard {:status :active, :fence 4})]
    (is (= {:status :active, :fence 4} seen))
    (is (model/inconsistent? (step seen :read-shard {:fence 5})))
    (is (= "20" (:cursor (step seen :acquire {:worker "a", :fence 5, :cursor "20"}))))
    (testing "under a lease of whose holder nothing is known"
      (let [held (step seen :checkpoint {:worker "a", :fence 4, :cursor "20"})]
        (is (= {:worker "a"} (:lease held)))
        (is (model/inconsistent? (step held :checkpoint {:worker "b", :fence 4, :cursor "21"})))))))

(defn- lease
  [worker fence granted deadline]
  {:worker worker, :fence fence, :granted granted, :deadline deadline})

(deftest times-on-the-lease-clock-bind
  (are [possible? ops] (= possible? (map? (apply run ops)))
    true  [[:acquire (lease "a" 1 0 1000)] [:acquire (lease "b" 2 1000 2000)]]
    false [[:acquire (lease "a" 1 0 1000)] [:acquire (lease "b" 2 999 2000)]]
    true  [[:acquire (lease "a" 1 0 1000)] [:release (a 1)] [:acquire (lease "b" 2 5 2000)]]
    true  [[:acquire (lease "a" 1 0 1000)] [:renew (lease "a" 1 999 1999)]]
    false [[:acquire (lease "a" 1 0 1000)] [:renew (lease "a" 1 1000 2000)]]
    false [[:acquire (lease "a" 1 0 1000)] [:renew (lease "a" 1 900 1900)] [:acquire (lease "b" 2 1500 2500)]]
    ; the clock does not run backwards
    false [[:acquire (lease "a" 1 500 1000)] [:release (a 1)] [:acquire (lease "b" 2 400 1400)]]
    ; a deadline that an unanswered renewal may have moved
    true  [[:acquire (dissoc (lease "a" 1 0 1000) :deadline)] [:acquire (lease "b" 2 5 2000)]]
    true  [[:acquire (dissoc (lease "a" 1 0 1000) :deadline)] [:renew (dissoc (lease "a" 1 900 1900) :deadline)] [:acquire (lease "b" 2 1500 2500)]]
    ; one that only the renewal tells
    false [[:acquire (dissoc (lease "a" 1 0 1000) :deadline)] [:renew (lease "a" 1 900 1900)] [:acquire (lease "b" 2 1500 2500)]]))

(deftest reads-show-the-lease-on-record
  (are [possible? ops] (= possible? (map? (apply run ops)))
    true  [[:acquire (lease "a" 1 0 1000)] [:read-shard {:worker "a", :deadline 1000}]]
    false [[:acquire (lease "a" 1 0 1000)] [:read-shard {:worker "b", :deadline 1000}]]
    false [[:acquire (lease "a" 1 0 1000)] [:read-shard {:worker "a", :deadline 999}]]
    false [[:acquire (lease "a" 1 0 1000)] [:read-shard {:worker nil, :deadline nil}]]
    ; it tells nothing
    true  [[:acquire (lease "a" 1 0 1000)] [:read-shard {:status :active}]]
    ; there is none
    true  [[:acquire (lease "a" 1 0 1000)] [:release (a 1)] [:read-shard {:worker nil}]]
    false [[:acquire (lease "a" 1 0 1000)] [:release (a 1)] [:read-shard {:worker "a"}]]
    false [[:acquire (lease "a" 1 0 1000)] [:complete (a 1)] [:read-shard {:worker "a"}]]
    ; a read settles who was granted it, and until when
    false [[:acquire {:fence 1}] [:read-shard {:worker "a"}] [:checkpoint {:worker "b", :fence 1}]]
    false [[:acquire {:fence 1}] [:read-shard {:worker "a", :deadline 1000}] [:acquire (lease "b" 2 999 2000)]]))

(deftest a-fence-that-an-answer-tells-was-not-made-by-a-lost-grant
  (is (= 1 (:fence (run [:acquire {:worker "a", :untold #{1}}]))))
  (is (= "fence 1 was made by another operation" (run [:acquire {:worker "a", :untold #{2}}]))))

(deftest what-an-answer-does-not-say-matches-anything
  (is (= 2 (:fence (run [:acquire {:worker "a"}] [:claim {:run "r", :worker "b"}]))))
  (is (= 3 (:fence (run [:acquire {:worker "a"}] [:park (a 1)] [:unpark {}] [:acquire {:worker "b", :fence 3}]))))
  (is (= :active (:status (run [:read-shard {}])))))

(deftest what-cannot-be
  (are [message ops] (let [end (apply run ops)] (and (string? end) (re-find message end)))
    #"granted fence 2, it is 1"      [[:acquire (a 2)]]
    #"granted fence 1, it is 2"      [[:acquire (a 1)] [:acquire (a 1)]]
    #"under fence 1, it is 2"         [[:acquire (a 1)] [:acquire (a 2)] [:checkpoint (a 1 "20")]]
    #"after its lease was given up"   [[:acquire (a 1)] [:release (a 1)] [:checkpoint (a 1 "20")]]
    #"the lease is a's"               [[:acquire (a 1)] [:renew {:worker "b", :fence 1}]]
    #"cursor moves back"              [[:acquire (a 1)] [:checkpoint (a 1 "20")] [:checkpoint (a 1 "1f")]]
    #"outside of the range"           [[:acquire (a 1)] [:checkpoint (a 1 "40")]]
    #"granted while done"             [[:acquire (a 1)] [:complete (a 1)] [:acquire (a 2)]]
    #"granted while parked"           [[:acquire (a 1)] [:park (a 1)] [:acquire (a 2)]]
    #"granted while split"            [[:acquire (a 1)] [:split-replace (a 1)] [:acquire (a 2)]]
    #"granted while cancelled"        [[:cancel-run {}] [:acquire (a 2)]]
    #"unparked with fence 1"          [[:acquire (a 1)] [:park (a 1)] [:unpark {:fence 1}]]
    #"granted cursor nil, it is"      [[:acquire (a 1)] [:checkpoint (a 1 "20")] [:acquire {:fence 2, :cursor nil}]]
    #"is behind cursor"               [[:acquire (a 1)] [:checkpoint (a 1 "20")] [:split-residual (assoc (a 1) :at "20")]]
    #"run completed while"            [[:complete-run {}]]
    #"read fence 0, it is 1"          [[:acquire (a 1)] [:read-shard {:fence 0}]]
    #"read end"                       [[:acquire (a 1)] [:split-residual (assoc (a 1) :at "20")] [:read-shard {:end "40"}]]
    #"no shard operation"             [[:publish {}]]))
