//! What nodes' logs say that no sound node says: panics and error-level lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// Lines of one log that are kept; the rest is counted.
const KEPT: usize = 5;

/// The bad lines of one log, each with its number; at most a few, and how many there were.
///
/// # Errors
/// When the file cannot be read.
pub fn bad_lines(path: &Path) -> Result<(Vec<String>, usize)> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let (mut kept, mut count) = (Vec::new(), 0);
    for (number, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line.with_context(|| format!("reading {}", path.display()))?;
        let line = String::from_utf8_lossy(&line);
        if is_bad(&line) {
            count += 1;
            if kept.len() < KEPT {
                kept.push(format!("{}: {}", number + 1, line.trim_end()));
            }
        }
    }
    Ok((kept, count))
}

/// Whether a line with all of `words` was written to a log behind its first `from` bytes.
///
/// # Errors
/// When the file cannot be read.
pub fn says(path: &Path, from: u64, words: &[&str]) -> Result<bool> {
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from)).with_context(|| format!("reading {}", path.display()))?;
    file.read_to_end(&mut bytes).with_context(|| format!("reading {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).lines().any(|line| words.iter().all(|word| line.contains(word))))
}

/// A panic's first line, or an event of level ERROR as text (`TIME ERROR target: message`) or as JSON.
fn is_bad(line: &str) -> bool {
    if line.contains("panicked at ") || line.contains("\"level\":\"ERROR\"") {
        return true;
    }
    line.split_whitespace().take(2).any(|word| word == "ERROR")
}

/// The lines of a JSON log with their time on a clock whose zero was at `origin`. Lines without a time take that of the line before.
///
/// # Errors
/// When the file cannot be read.
pub fn timed_lines(path: &Path, origin: SystemTime) -> Result<Vec<(i64, String)>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let zero = origin.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64;
    let (mut lines, mut at) = (Vec::new(), 0);
    for line in BufReader::new(file).split(b'\n') {
        let line = String::from_utf8_lossy(&line.with_context(|| format!("reading {}", path.display()))?).into_owned();
        if let Some(nanos) = timestamp(&line) {
            at = (nanos - zero).max(at);
        }
        lines.push((at, line));
    }
    Ok(lines)
}

/// Nanoseconds since 1970 of `"timestamp":"2026-11-24T02:29:46.270460Z"`.
fn timestamp(line: &str) -> Option<i64> {
    let text = line.split_once("\"timestamp\":\"")?.1.split_once('Z')?.0;
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hours, minutes): (i64, i64) = (time.next()?.parse().ok()?, time.next()?.parse().ok()?);
    let seconds: f64 = time.next()?.parse().ok()?;
    // Days from civil, by Howard Hinnant's algorithm.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some((days * 86_400 + hours * 3600 + minutes * 60) * 1_000_000_000 + (seconds * 1e9) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_error_events_are_found_in_both_formats() {
        for line in [
            "thread 'main' panicked at src/main.rs:1:1:",
            "2026-11-23T10:00:00.1Z ERROR gossip_worker::store: checksum mismatch",
            r#"{"timestamp":"2026-11-23T10:00:00Z","level":"ERROR","fields":{}}"#,
        ] {
            assert!(is_bad(line), "{line}");
        }
        for line in [
            "2026-11-23T10:00:00.1Z  WARN gossip_worker::peer: link to n2: connection ERROR",
            "2026-11-23T10:00:00.1Z  INFO gossip_worker: an ERROR in words",
            "",
        ] {
            assert!(!is_bad(line), "{line}");
        }
    }

    #[test]
    fn lines_have_their_time_on_the_histories_clock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n1.log");
        std::fs::write(&path, "{\"timestamp\":\"2026-11-23T10:15:31.250000Z\"}\nplain\n").unwrap();
        let origin = UNIX_EPOCH + std::time::Duration::from_secs(1_795_428_930);
        let lines = timed_lines(&path, origin).unwrap();
        assert_eq!(lines.iter().map(|(at, _)| at / 1_000_000).collect::<Vec<_>>(), [1250, 1250]);
    }

    #[test]
    fn words_count_only_behind_the_place_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n1.log");
        std::fs::write(&path, "clock control\nrate 2\n").unwrap();
        assert!(says(&path, 0, &["clock control"]).unwrap());
        assert!(!says(&path, 14, &["clock control"]).unwrap());
        assert!(!says(&path, 0, &["clock control", "rate 2"]).unwrap(), "not in one line");
        assert!(!says(&path, 99, &["clock control"]).unwrap(), "a place behind the end");
        assert!(says(&folder.path().join("n2.log"), 0, &[""]).is_err());
    }

    #[test]
    fn many_bad_lines_are_counted_and_few_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n1.log");
        std::fs::write(&path, "x ok\n".to_owned() + &"t ERROR a: b\n".repeat(9)).unwrap();
        let (kept, count) = bad_lines(&path).unwrap();
        assert_eq!((kept.len(), count), (KEPT, 9));
        assert_eq!(kept[0], "2: t ERROR a: b");
    }
}
