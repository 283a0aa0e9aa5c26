//! Splits lose no key and give none away twice.

use gossip_core::coordination::limits::{MAX_CHILDREN, Quotas};
use gossip_core::coordination::*;
use gossip_core::mutants::Planted;

use crate::kit::*;

fn point(field: &str, problem: &str) -> Rejection {
    Rejection::SplitPointInvalid { field: field.into(), problem: problem.into() }
}

const INSIDE: &str = "must lie strictly inside the shard's range";
const CURSOR: &str = "must be above the cursor";
const RISING: &str = "must be above the cut before it";

fn children(answer: Answer) -> Vec<(String, Range)> {
    match answer {
        Answer::Replaced { children } => children.into_iter().map(|c| (c.shard.to_string(), c.range)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn children_tile_the_parent_and_inherit() {
    let mut world = World::one_shard();
    world.grant("s", "w");
    world.ok("r", checkpoint("s", "w", 1, "c"));
    let made = children(world.ok("r", replace("s", "w", 1, &["d", "m"])));
    let names: Vec<_> = ["s~0", "s~1", "s~2"].map(String::from).to_vec();
    assert_eq!(made, names.into_iter().zip([range("b", "d"), range("d", "m"), range("m", "y")]).collect::<Vec<_>>());

    let parent = world.shard("s");
    assert_eq!((parent.status, parent.lease, parent.range), (ShardStatus::Split, None, range("b", "y")));
    for (i, (name, owned)) in made.iter().enumerate() {
        let child = world.shard(name);
        assert_eq!((child.status, child.fence, child.lease), (ShardStatus::Active, Fence(0), None));
        assert_eq!(
            (child.range, child.parent, child.metadata),
            (owned.clone(), Some(shard_id("s")), b"meta-s".to_vec())
        );
        assert_eq!(child.cursor, (i == 0).then(|| cursor("c")));
    }
    assert_eq!(world.refused("r", acquire("s", "w")), Rejection::ShardTerminal { status: ShardStatus::Split });
    assert_eq!(granted(world.ok("r", claim("w"))).shard, shard_id("s~0"));
}

#[test]
fn a_residual_split_keeps_the_left_part_and_the_lease() {
    let mut world = World::one_shard();
    world.grant("s", "w");
    world.ok("r", checkpoint("s", "w", 1, "c"));
    let answer = world.ok("r", residual("s", "w", 1, "m"));
    let residual = answer::ChildShard { shard: shard_id("s~0"), range: range("m", "y") };
    assert_eq!(answer, Answer::Split { residual });
    let parent = world.shard("s");
    assert_eq!((parent.status, parent.range, parent.fence), (ShardStatus::Active, range("b", "m"), Fence(1)));
    assert_eq!((parent.lease.unwrap().worker, parent.cursor), (worker_id("w"), Some(cursor("c"))));
    let sibling = world.shard("s~0");
    assert_eq!((sibling.cursor, sibling.metadata, sibling.parent), (None, b"meta-s".to_vec(), Some(shard_id("s"))));
    assert_eq!(world.refused("r", checkpoint("s", "w", 1, "m")), Rejection::CursorOutOfRange);
    world.ok("r", checkpoint("s", "w", 1, "lzzz"));
}

#[test]
fn names_count_through_the_run_and_never_grow_with_depth() {
    let mut world = World::with_roots(vec![spec("a", "", "m"), spec("b", "m", "")]);
    world.grant("a", "w");
    world.ok("r", replace("a", "w", 1, &["g"]));
    world.grant("b", "w");
    world.ok("r", residual("b", "w", 1, "p"));
    world.grant("a~1", "w");
    let made = children(world.ok("r", replace("a~1", "w", 1, &["h", "i"])));
    assert_eq!(made.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a~3", "a~4", "a~5"]);
    assert_eq!(world.shard("b~2").parent, Some(shard_id("b")));
}

#[test]
fn cuts_lie_inside_rise_and_stay_above_the_cursor() {
    let mut world = World::one_shard();
    world.grant("s", "w");
    world.ok("r", checkpoint("s", "w", 1, "c"));
    let cases: [(&[&str], &str, &str); 8] = [
        (&["a"], "cuts[0]", INSIDE),
        (&["b"], "cuts[0]", INSIDE),
        (&["y"], "cuts[0]", INSIDE),
        (&["m", "z"], "cuts[1]", INSIDE),
        (&["c"], "cuts[0]", CURSOR),
        (&["bb", "m"], "cuts[0]", CURSOR),
        (&["m", "m"], "cuts[1]", RISING),
        (&["m", "p", "n"], "cuts[2]", RISING),
    ];
    for (cuts, field, problem) in cases {
        assert_eq!(world.refused("r", replace("s", "w", 1, cuts)), point(field, problem), "{cuts:?}");
    }
    for (at, problem) in [("a", INSIDE), ("b", INSIDE), ("y", INSIDE), ("c", CURSOR), ("bz", CURSOR)] {
        assert_eq!(world.refused("r", residual("s", "w", 1, at)), point("at", problem), "{at}");
    }
    // The very next key after the cursor will do.
    world.ok("r", residual("s", "w", 1, "c\0"));
    assert_eq!(world.shard("s").range, range("b", "c\0"));
}

#[test]
fn a_shard_without_bounds_can_be_split_anywhere() {
    let mut world = World::with_roots(vec![spec("s", "", "")]);
    world.grant("s", "w");
    let made = children(world.ok("r", replace("s", "w", 1, &["\0", "\u{7f}"])));
    let ranges: Vec<_> = made.into_iter().map(|(_, range)| range).collect();
    assert_eq!(ranges, [range("", "\0"), range("\0", "\u{7f}"), range("\u{7f}", "")]);
}

fn numbered_cuts(n: usize) -> Op {
    let cuts = (1..=n).map(|i| (i as u32).to_be_bytes().as_slice().into()).collect();
    Op::SplitReplace { lease: lease("s", "w", 1), cuts }
}

#[test]
fn a_split_makes_256_children_and_not_257() {
    let mut world = World::with_roots(vec![spec("s", "", "")]);
    world.grant("s", "w");
    let over = Rejection::LimitExceeded { field: "cuts".into(), max: 255, actual: 256 };
    assert_eq!(world.refused("r", numbered_cuts(MAX_CHILDREN)), over);
    assert_eq!(children(world.ok("r", numbered_cuts(MAX_CHILDREN - 1))).len(), 256);
    assert_eq!(world.run("r").counts, answer::ShardCounts { active: 256, split: 1, ..Default::default() });
}

#[test]
fn the_tenants_quota_counts_children() {
    let mut world = World::empty(Quotas { shards_per_tenant: 4, runs_per_tenant: 9 }, Planted::NONE);
    world.ok("r", Op::CreateRun { metadata: Vec::new() });
    world.ok("r", register(vec![spec("s", "", "")], true));
    world.grant("s", "w");
    let over = |actual| Rejection::LimitExceeded { field: "quota.shards_per_tenant".into(), max: 4, actual };
    assert_eq!(world.refused("r", replace("s", "w", 1, &["a", "b", "c"])), over(5));
    world.ok("r", residual("s", "w", 1, "m"));
    world.ok("r", replace("s", "w", 1, &["c"]));
    world.grant("s~0", "w");
    assert_eq!(world.refused("r", residual("s~0", "w", 1, "p")), over(5));
}

#[test]
fn a_split_drops_the_lease_of_the_parent_only() {
    let mut world = World::one_shard();
    world.grant("s", "w1");
    world.ok("r", replace("s", "w1", 1, &["m"]));
    let split = Rejection::ShardTerminal { status: ShardStatus::Split };
    assert_eq!(world.refused("r", checkpoint("s", "w1", 1, "n")), split);
    assert_eq!(world.grant("s~0", "w2").fence, Fence(1));
    assert_eq!(world.grant("s~1", "w3").fence, Fence(1));
    world.ok("r", complete("s~0", "w2", 1));
    world.ok("r", complete("s~1", "w3", 1));
    world.ok("r", Op::CompleteRun);
}
