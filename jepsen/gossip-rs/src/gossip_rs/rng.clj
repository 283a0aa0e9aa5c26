(ns gossip-rs.rng
  "Seeded random streams, one for each purpose, so that drawing more for one never shifts another. The same SplitMix64
  streams as in the local tier: one seed means the same schedule at both."
  (:refer-clojure :exclude [shuffle])
  (:import (java.nio ByteBuffer)
           (java.security MessageDigest)))

(set! *unchecked-math* true)

(defn stream
  "The stream for a purpose under a seed: a mutable source, for one thread."
  ^longs [^long seed ^String purpose]
  (let [hash (doto (MessageDigest/getInstance "SHA-256")
               (.update (.array (.putLong (ByteBuffer/allocate 8) seed)))
               (.update (.getBytes purpose "UTF-8")))]
    (long-array [(.getLong (ByteBuffer/wrap (.digest hash)))])))

(defn bits
  "The next 64 bits."
  ^long [^longs s]
  (let [state (+ (aget s 0) -7046029254386353131)
        _     (aset s 0 state)
        z     (* (bit-xor state (unsigned-bit-shift-right state 30)) -4658895280553007687)
        z     (* (bit-xor z (unsigned-bit-shift-right z 27)) -7723592293110705685)]
    (bit-xor z (unsigned-bit-shift-right z 31))))

(defn below
  "Uniform in [0, bound)."
  ^long [s ^long bound]
  (assert (pos? bound))
  ; The high word of the unsigned product.
  (let [n (bits s)]
    (+ (Math/multiplyHigh n bound) (bit-and (bit-shift-right n 63) bound))))

(defn between
  "Uniform in [low, high]."
  ^long [s ^long low ^long high]
  (assert (<= low high))
  (+ low (below s (+ 1 (- high low)))))

(defn chance
  "True in percent of 100 cases."
  [s ^long percent]
  (< (below s 100) percent))

(defn pick
  "One of a vector's items."
  [s items]
  (nth items (below s (count items))))

(defn shuffle
  "The vector's items in another order (Fisher-Yates)."
  [s items]
  (loop [items items
         i     (dec (count items))]
    (if (< i 1)
      items
      (let [j (below s (inc i))]
        (recur (assoc items i (nth items j) j (nth items i))
               (dec i))))))

(defn hex-id
  "128 bits as hex: an op id."
  [s]
  (format "%016x%016x" (bits s) (bits s)))
