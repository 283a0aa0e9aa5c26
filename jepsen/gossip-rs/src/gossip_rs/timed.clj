(ns gossip-rs.timed
  "Steps at fixed offsets as a generator."
  (:require [jepsen.generator :as gen]))

; `origin` is an atom, since Jepsen asks again for a step whose time has not come and forgets what it was told before.
(defrecord Timed [steps origin]
  gen/Generator
  (op [this _ ctx]
    (when-let [[{:keys [at] :as step} & more] (seq steps)]
      (let [origin-ns (swap! origin #(or % (:time ctx)))
            op        (gen/fill-in-op (assoc (dissoc step :at) :time (max (:time ctx) (+ origin-ns (* 1000000 at)))) ctx)]
        (if (= :pending op)
          [:pending this]
          [op (->Timed more origin)]))))
  (update [this _ _ _] this))

(defn timed
  "Each of `steps`, operations with `:at` in milliseconds, at its offset from when this generator was first asked."
  [steps]
  (->Timed steps (atom nil)))
