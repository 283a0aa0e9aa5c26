//! Arguments as people write them, and keys as they can be written.

use std::fmt::Write as _;
use std::time::Duration;

use gossip_client::{Range, ShardSpec};

use super::args::Key;

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("{e}; write for example 500ms, 30s, 5m"))
}

/// A time within which something can happen.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time.is_zero() { Err("no time at all; write for example 500ms, 30s, 5m".into()) } else { Ok(time) }
}

pub(super) fn op_id(text: &str) -> Result<u128, String> {
    let right = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wrong = || format!("expected 32 hexadecimal digits, got {} characters", text.chars().count());
    if !right {
        return Err(wrong());
    }
    u128::from_str_radix(text, 16).map_err(|_| wrong())
}

/// Text, or hexadecimal digits after `0x`.
pub(super) fn key(text: &str) -> Result<Key, String> {
    bytes(text).map(Key)
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let Some(digits) = text.strip_prefix("0x") else {
        return Ok(text.as_bytes().to_vec());
    };
    let wrong = || format!("{text:?}: after 0x expected an even number of hexadecimal digits");
    if digits.len() % 2 != 0 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong())).collect()
}

/// The key as [`key`] reads it: text if that is unmistakable, otherwise hexadecimal digits.
pub(super) fn show_key(key: &[u8]) -> String {
    let plain = |text: &&str| text.chars().all(|c| !c.is_control() && !c.is_whitespace());
    let text = std::str::from_utf8(key).ok().filter(plain);
    match text.filter(|text| !text.starts_with("0x") && !text.contains("..")) {
        Some(text) => text.to_string(),
        None => key.iter().fold("0x".to_string(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
    }
}

/// The range as [`shard`] reads it.
pub(super) fn show_range(range: &Range) -> String {
    format!("{}..{}", show_key(&range.start), show_key(&range.end))
}

/// `NAME:START..END`, or with `=` for a name that has a colon.
pub(super) fn shard(text: &str) -> Result<ShardSpec, String> {
    const FORM: &str = "expected NAME:START..END, for example a:..m";
    let (head, end) = text.split_once("..").ok_or(FORM)?;
    let (name, start) = head.split_once('=').or_else(|| head.split_once(':')).ok_or(FORM)?;
    if name.is_empty() {
        return Err(FORM.into());
    }
    Ok(ShardSpec::new(name, bytes(start)?, bytes(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_refused_where_something_must_happen_in_it() {
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert!(some_time("0s").unwrap_err().contains("no time"));
        assert_eq!(some_time("500ms"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn keys_are_text_or_hexadecimal() {
        assert_eq!(key("dog"), Ok(Key(b"dog".to_vec())));
        assert_eq!(key("0x00ff"), Ok(Key(vec![0, 255])));
        assert_eq!(key("0x"), Ok(Key(vec![])));
        for wrong in ["0x0", "0xzz", "0x+1", "0xé"] {
            assert!(key(wrong).unwrap_err().contains("hexadecimal"), "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_can_be_given_back() {
        for bytes in [&b"dog"[..], b"", b"0xdog", b"a b", b"a..b", b"\x00\xff", "schl\u{fc}ssel".as_bytes(), b"\n"] {
            let shown = show_key(bytes);
            assert_eq!(key(&shown), Ok(Key(bytes.to_vec())), "{shown}");
        }
        assert_eq!(show_key(b"dog"), "dog");
        assert_eq!(show_range(&Range::new("", "m")), "..m");
    }

    #[test]
    fn shards_are_name_and_range() {
        assert_eq!(shard("a:..m"), Ok(ShardSpec::new("a", "", "m")));
        assert_eq!(shard("b:m.."), Ok(ShardSpec::new("b", "m", "")));
        assert_eq!(shard("all:.."), Ok(ShardSpec::new("all", "", "")));
        assert_eq!(shard("x:0x00..0xff"), Ok(ShardSpec::new("x", [0], [255])));
        assert_eq!(shard("a:b=k:1..k:2"), Ok(ShardSpec::new("a:b", "k:1", "k:2")));
        for wrong in ["a", "a:", "a:m", "..", ":a..b", "a:0x0.."] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn op_ids_and_times_say_what_is_expected() {
        assert_eq!(op_id("000000000000000000000000000000ff"), Ok(255));
        for wrong in ["ff", "+00000000000000000000000000000ff", ""] {
            assert!(op_id(wrong).unwrap_err().contains("32 hexadecimal digits"), "{wrong}");
        }
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(duration("30").unwrap_err().contains("30s"));
    }
}
