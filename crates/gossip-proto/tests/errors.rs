//! The error table in the code, in the contract and in the docs is one table.

use std::path::Path;

use gossip_proto::errors::{DOMAIN, REASONS, Reason};
use gossip_proto::v1::ErrorReason;
use tonic::Code;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The status as gRPC's documentation spells it.
fn status(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn in_docs(row: &Reason) -> String {
    let definite = row.definite.map_or("says so", |definite| if definite { "yes" } else { "no" });
    format!("| `{}` | `{}` | {definite} | {} |", row.name, status(row.code), row.advice)
}

fn in_contract(row: &Reason, number: usize) -> String {
    let definite = row.definite.map_or("`definite` says", |definite| if definite { "Definite" } else { "Indefinite" });
    format!("  // {definite}, {}: {}.\n  {} = {number};", status(row.code), row.advice, row.name)
}

/// The rows under a heading's table, without its head.
fn table<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let section = text.split(heading).nth(1).unwrap_or_else(|| panic!("no section {heading:?}"));
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    lines.take_while(|line| line.starts_with('|')).skip(2).collect()
}

#[test]
fn the_docs_list_every_reason_as_the_code_has_it_and_no_other() {
    let docs = read("../../docs/errors.md");
    let expected: Vec<String> = REASONS.iter().map(in_docs).collect();
    assert_eq!(table(&docs, "## Reasons"), expected);
    assert!(docs.contains(&format!("`domain` `{DOMAIN}`")));
}

#[test]
fn the_contract_lists_every_reason_as_the_code_has_it_and_no_other() {
    let contract = read("proto/gossip/v1/errors.proto");
    let values = contract.split("ERROR_REASON_UNSPECIFIED = 0;\n").nth(1).expect("the enum's first value");
    let expected: Vec<String> = REASONS.iter().enumerate().map(|(at, row)| in_contract(row, at + 1)).collect();
    assert_eq!(values.trim_end().trim_end_matches('}').trim_end(), expected.join("\n"));
    for (at, row) in REASONS.iter().enumerate() {
        let compiled = ErrorReason::from_str_name(row.name).map(|reason| reason as usize);
        assert_eq!(compiled, Some(at + 1), "{}", row.name);
    }
}

#[test]
fn what_comes_along_comes_with_reasons_that_exist() {
    let docs = read("../../docs/errors.md");
    let mut named = 0;
    for row in table(&docs, "## What comes along") {
        let with = row.split('|').nth(2).expect("three columns");
        for name in with.split('`').skip(1).step_by(2) {
            assert!(REASONS.iter().any(|row| row.name == name), "`{name}` in {row}");
            named += 1;
        }
    }
    assert!(named > REASONS.len() / 3, "the table was not read");
}
