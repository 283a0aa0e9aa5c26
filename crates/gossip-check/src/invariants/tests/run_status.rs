//! S3: what reads of runs show of their status.

use super::*;

fn root() -> TestCall {
    register(&[("s", Some("10"), Some("40"))])
}

fn read(run: &str, shard: &str) -> TestCall {
    read_run(vec![leaf("s", shard, None, None)]).out("status", Value::keyword(run)).by(9)
}

fn lost(f: &'static str) -> TestCall {
    end_run(f, "e").lost().by(5)
}

#[test]
fn a_read_that_shows_a_run_ended_is_an_end() {
    rejects!(S3: root(), lost("complete-run"), read("done", "done"), read("active", "done"));
    rejects!(S3: root(), lost("complete-run"), read("done", "done"), read("cancelled", "done"));
    rejects!(S3: root(), lost("cancel-run"), read("cancelled", "cancelled"), register(&[("t", None, None)]));
    rejects!(S3: root(), lost("cancel-run"), read("cancelled", "cancelled"), acquire("a", 1));
    rejects!(S3: root(), lost("cancel-run"), read("cancelled", "cancelled"), read_shard(status("active")));
    accepts!(S3: root(), lost("cancel-run"), read("cancelled", "cancelled"), end_run("cancel-run", "e"));
    accepts!(S3: root(), lost("cancel-run"), read("cancelled", "cancelled"), read("active", "active").out("stale?", true));
    accepts!(S3: root(), acquire("a", 1).lost(), lost("cancel-run"), read("cancelled", "cancelled"), acquire("a", 1));
}

#[test]
fn a_run_ends_by_what_was_asked_for() {
    rejects!(S3: root(), read("failed", "done"));
    rejects!(S3: root(), end_run("fail-run", "e").failed("run-ended"), read("failed", "done"));
    rejects!(S3: root(), lost("complete-run"), read("failed", "done"));
    rejects!(S3: root(), read("failed", "done"), lost("fail-run"));
    rejects!(S3: root(), vec![end_run("cancel-run", "c"), read("done", "done")], lost("complete-run"));
    accepts!(S3: root(), vec![lost("fail-run"), read("failed", "done")]);
    // It may have ended before the recording began.
    accepts!(S3: read("failed", "done"));
}

#[test]
fn an_ended_run_has_no_live_shard() {
    for state in ["active", "parked"] {
        rejects!(S3: root(), lost("cancel-run"), read("cancelled", state));
        rejects!(S3: root(), lost("complete-run"), read("done", state));
    }
    rejects!(S3: root(), lost("complete-run"), read("done", "cancelled"));
    accepts!(S3: root(), lost("complete-run"), read("done", "split"));
    accepts!(S3: root(), lost("fail-run"), read("failed", "cancelled"));
}

#[test]
fn a_started_run_is_never_open_again() {
    rejects!(S3: root(), acquire("a", 1), read("open", "active"));
    rejects!(S3: root(), read("active", "active"), read("open", "active"));
    has_nothing_for!(S3: root(), read("open", "active"));
    has_nothing_for!(S3: root(), acquire("a", 1).lost().by(3), read("open", "active"));
}

#[test]
fn shards_are_registered_before_the_start() {
    let late = || register(&[("t", None, Some("10"))]).input("op-id", "q").by(7);
    rejects!(S3: root(), acquire("a", 1), late());
    rejects!(S3: root(), end_run("start-run", "x"), late());
    rejects!(S3: root(), read("active", "active"), late(), late());
    accepts!(S3: root(), late().lost(), acquire("a", 1), late().by(8));
    accepts!(S3: root(), vec![acquire("a", 1), late()]);
    // One more try of the first, whose op id is not told.
    accepts!(S3: root(), acquire("a", 1), root().by(7));
    accepts!(S3: root(), acquire("a", 1), root().input("op-id", "q").by(7));
    rejects!(S3: root().input("op-id", "p"), acquire("a", 1), root().input("op-id", "q").by(7));
    has_nothing_for!(S3: root(), late());
}
