//! One call as several attempts.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Error, Next, UNREACHABLE};
use crate::pool::Direction;

/// What a second try of a call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It changes nothing: any failure is definite, any try safe.
    Read,
    /// It carries an op id: a second try gets the first one's answer.
    Mutation,
    /// It carries none: tried again only while it is certain that nothing happened.
    Once,
}

/// How long and how often to try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) kind: Kind,
    /// The whole call.
    pub(crate) patience: Duration,
    /// One attempt.
    pub(crate) slice: Duration,
    /// Attempts after the first one.
    pub(crate) retries: u32,
}

/// One attempt: where to, and in which time.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) direction: Direction,
    pub(crate) time: Duration,
}

/// The first pause between two attempts; it doubles up to [`LONGEST_PAUSE`]. A new leader is there a few hundred milliseconds
/// after the old one fell, and should not wait for its clients.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// With less time than this no attempt is begun after another: it could end in nothing but silence, and make a call whose failure was
/// definite an open one.
const LEAST_TIME: Duration = Duration::from_millis(5);

/// Calls `attempt`, which keeps to its time, until it succeeds, fails for good, or time or tries are over. A failed attempt
/// tells which address it asked.
///
/// The failure is definite only if every attempt's was: an earlier attempt without an answer may still take place, and then a
/// later refusal (such as "the shard has ended") may be its very effect.
pub(crate) async fn with_retries<T, F>(policy: Policy, mut attempt: impl FnMut(Attempt) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, (Error, String)>>,
{
    let Policy { kind, patience, slice, mut retries } = policy;
    let end = Instant::now() + patience;
    let mut direction = Direction::Stay;
    let mut pause = FIRST_PAUSE;
    let mut hints = 0;
    let mut all_definite = true;
    // The last word of a node. Why the whole call failed is rather that than who could not be reached in the end.
    let mut said: Option<Error> = None;
    loop {
        let time = slice.min(end.saturating_duration_since(Instant::now()));
        let (mut error, address) = match attempt(Attempt { direction, time }).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        let next = error.next();
        all_definite &= error.definite || kind == Kind::Read;
        error.definite = all_definite;
        if error.reason != UNREACHABLE {
            said = Some(error.clone());
        }
        if next == Next::GiveUp || retries == 0 || kind == Kind::Once && !all_definite {
            return Err(in_the_end(error, said));
        }
        retries -= 1;
        let hint = error.leader_address().map(str::to_string);
        let wait = match (next, &hint) {
            // A fresh hint is followed at once, but not for ever: two nodes may point at each other.
            (Next::AskLeader, Some(_)) if hints < 2 => Duration::ZERO,
            _ => spread(error.retry_after.unwrap_or(pause)),
        };
        hints += u32::from(next == Next::AskLeader);
        if Instant::now() + wait >= end {
            return Err(in_the_end(error, said));
        }
        if !wait.is_zero() {
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        // Sleep ends later than it was asked to.
        if end.saturating_duration_since(Instant::now()) < LEAST_TIME {
            return Err(in_the_end(error, said));
        }
        direction = match (next, hint) {
            (Next::AskLeader | Next::AskAnother, Some(leader)) if leader != address => Direction::To(leader),
            (Next::AskLeader | Next::AskAnother, _) => Direction::Away(address),
            _ => Direction::Stay,
        };
    }
}

/// The failure of a whole call, whose last attempt failed with `error`.
fn in_the_end(error: Error, said: Option<Error>) -> Error {
    match said {
        Some(said) if error.reason == UNREACHABLE => {
            Error { definite: error.definite, message: format!("{}; then {}", said.message, error.message), ..said }
        }
        _ => error,
    }
}

/// Up to a quarter longer, so that clients that failed together do not come back together.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + rand::random::<f64>() / 4.0)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::future::ready;

    use super::*;
    use crate::error::{DEADLINE, TRANSPORT};

    const POLICY: Policy = Policy {
        kind: Kind::Mutation,
        patience: Duration::from_secs(5),
        slice: Duration::from_secs(1),
        retries: u32::MAX,
    };

    fn refusal(reason: &str, definite: bool) -> Error {
        Error::own(reason, definite, "test")
    }

    fn hint(leader: &str) -> Error {
        Error { metadata: [("leader-address".into(), leader.into())].into(), ..refusal("NOT_LEADER", true) }
    }

    /// Runs a script of outcomes, each from node `n`; answers with the result and the directions taken.
    async fn run(policy: Policy, script: Vec<Result<u32, Error>>) -> (Result<u32, Error>, Vec<Direction>) {
        let script = RefCell::new(VecDeque::from(script));
        let directions = RefCell::new(Vec::new());
        let result = with_retries(policy, |attempt| {
            directions.borrow_mut().push(attempt.direction);
            let outcome = script.borrow_mut().pop_front().expect("another attempt than the script foresees");
            ready(outcome.map_err(|error| (error, "n".to_string())))
        })
        .await;
        assert!(script.borrow().is_empty(), "attempts left over");
        (result, directions.into_inner())
    }

    fn away() -> Direction {
        Direction::Away("n".into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_that_another_try_cannot_change_is_final() {
        for reason in ["LEASE_HELD", "SHARD_TERMINAL", "FENCE_MISMATCH", "OP_ID_CONFLICT", "INVALID_ARGUMENT"] {
            let (result, _) = run(POLICY, vec![Err(refusal(reason, true))]).await;
            assert_eq!(result, Err(refusal(reason, true)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_hint_is_followed_at_once() {
        let begun = Instant::now();
        let (result, directions) = run(POLICY, vec![Err(hint("b:1")), Ok(7)]).await;
        assert_eq!(result, Ok(7));
        assert_eq!(directions, [Direction::Stay, Direction::To("b:1".into())]);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn hints_in_a_circle_are_followed_with_pauses() {
        let begun = Instant::now();
        let circle = ["b:1", "a:1", "b:1", "a:1"].map(|leader| Err(hint(leader)));
        let (result, _) = run(POLICY, circle.into_iter().chain([Ok(1)]).collect()).await;
        assert_eq!(result, Ok(1));
        let paused = begun.elapsed();
        assert!(paused >= FIRST_PAUSE * 3 && paused <= FIRST_PAUSE * 4, "{paused:?}: two at once, then 1 + 2 pauses");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stops_may_name_the_leader_and_one_that_names_itself_is_left() {
        let stopping = Error { reason: "STOPPING".into(), ..hint("b:1") };
        let (result, directions) = run(POLICY, vec![Err(stopping), Err(hint("n")), Ok(1)]).await;
        assert_eq!(result, Ok(1));
        assert_eq!(directions, [Direction::Stay, Direction::To("b:1".into()), away()]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_answer_is_passed_over() {
        let script = vec![Err(refusal(UNREACHABLE, true)), Err(refusal(TRANSPORT, false)), Ok(1)];
        let (result, directions) = run(POLICY, script).await;
        assert_eq!(result, Ok(1));
        assert_eq!(directions, [Direction::Stay, away(), away()]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_lost_answer_makes_the_whole_call_indefinite() {
        for refused in ["LEASE_HELD", "SHARD_TERMINAL", "FENCE_MISMATCH"] {
            let (result, _) = run(POLICY, vec![Err(refusal(TRANSPORT, false)), Err(refusal(refused, true))]).await;
            assert_eq!(result, Err(refusal(refused, false)), "the first attempt may have taken place");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_without_op_id_is_sent_again_only_when_nothing_happened() {
        let once = Policy { kind: Kind::Once, ..POLICY };
        let (result, _) = run(once, vec![Err(refusal(DEADLINE, false))]).await;
        assert_eq!(result, Err(refusal(DEADLINE, false)));
        let (result, _) = run(once, vec![Err(hint("b:1")), Err(refusal(UNREACHABLE, true)), Ok(3)]).await;
        assert_eq!(result, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_is_always_definite_and_always_tried_again() {
        let read = Policy { kind: Kind::Read, ..POLICY };
        let (result, _) = run(read, vec![Err(refusal(DEADLINE, false)), Err(refusal("RUN_NOT_FOUND", true))]).await;
        assert_eq!(result, Err(refusal("RUN_NOT_FOUND", true)));
    }

    #[tokio::test(start_paused = true)]
    async fn without_retries_there_is_one_attempt() {
        let single = Policy { retries: 0, ..POLICY };
        for error in [hint("b:1"), refusal(TRANSPORT, false), refusal("OVERLOADED", true)] {
            let (result, _) = run(single, vec![Err(error.clone())]).await;
            assert_eq!(result, Err(error));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_word_of_a_node_counts_for_more_than_who_could_not_be_reached() {
        let script = || vec![Err(refusal("NOT_LEADER", true)), Err(refusal(UNREACHABLE, true))];
        let (result, _) = run(Policy { retries: 1, ..POLICY }, script()).await;
        let error = result.unwrap_err();
        assert_eq!((&error.reason[..], &error.message[..]), ("NOT_LEADER", "test; then test"));
        let lost = vec![Err(refusal(TRANSPORT, false)), Err(refusal(UNREACHABLE, true))];
        let (result, _) = run(Policy { retries: 1, ..POLICY }, lost).await;
        assert_eq!(result.map_err(|error| (error.reason, error.definite)), Err((TRANSPORT.into(), false)));
        let (result, _) = run(Policy { retries: 0, ..POLICY }, vec![Err(refusal(UNREACHABLE, true))]).await;
        assert_eq!(result, Err(refusal(UNREACHABLE, true)), "nobody said anything");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_with_the_last_reason_and_the_service_sets_the_pause() {
        let attempts = Cell::new(0);
        let result: Result<(), Error> = with_retries(POLICY, |_| {
            attempts.set(attempts.get() + 1);
            let error = Error { retry_after: Some(Duration::from_millis(1_900)), ..refusal("OVERLOADED", true) };
            ready(Err((error, "n".to_string())))
        })
        .await;
        assert_eq!(result.unwrap_err().reason, "OVERLOADED");
        assert_eq!(attempts.get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn no_attempt_is_begun_in_which_nobody_could_answer() {
        let policy = Policy { patience: Duration::from_millis(300), ..POLICY };
        for _ in 0..500 {
            let (mut times, mut least) = (0, policy.slice);
            let result: Result<(), Error> = with_retries(policy, |attempt| {
                (times, least) = (times + 1, least.min(attempt.time));
                ready(Err((refusal(UNREACHABLE, true), "n".to_string())))
            })
            .await;
            assert_eq!(result, Err(refusal(UNREACHABLE, true)));
            assert!(times > 3 && least >= LEAST_TIME, "{times} attempts, one within {least:?}");
        }
    }
}
