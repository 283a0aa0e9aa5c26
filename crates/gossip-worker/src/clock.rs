//! The node's clocks, and the file by which a test bends them.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gossip_core::time::Time;
use nix::time::{ClockId, clock_gettime};

/// Between two looks at the control file.
const LOOK: u64 = 20_000_000;

/// A node's monotonic clock: `CLOCK_BOOTTIME`, which goes on while the machine is suspended. With a control file its rate and the
/// wall clock's offset are what the file says.
#[derive(Debug)]
pub struct Clock {
    control: Option<PathBuf>,
    control_text: String,
    rate: f64,
    wall_offset_ms: i64,
    /// Where the present rate began: the system's clock and ours.
    anchor: (u64, u64),
    looked: u64,
}

/// What a control file says, line by line: `rate=1.05` (of the monotonic clock) and `wall_offset_ms=-30000`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Control {
    rate: f64,
    wall_offset_ms: i64,
}

impl Control {
    fn parse(text: &str) -> Result<Self, String> {
        let mut control = Control { rate: 1.0, wall_offset_ms: 0 };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.split_once('=') {
                Some(("rate", value)) => {
                    let rate: f64 = value.parse().map_err(|_| format!("rate: {value:?} is not a number"))?;
                    if !(0.01..=100.0).contains(&rate) {
                        return Err(format!("rate: must be 0.01 to 100, is {rate}"));
                    }
                    control.rate = rate;
                }
                Some(("wall_offset_ms", value)) => {
                    control.wall_offset_ms =
                        value.parse().map_err(|_| format!("wall_offset_ms: {value:?} is not a whole number"))?;
                }
                _ => return Err(format!("{line:?} is neither rate=… nor wall_offset_ms=…")),
            }
        }
        Ok(control)
    }
}

fn boot_nanos() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has CLOCK_BOOTTIME");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

impl Clock {
    /// The system's clocks, bent by `control` if one is given.
    pub fn new(control: Option<PathBuf>) -> Self {
        let now = boot_nanos();
        let mut clock =
            Clock { control, control_text: String::new(), rate: 1.0, wall_offset_ms: 0, anchor: (now, now), looked: 0 };
        clock.look(now);
        clock
    }

    /// The monotonic clock.
    pub fn now(&mut self) -> Time {
        let now = boot_nanos();
        if self.control.is_some() && now - self.looked >= LOOK {
            self.look(now);
        }
        Time::from_nanos(self.bent(now))
    }

    /// The wall clock, in milliseconds since 1970. Nothing in the service depends on it, but for one planted bug.
    pub fn wall_ms(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        u64::try_from(now).unwrap_or(u64::MAX).saturating_add_signed(self.wall_offset_ms)
    }

    /// How long, by the system's clock, until ours shows `deadline`.
    pub fn until(&self, deadline: Time) -> Duration {
        let left = deadline - Time::from_nanos(self.bent(boot_nanos()));
        if self.control.is_none() {
            return left;
        }
        // The rate may change meanwhile: wake to look.
        Duration::from_secs_f64(left.as_secs_f64() / self.rate).min(Duration::from_nanos(LOOK))
    }

    fn bent(&self, now: u64) -> u64 {
        let elapsed = now.saturating_sub(self.anchor.0);
        if self.rate == 1.0 { self.anchor.1 + elapsed } else { self.anchor.1 + (elapsed as f64 * self.rate) as u64 }
    }

    fn look(&mut self, now: u64) {
        self.looked = now;
        // No file: no bending, as before a test's first fault.
        let text = self.control.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        if text == self.control_text {
            return;
        }
        match Control::parse(&text) {
            Ok(control) => {
                self.anchor = (now, self.bent(now));
                self.rate = control.rate;
                self.wall_offset_ms = control.wall_offset_ms;
                tracing::info!(rate = control.rate, wall_offset_ms = control.wall_offset_ms, "clock control");
            }
            Err(problem) => tracing::warn!(%problem, "clock control file ignored"),
        }
        self.control_text = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_file_is_read_or_refused_by_line() {
        assert_eq!(Control::parse("rate=1.5\nwall_offset_ms=-20\n"), Ok(Control { rate: 1.5, wall_offset_ms: -20 }));
        assert_eq!(Control::parse(""), Ok(Control { rate: 1.0, wall_offset_ms: 0 }));
        assert!(Control::parse("rate=0").unwrap_err().starts_with("rate:"));
        assert!(Control::parse("speed=2").is_err());
    }

    #[test]
    fn a_change_of_rate_makes_no_jump() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock");
        let mut clock = Clock::new(Some(path.clone()));
        let before = clock.now();
        fs::write(&path, "rate=50\n").unwrap();
        clock.look(boot_nanos());
        let after = clock.now();
        assert!(after >= before && after - before < Duration::from_secs(5), "{before} {after}");
    }
}
