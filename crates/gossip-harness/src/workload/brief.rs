//! Brief runs: a session founds one for itself, tries to delete it while it lives, ends it and deletes it.
//!
//! Its name comes never again, and its life goes on only if it was surely made once: a copy of the founding that came after the
//! deletion would make another run of this name.

use std::time::Duration;

use super::caller::Outcome;
use super::course::{root_name, roots};
use super::worker::Worker;
use crate::pace::Pace;
use crate::rng::Stream;

impl Worker {
    /// The life of one. It ends early where a founding is not answered.
    pub(super) async fn brief_run(&mut self, session: u64, dice: &mut Stream, pace: &Pace) -> Outcome<()> {
        let run = format!("brief-{}-{session}", self.number);
        self.course.founds(&run);
        self.caller.create_once(&run, &self.nodes).await?;
        self.caller.start(&run, roots(&run, 1)).await?;
        self.turn(pace).await;
        // It lives: refused, or the judge will say so.
        let _ = self.caller.delete_run(&run).await;
        self.turn(pace).await;
        // Where the end was lost the deletion shows whether it came to pass.
        let _ = self.end_brief_run(&run, dice).await;
        self.turn(pace).await;
        self.caller.delete_run(&run).await?;
        self.course.deleted(&run);
        // Nothing of it is left.
        let op = self.caller.op_id();
        self.caller.acquire(op, &root_name(&run, 0), Duration::ZERO).await.map(drop)
    }

    async fn end_brief_run(&mut self, run: &str, dice: &mut Stream) -> Outcome<()> {
        let how = *dice.pick(&["complete-run", "fail-run", "cancel-run"]);
        if how != "cancel-run" {
            let op = self.caller.op_id();
            let grant = self.caller.acquire(op, &root_name(run, 0), Duration::ZERO).await?;
            if how == "complete-run" {
                let op = self.caller.op_id();
                self.caller.complete(op, &grant.lease).await?;
            }
        }
        self.caller.end_run(how, run).await
    }
}
