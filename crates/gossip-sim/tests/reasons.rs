//! Coverage knows every reason of the error table: each is counted, or it is said why it cannot come up here.

use std::path::Path;

use gossip_sim::reach::{ELSEWHERE, REASONS, Reach};

/// The first cells of every table in the page that has a column of that name.
fn table() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    let page = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut reasons = Vec::new();
    let mut in_table = false;
    for line in page.lines() {
        in_table = line.starts_with("| reason |") || (in_table && line.starts_with('|'));
        let cell = line.strip_prefix("| `").and_then(|rest| rest.split_once('`')).map(|(reason, _)| reason.to_owned());
        reasons.extend(cell.filter(|_| in_table));
    }
    reasons
}

#[test]
fn every_reason_of_the_table_is_counted_or_excused() {
    let table = table();
    assert!(table.len() > 30, "{table:?}");
    let mut known: Vec<&str> = REASONS.iter().copied().chain(ELSEWHERE.iter().map(|(reason, _)| *reason)).collect();
    known.sort_unstable();
    let mut listed: Vec<&str> = table.iter().map(String::as_str).collect();
    listed.sort_unstable();
    assert_eq!(known, listed);
    assert!(ELSEWHERE.iter().all(|(_, why)| why.len() > 20));
}

#[test]
#[should_panic(expected = "is not in the table of reasons")]
fn a_reason_that_nobody_counts_is_a_bug() {
    Reach::default().reason("CONNECTION_LOST");
}
