//! The store over many writes: what is deleted must go from the disk too.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use gossip_core::consensus::{Persist, SnapshotRecord};
use gossip_core::mutants::Planted;
use raft::eraftpb::{Entry, HardState};

use super::{Disk, Identity, Opened, Storage, look};

fn identity() -> Identity {
    Identity::new("c".into(), "n1".into(), 1, String::new())
}

/// The store as it is after a stop. sled gives its file back some time after it is dropped, which in production is the process's end.
fn opened_again(folder: &Path) -> Opened {
    let start = Instant::now();
    loop {
        let found = look(folder).unwrap().unwrap();
        match Disk::open(folder, found, Planted::NONE) {
            Ok(opened) => return opened,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(30), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn size(folder: &Path) -> u64 {
    let sizes = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() }
    });
    sizes.sum()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(drop).unwrap() }
    }
}

fn entry(index: u64, bytes: usize) -> Entry {
    // What does not compress, and differs from entry to entry.
    let data: Vec<u8> = (0..bytes as u64).map(|n| (n.wrapping_mul(index + 7) >> 3) as u8).collect();
    Entry { index, term: 1, data: data.into(), ..Entry::default() }
}

/// A round as the core makes it: entries of all sizes, then a snapshot that takes their place.
fn round(disk: &mut Disk, number: u64) {
    const ENTRIES: u64 = 8;
    let first = number * ENTRIES + 1;
    for index in first..first + ENTRIES {
        let bytes = [100, 20_000, 300_000, 2_000_000][index as usize % 4];
        let write =
            Persist { ticket: index, entries: vec![entry(index, bytes)], must_sync: true, ..Persist::default() };
        disk.write(&[write], true).unwrap();
    }
    let index = first + ENTRIES - 1;
    let data = entry(index, 4 << 20).data.to_vec();
    let snapshot = SnapshotRecord { index, term: 1, conf_state: Default::default(), data };
    let write = Persist {
        ticket: index,
        snapshot: Some(snapshot),
        keeps_log: true,
        compact_to: Some(index),
        ..Persist::default()
    };
    disk.write(&[write], true).unwrap();
}

#[test]
fn large_values_that_are_replaced_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Disk::open(folder.path(), identity(), Planted::NONE).unwrap().disk;
    let mut sizes = Vec::new();
    for number in 0..40 {
        round(&mut disk, number);
        sizes.push(size(folder.path()) >> 20);
    }
    let blobs = fs::read_dir(folder.path().join("db/blobs")).unwrap().count();
    assert_eq!(blobs, 0, "sled keeps values in files of their own");
    // 8.6 MiB come and go in each round.
    assert!(sizes[39] <= sizes[12] * 3 / 2, "MiB on disk after each round: {sizes:?}");
    drop(disk);
    let opened = opened_again(folder.path());
    assert_eq!(opened.recovered.snapshot.unwrap().data, entry(320, 4 << 20).data.to_vec());
}

#[test]
fn entries_that_are_replaced_in_the_middle_of_a_chunk_are_found_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Disk::open(folder.path(), identity(), Planted::NONE).unwrap().disk;
    let write = |ticket, entries: Vec<Entry>| Persist { ticket, entries, must_sync: true, ..Persist::default() };
    disk.write(&[write(1, (1..=9).map(|index| entry(index, 30_000)).collect())], true).unwrap();
    disk.write(&[write(2, vec![entry(5, 50), entry(6, 70_000)])], true).unwrap();
    drop(disk);
    let opened = opened_again(folder.path());
    let expected: Vec<Entry> =
        (1..=4).map(|index| entry(index, 30_000)).chain([entry(5, 50), entry(6, 70_000)]).collect();
    assert!(opened.recovered.entries == expected);
}

#[test]
fn a_database_that_lost_a_durable_vote_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let vote = |vote| Persist {
        ticket: 1,
        hard_state: Some(HardState { term: 2, vote, ..HardState::default() }),
        must_sync: true,
        ..Persist::default()
    };
    let mut disk = Disk::open(folder.path(), identity(), Planted::NONE).unwrap().disk;
    disk.write(&[vote(0)], true).unwrap();
    drop(disk);
    let mut disk = opened_again(folder.path()).disk;
    let (database, older) = (folder.path().join("db"), folder.path().join("older"));
    copy(&database, &older);
    disk.write(&[vote(3)], true).unwrap();
    drop(disk);
    assert_eq!(opened_again(folder.path()).recovered.hard_state.vote, 3);
    fs::remove_dir_all(&database).unwrap();
    fs::rename(&older, &database).unwrap();
    let found = look(folder.path()).unwrap().unwrap();
    let refused = Disk::open(folder.path(), found, Planted::NONE).unwrap_err().to_string();
    assert_eq!(refused, "the store is damaged: write 2 was durable, and the newest in the database is 1");
}
