//! EDN values.

use std::fmt;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

/// A value of EDN. Order of a map's or set's members is kept, but does not count for equality.
#[derive(Debug, Clone, Default)]
pub enum Value {
    #[default]
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Char(char),
    Str(String),
    /// Without the colon.
    Keyword(String),
    Symbol(String),
    Vec(Vec<Value>),
    List(Vec<Value>),
    Map(Map),
    Set(Vec<Value>),
    /// The tag without the `#`, and what it stands before.
    Tagged(String, Box<Value>),
}

/// Pairs in the order in which they were written. Maps of histories have few keys, so that a scan is the fastest look-up.
#[derive(Debug, Clone, Default)]
pub struct Map(Vec<(Value, Value)>);

impl Map {
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn from_pairs(pairs: Vec<(Value, Value)>) -> Self {
        Self(pairs)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.0.iter().map(|(k, v)| (k, v))
    }

    /// What stands at a keyword, given without its colon.
    pub fn get(&self, keyword: &str) -> Option<&Value> {
        self.0.iter().find(|(k, _)| matches!(k, Value::Keyword(name) if name == keyword)).map(|(_, v)| v)
    }

    /// What stands at any key.
    pub fn at(&self, key: &Value) -> Option<&Value> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// Puts or replaces.
    pub fn insert(&mut self, key: Value, value: Value) {
        match self.0.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    /// This map with the pairs of `newer` put over it.
    #[must_use]
    pub fn merged(&self, newer: &Map) -> Map {
        let mut merged = self.clone();
        for (key, value) in newer.iter() {
            merged.insert(key.clone(), value.clone());
        }
        merged
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(k, v)| other.at(k) == Some(v))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nil, Self::Nil) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Char(a), Self::Char(b)) => a == b,
            (Self::Str(a), Self::Str(b))
            | (Self::Keyword(a), Self::Keyword(b))
            | (Self::Symbol(a), Self::Symbol(b)) => a == b,
            // As in Clojure, a list equals a vector of the same members.
            (Self::Vec(a) | Self::List(a), Self::Vec(b) | Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::Set(a), Self::Set(b)) => a.len() == b.len() && a.iter().all(|x| b.contains(x)),
            (Self::Tagged(a, x), Self::Tagged(b, y)) => a == b && x == y,
            _ => false,
        }
    }
}

impl Value {
    /// A number that equal values share, so that they can be looked up instead of compared one by one. As for equality, the
    /// order of a map's or set's members does not count, nor whether a sequence is a list or a vector.
    pub(crate) fn digest(&self) -> u64 {
        const SEED: FixedState = FixedState::with_seed(0);
        let sum = |of: &mut dyn Iterator<Item = u64>| of.fold(0_u64, u64::wrapping_add);
        match self {
            Self::Nil => SEED.hash_one(0),
            Self::Bool(it) => SEED.hash_one((1, it)),
            Self::Int(it) => SEED.hash_one((2, it)),
            // The two zeros are equal.
            Self::Float(it) => SEED.hash_one((3, (it + 0.0).to_bits())),
            Self::Char(it) => SEED.hash_one((4, it)),
            Self::Str(it) => SEED.hash_one((5, it)),
            Self::Keyword(it) => SEED.hash_one((6, it)),
            Self::Symbol(it) => SEED.hash_one((7, it)),
            Self::Vec(items) | Self::List(items) => {
                items.iter().fold(SEED.hash_one(8), |so_far, item| SEED.hash_one((so_far, item.digest())))
            }
            Self::Map(map) => {
                let pairs = &mut map.iter().map(|(key, value)| SEED.hash_one((key.digest(), value.digest())));
                SEED.hash_one((9, sum(pairs)))
            }
            Self::Set(items) => SEED.hash_one((10, sum(&mut items.iter().map(Self::digest)))),
            Self::Tagged(tag, inner) => SEED.hash_one((11, tag, inner.digest())),
        }
    }

    pub fn keyword(name: impl Into<String>) -> Self {
        Self::Keyword(name.into())
    }

    /// A map with keywords as keys.
    pub fn map<K: Into<String>, V: Into<Value>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Map(Map(pairs.into_iter().map(|(k, v)| (Self::keyword(k), v.into())).collect()))
    }

    /// This map with one more pair, or with another value at that keyword. Anything but a map becomes one.
    #[must_use]
    pub fn with(self, keyword: &str, value: impl Into<Value>) -> Self {
        let mut map = match self {
            Self::Map(map) => map,
            _ => Map::new(),
        };
        map.insert(Self::keyword(keyword), value.into());
        Self::Map(map)
    }

    /// What stands at a keyword of a map; none for anything but a map.
    pub fn get(&self, keyword: &str) -> Option<&Value> {
        self.as_map()?.get(keyword)
    }

    /// The same, `nil` being none.
    pub fn some(&self, keyword: &str) -> Option<&Value> {
        self.get(keyword).filter(|v| !v.is_nil())
    }

    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            Self::Tagged(_, inner) => inner.as_map(),
            _ => None,
        }
    }

    /// The members of a vector, list or set.
    pub fn items(&self) -> Option<&[Value]> {
        match self {
            Self::Vec(items) | Self::List(items) | Self::Set(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The text of a string, keyword or symbol.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Str(s) | Self::Keyword(s) | Self::Symbol(s) => Some(s),
            _ => None,
        }
    }

    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(i) => Some(*i),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// Neither nil nor false, as Clojure sees it.
    pub fn is_truthy(&self) -> bool {
        !matches!(self, Self::Nil | Self::Bool(false))
    }

    /// The bytes of a key, which is a string of hex digits; none for anything else, `nil` (infinity) included.
    pub fn as_hex_key(&self) -> Option<Vec<u8>> {
        let digits = self.as_str()?.as_bytes();
        if !digits.len().is_multiple_of(2) {
            return None;
        }
        digits.chunks_exact(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
    }

    /// A key as the string of hex digits that histories carry.
    pub fn hex_key(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let text =
            bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from);
        Self::Str(text.collect())
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write::value(f, self)
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::Str(s.to_owned())
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::Str(s)
    }
}

impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Self::Int(i)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Self {
        Self::Float(x)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::Vec(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(item: Option<T>) -> Self {
        item.map_or(Self::Nil, Into::into)
    }
}
