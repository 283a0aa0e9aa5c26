//! Byte strings in one piece.
//!
//! serde writes a vector of bytes number by number. In `postcard` the outcome is the same, but a large state takes many times longer,
//! and the node that writes or reads a snapshot serves nobody meanwhile.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer>(bytes: &impl AsRef<[u8]>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes.as_ref())
}

pub(crate) fn deserialize<'de, T: From<Vec<u8>>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_bytes(Whole(PhantomData))
}

struct Whole<T>(PhantomData<T>);

impl<'de, T: From<Vec<u8>>> Visitor<'de> for Whole<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<T, E> {
        Ok(bytes.to_vec().into())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<T, E> {
        Ok(bytes.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<T, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = numbers.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Whole(#[serde(with = "crate::bytes")] Vec<u8>);

    #[test]
    fn the_bytes_on_disk_are_those_of_a_plain_vector() {
        for length in [0, 1, 127, 128, 70_000] {
            let plain: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let bytes = postcard::to_stdvec(&plain).unwrap();
            assert_eq!(postcard::to_stdvec(&Whole(plain.clone())).unwrap(), bytes);
            let back: Whole = postcard::from_bytes(&bytes).unwrap();
            assert!(back.0 == plain);
        }
    }
}
