//! The background work of a guard: renew in time, and tell in time when that fails.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::belief::{Belief, Lost};
use crate::clock::Moment;
use crate::error::Error;

/// When a keeper acts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// From one renewal to the next.
    pub(crate) every: Duration,
    /// How long before the belief ends the user is told.
    pub(crate) notice: Duration,
}

impl Pace {
    /// A machine that was suspended has timers that are late: waits are cut so that none is late by more than half the notice.
    fn slice(self) -> Duration {
        (self.notice / 2).max(Duration::from_millis(1))
    }
}

/// Renews from `due` on until the lease is lost. `renew` is given the moment from which the renewed lease counts, and answers with the end of
/// the new belief.
pub(crate) async fn keep<F>(belief: Arc<Belief>, pace: Pace, mut due: Moment, mut renew: impl FnMut(Moment) -> F)
where
    F: Future<Output = Result<Moment, Error>>,
{
    while belief.check().is_ok() {
        let now = belief.now();
        if now >= belief.until().before(pace.notice) {
            return belief.lose(Lost::Unconfirmed);
        }
        if now < due {
            let next = due.min(belief.until().before(pace.notice));
            sleep(next.since(now).min(pace.slice())).await;
            continue;
        }
        let outcome = tokio::select! {
            outcome = renew(now) => outcome,
            () = last_moment(&belief, pace) => continue,
        };
        match outcome {
            Ok(until) => {
                belief.extend(until);
                due = now.after(pace.every);
            }
            Err(error) if error.is_lease_lost() && !belief.is_ending() => return belief.lose(Lost::Refused(error)),
            // The client has tried its best for a while; the keeper goes on until the notice is due.
            Err(_) => due = belief.now().after(pace.every / 8),
        }
    }
}

/// Comes when the user must be told.
async fn last_moment(belief: &Belief, pace: Pace) {
    loop {
        let (now, last) = (belief.now(), belief.until().before(pace.notice));
        if now >= last {
            return;
        }
        sleep(last.since(now).min(pace.slice())).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;
    use crate::clock::{Clock, believed_until};

    const LEASE: Duration = Duration::from_secs(10);
    const FIRST: Moment = Moment::from_nanos(3_000_000_000);
    const PACE: Pace = Pace { every: Duration::from_secs(3), notice: Duration::from_secs(1) };

    /// The test runtime's virtual clock, which only goes on when all tasks wait.
    #[derive(Debug)]
    struct Virtual(Instant);

    impl Clock for Virtual {
        fn now(&self) -> Moment {
            Moment::from_nanos(0).after(self.0.elapsed())
        }
    }

    fn belief() -> Arc<Belief> {
        let clock = Arc::new(Virtual(Instant::now()));
        let until = believed_until(clock.now(), LEASE, 0.1);
        Arc::new(Belief::new(clock, until))
    }

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    fn refused(reason: &str) -> Error {
        Error::own(reason, true, "test")
    }

    #[tokio::test(start_paused = true)]
    async fn it_renews_and_then_tells_a_notice_before_the_belief_ends() {
        let belief = belief();
        let sent = Mutex::new(Vec::new());
        let renew = |now: Moment| {
            let mut sent = sent.lock().unwrap();
            sent.push(now);
            let works = sent.len() <= 2;
            async move { if works { Ok(believed_until(now, LEASE, 0.1)) } else { pending().await } }
        };
        keep(belief.clone(), PACE, FIRST, renew).await;
        assert_eq!(*sent.lock().unwrap(), [at(3_000), at(6_000), at(9_000)]);
        assert_eq!(belief.until(), at(15_000), "nine seconds from the last renewal that was answered");
        assert_eq!(belief.now(), at(14_000), "told one second before, although a renewal is under way");
        assert_eq!(belief.check(), Err(Lost::Unconfirmed));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_tried_again_until_the_notice_is_due() {
        let belief = belief();
        let tries = Mutex::new(0);
        keep(belief.clone(), PACE, FIRST, |_| {
            *tries.lock().unwrap() += 1;
            async { Err(refused("UNREACHABLE")) }
        })
        .await;
        assert_eq!(belief.now(), at(8_000));
        assert!(*tries.lock().unwrap() > 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_after_failures_saves_the_lease() {
        let belief = belief();
        let tries = Mutex::new(0);
        let keeper = keep(belief.clone(), PACE, FIRST, |now| {
            let mut tries = tries.lock().unwrap();
            *tries += 1;
            let works = *tries > 3;
            async move { if works { Ok(believed_until(now, LEASE, 0.1)) } else { Err(refused("UNREACHABLE")) } }
        });
        tokio::select! {
            () = keeper => panic!("gave up"),
            () = sleep(LEASE * 10) => {}
        }
        assert_eq!(belief.check(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_the_service_calls_gone_is_told_at_once() {
        for reason in ["FENCE_MISMATCH", "LEASE_EXPIRED", "SHARD_TERMINAL", "RUN_ENDED"] {
            let belief = belief();
            keep(belief.clone(), PACE, FIRST, |_| async { Err(refused(reason)) }).await;
            assert_eq!(belief.now(), at(3_000));
            assert_eq!(belief.lost().await, Lost::Refused(refused(reason)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_holder_itself_is_ending_is_not_told_as_lost_while_it_does() {
        let belief = belief();
        let ending = belief.end();
        let keeper = tokio::spawn(keep(belief.clone(), PACE, FIRST, |_| async { Err(refused("SHARD_TERMINAL")) }));
        sleep(Duration::from_secs(5)).await;
        assert_eq!(belief.check(), Ok(()));
        drop(ending);
        keeper.await.unwrap();
        assert_eq!(belief.lost().await, Lost::Refused(refused("SHARD_TERMINAL")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_does_not_bring_a_lost_lease_back() {
        let belief = belief();
        belief.lose(Lost::Unconfirmed);
        belief.extend(at(1_000_000));
        assert_eq!((belief.until(), belief.check()), (at(9_000), Err(Lost::Unconfirmed)));
        belief.lose(Lost::Finished);
        assert_eq!(belief.lost().await, Lost::Unconfirmed, "the first reason stays");
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_goes_by_the_clock_even_if_no_timer_fired() {
        let belief = belief();
        tokio::time::advance(Duration::from_millis(8_999)).await;
        assert_eq!(belief.check(), Ok(()));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(belief.check(), Err(Lost::Unconfirmed));
    }
}
