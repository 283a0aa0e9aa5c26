(ns gossip-rs.model-test
  (:require [clojure.test :refer [are deftest is]]
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
  (is (= {:status :done, :fence 2, :worker nil, :cursor "30", :start "10", :end "40"}
         (run [:acquire (a 1)] [:checkpoint (a 1 "20")] [:release (a 1)]
              [:acquire {:worker "b", :fence 2, :cursor "20"}] [:renew {:worker "b", :fence 2}]
              [:read-shard {:status "Active", :fence 2, :cursor "20"}]
              [:complete {:worker "b", :fence 2, :cursor "30"}]))))

(deftest what-an-answer-does-not-say-matches-anything
  (is (= 2 (:fence (run [:acquire {:worker "a"}] [:claim {:run "r", :worker "b"}]))))
  (is (= 3 (:fence (run [:acquire {:worker "a"}] [:park (a 1)] [:unpark {}] [:acquire {:worker "b", :fence 3}]))))
  (is (= :active (:status (run [:read-shard {}])))))

(deftest what-cannot-be
  (are [message ops] (let [end (apply run ops)] (and (string? end) (re-find message end)))
    #"granted fence 2 after fence 0"  [[:acquire (a 2)]]
    #"granted fence 1 after fence 1"  [[:acquire (a 1)] [:acquire (a 1)]]
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
    #"granted with cursor nil"        [[:acquire (a 1)] [:checkpoint (a 1 "20")] [:acquire {:fence 2, :cursor nil}]]
    #"is behind cursor"               [[:acquire (a 1)] [:checkpoint (a 1 "20")] [:split-residual (assoc (a 1) :at "20")]]
    #"run completed while"            [[:complete-run {}]]
    #"read fence 0, it is 1"          [[:acquire (a 1)] [:read-shard {:fence 0}]]
    #"read end"                       [[:acquire (a 1)] [:split-residual (assoc (a 1) :at "20")] [:read-shard {:end "40"}]]
    #"no shard operation"             [[:publish {}]]))
