//! What nodes' logs say that no sound node says: panics and error-level lines.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

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

/// A panic's first line, or an event of level ERROR as text (`TIME ERROR target: message`) or as JSON.
fn is_bad(line: &str) -> bool {
    if line.contains("panicked at ") || line.contains("\"level\":\"ERROR\"") {
        return true;
    }
    line.split_whitespace().take(2).any(|word| word == "ERROR")
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
    fn many_bad_lines_are_counted_and_few_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n1.log");
        std::fs::write(&path, "x ok\n".to_owned() + &"t ERROR a: b\n".repeat(9)).unwrap();
        let (kept, count) = bad_lines(&path).unwrap();
        assert_eq!((kept.len(), count), (KEPT, 9));
        assert_eq!(kept[0], "2: t ERROR a: b");
    }
}
