//! Reads: one tenant's own, page by page.

use gossip_core::consensus::StateMachine;
use gossip_core::coordination::limits::{MAX_METADATA, MAX_PAGE, MAX_PAGE_BYTES};
use gossip_core::coordination::*;

use crate::kit::*;

fn names(world: &World, after: Option<&str>, status: Option<ShardStatus>, limit: usize) -> (Vec<String>, bool) {
    let query = Query::Shards { run: run_id("r"), after: after.map(shard_id), status, limit };
    match world.read(query) {
        Ok(View::Shards { shards, more }) => (shards.into_iter().map(|s| s.shard.to_string()).collect(), more),
        other => panic!("{other:?}"),
    }
}

#[test]
fn shards_come_in_order_of_names_page_by_page() {
    let ranges = [("d", "a", "b"), ("b", "b", "c"), ("a", "c", "d"), ("c", "d", "e")];
    let mut world = World::with_roots(ranges.map(|(name, start, end)| spec(name, start, end)).to_vec());
    assert_eq!(names(&world, None, None, 2), (vec!["a".into(), "b".into()], true));
    assert_eq!(names(&world, Some("b"), None, 2), (vec!["c".into(), "d".into()], false));
    assert_eq!(names(&world, Some("d"), None, 2), (vec![], false));
    assert_eq!(names(&world, Some("bb"), None, 9), (vec!["c".into(), "d".into()], false));

    world.grant("b", "w");
    world.ok("r", park("b", "w", 1));
    world.grant("d", "w");
    world.ok("r", park("d", "w", 1));
    assert_eq!(names(&world, None, Some(ShardStatus::Parked), 1), (vec!["b".into()], true));
    assert_eq!(names(&world, Some("b"), Some(ShardStatus::Parked), 1), (vec!["d".into()], false));
    assert_eq!(names(&world, None, Some(ShardStatus::Active), 2), (vec!["a".into(), "c".into()], false));
    assert_eq!(names(&world, None, Some(ShardStatus::Done), 2), (vec![], false));
}

#[test]
fn runs_come_in_order_of_names_and_are_the_tenants_own() {
    let mut world = World::one_shard();
    for run in ["c", "a", "b"] {
        world.ok(run, Op::CreateRun { metadata: Vec::new() });
    }
    let page =
        |world: &World, after: Option<&str>, limit| match world.read(Query::Runs { after: after.map(run_id), limit }) {
            Ok(View::Runs { runs, more }) => (runs.into_iter().map(|r| r.run.to_string()).collect::<Vec<_>>(), more),
            other => panic!("{other:?}"),
        };
    assert_eq!(page(&world, None, 3), (vec!["a".into(), "b".into(), "c".into()], true));
    assert_eq!(page(&world, Some("c"), 3), (vec!["r".into()], false));
    world.tenant = "u";
    assert_eq!(page(&world, None, 3), (vec![], false));
}

#[test]
fn a_page_holds_one_to_a_thousand_rows() {
    let world = World::one_shard();
    for limit in [0, MAX_PAGE + 1, usize::MAX] {
        let refused = world.read(Query::Runs { after: None, limit });
        assert!(matches!(&refused, Err(Rejection::InvalidArgument(i)) if i.field == "page_size"), "{refused:?}");
    }
    assert_eq!(names(&world, None, None, MAX_PAGE), (vec!["s".into()], false));
}

#[test]
fn a_page_is_cut_by_its_bytes_and_no_row_is_left_out() {
    let name = |i: u32| format!("s{i:03}");
    let key = |i: u32| format!("k{i:03}");
    let heavy = |i| ShardSpec { metadata: vec![7; MAX_METADATA], ..spec(&name(i), &key(i), &key(i + 1)) };
    let world = World::with_roots((0..200).map(heavy).collect());
    let (mut seen, mut pages, mut after) = (Vec::new(), 0, None);
    loop {
        let (page, more) = names(&world, after.as_deref(), None, MAX_PAGE);
        assert!(page.len() * MAX_METADATA <= MAX_PAGE_BYTES, "{} rows", page.len());
        after = page.last().cloned();
        seen.extend(page);
        pages += 1;
        if !more {
            break;
        }
    }
    assert_eq!(seen, (0..200).map(name).collect::<Vec<_>>());
    assert_eq!(pages, 4, "200 rows of 16 KiB and a little, each page with as many as fit");
}

#[test]
fn what_is_not_there_is_not_found() {
    let world = World::one_shard();
    let shard = |run: &str, shard: &str| world.read(Query::Shard { run: run_id(run), shard: shard_id(shard) });
    assert_eq!(shard("r", "x"), Err(Rejection::ShardNotFound));
    assert_eq!(shard("x", "s"), Err(Rejection::RunNotFound));
    let list = Query::Shards { run: run_id("x"), after: None, status: None, limit: 1 };
    assert_eq!(world.read(list), Err(Rejection::RunNotFound));
}

#[test]
fn active_shards_and_live_leases_are_counted_as_of_the_last_entry() {
    let ranges = [("a", "a", "b"), ("b", "b", "c"), ("c", "c", "d"), ("d", "d", "e")];
    let mut world = World::with_roots(ranges.map(|(name, start, end)| spec(name, start, end)).to_vec());
    let loads = |world: &World| {
        let totals = world.state.totals();
        (totals.by_status.active, totals.leases)
    };
    assert_eq!(loads(&world), (4, 0));
    for shard in ["a", "b", "c"] {
        world.grant(shard, "w");
    }
    world.ok("r", complete("c", "w", 1));
    assert_eq!(loads(&world), (3, 2), "a lease ends with its shard");
    world.now += LEASE - 1;
    world.ok("r", renew("b", "w", 1, LEASE));
    assert_eq!(loads(&world), (3, 2));
    world.now += 1;
    assert_eq!(loads(&world), (3, 2), "time passes with entries alone");
    world.grant("d", "w");
    assert_eq!(loads(&world), (3, 2), "that of a is over at its deadline, before any claim has noticed");
    assert_eq!(granted(world.ok("r", claim("v"))).shard, shard_id("a"));
    assert_eq!(loads(&world), (3, 3));
    world.state.restore(&world.state.snapshot()).unwrap();
    assert_eq!(loads(&world), (3, 3));
}
