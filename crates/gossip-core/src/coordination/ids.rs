//! The names by which callers speak of things, checked once at the edge.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a name, key or number was refused: the field, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// The field as the request names it, for example `shards[3].start`.
    pub field: String,
    /// What is wrong with it, in words.
    pub problem: String,
}

impl Invalid {
    /// A refusal of `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Invalid { field: field.into(), problem: problem.into() }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:expr, $extra:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest name, in bytes.
            pub const MAX: usize = $max;

            /// Checks `text`: 1 to [`Self::MAX`] bytes of ASCII letters, digits and the punctuation
            #[doc = concat!("`", $extra, "`.")]
            pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
                check_name(field, text, Self::MAX, $extra)?;
                Ok($name(text.into()))
            }

            /// Checks a name that did not come through [`Self::parse`]: one that was read back from the log.
            pub fn recheck(&self, field: &str) -> Result<(), Invalid> {
                check_name(field, &self.0, Self::MAX, $extra)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn check_name(field: &str, text: &str, max: usize, extra: &str) -> Result<(), Invalid> {
    if text.is_empty() || text.len() > max {
        return Err(Invalid::new(field, format!("must be 1 to {max} bytes long, is {}", text.len())));
    }
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || extra.as_bytes().contains(&b)) {
        return Ok(());
    }
    let stranger = text.chars().find(|c| !c.is_ascii_alphanumeric() && !extra.contains(*c)).unwrap_or_default();
    Err(Invalid::new(field, format!("may hold ASCII letters, digits and {extra} only, holds {stranger:?}")))
}

name!(
    /// Who owns runs: the outermost name space.
    TenantId, 128, "._-"
);
name!(
    /// One pass over a key space, unique within its tenant.
    RunId, 128, "._-"
);
name!(
    /// A holder of leases; often a host or pod name.
    WorkerId, 253, "._-:/@"
);
name!(
    /// A shard, unique within its run. Roots are named by the caller without `~`; the service names the children of a split
    /// `ROOT~N`, where N counts the splits' children of the run, so that a name never grows with the depth of splits.
    ShardId, 160, "._-:~"
);

impl ShardId {
    /// The longest name that a caller may give a root, in bytes.
    pub const MAX_ROOT: usize = 128;

    /// Checks a caller's name for a root.
    pub fn parse_root(field: &str, text: &str) -> Result<Self, Invalid> {
        check_root(field, text)?;
        Ok(ShardId(text.into()))
    }

    /// Checks a root's name that did not come through [`Self::parse_root`].
    pub fn recheck_root(&self, field: &str) -> Result<(), Invalid> {
        check_root(field, &self.0)
    }

    /// The root from which this shard came by splits: itself for a root.
    pub fn root(&self) -> &str {
        self.as_str().split('~').next().unwrap_or_default()
    }

    /// The name of the `n`th child made by splits in a run, descending from this shard's root.
    pub fn child(&self, n: u64) -> ShardId {
        ShardId(format!("{}~{n}", self.root()).into())
    }
}

fn check_root(field: &str, text: &str) -> Result<(), Invalid> {
    if text.len() > ShardId::MAX_ROOT {
        return Err(Invalid::new(field, format!("must be 1 to {} bytes long, is {}", ShardId::MAX_ROOT, text.len())));
    }
    if text.contains('~') {
        return Err(Invalid::new(field, "may not hold '~', which marks the children of a split"));
    }
    check_name(field, text, ShardId::MAX, "._-:")
}

/// The caller's random idempotency key for one mutation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "[u8; 16]", into = "[u8; 16]")]
pub struct OpId(pub u128);

// Stored as bytes: a random number only grows by a variable-length encoding.
impl From<[u8; 16]> for OpId {
    fn from(bytes: [u8; 16]) -> Self {
        OpId(u128::from_be_bytes(bytes))
    }
}

impl From<OpId> for [u8; 16] {
    fn from(op_id: OpId) -> Self {
        op_id.0.to_be_bytes()
    }
}

impl OpId {
    /// Reads 32 hexadecimal digits.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Invalid::new(field, "must be 32 hexadecimal digits (a random 128-bit number)"));
        }
        u128::from_str_radix(text, 16).map(OpId).map_err(|e| Invalid::new(field, e.to_string()))
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A per-shard counter raised by every grant. Writes must carry the current one exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence(pub u64);

impl Fence {
    /// The fence of the next grant.
    pub fn next(self) -> Fence {
        Fence(self.0 + 1)
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A reading of the replicated lease clock, in milliseconds. It has no relation to any wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp(pub u64);

impl Stamp {
    /// The stamp `millis` later.
    pub fn after(self, millis: u64) -> Stamp {
        Stamp(self.0.saturating_add(millis))
    }

    /// Milliseconds from now until this stamp; zero when it has passed.
    pub fn since(self, earlier: Stamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
