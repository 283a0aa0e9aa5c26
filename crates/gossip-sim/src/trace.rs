//! The readable trace of a run, and a fingerprint of every event for when nobody reads.

use std::fmt::Write;

use crate::rng::mix;
use crate::world::queue::Nanos;

/// Takes in what happens.
#[derive(Debug)]
pub struct Trace {
    fingerprint: u64,
    text: Option<String>,
}

impl Trace {
    /// With `readable` lines, or with the fingerprint alone.
    pub fn new(readable: bool) -> Self {
        Trace { fingerprint: 0, text: readable.then(String::new) }
    }

    /// Whether somebody reads it.
    pub fn is_readable(&self) -> bool {
        self.text.is_some()
    }

    /// Something happened, told by numbers: cheap, always on.
    #[inline]
    pub fn mark(&mut self, now: Nanos, what: u64) {
        self.fingerprint = mix(self.fingerprint ^ now ^ what.rotate_left(40));
    }

    /// Something happened, told in words, which are only made if somebody reads.
    #[inline]
    pub fn line(&mut self, now: Nanos, words: impl FnOnce() -> String) {
        if let Some(text) = &mut self.text {
            let (seconds, micros) = (now / 1_000_000_000, now / 1_000 % 1_000_000);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{seconds:>4}.{micros:06}  {}", words());
        }
    }

    /// Equal runs have equal fingerprints.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The lines.
    pub fn into_text(self) -> String {
        self.text.unwrap_or_default()
    }
}
