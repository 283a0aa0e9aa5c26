//! A schedule as EDN, and a step's words in a history.

use std::fmt::Write as _;

use super::{Action, ClientFault, Cut, How, Schedule, Skew, Who};

/// `n1` for node 0.
pub fn node_name(index: usize) -> String {
    format!("n{}", index + 1)
}

impl Schedule {
    /// One step a line: `{:at 2500 :f :pause :value {...}}`, `:at` in milliseconds since the load began.
    pub fn to_edn(&self) -> String {
        let mut text = String::from("[");
        for (i, step) in self.steps.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\n " };
            let _ = write!(text, "{gap}{{:at {} :f :{} :value {}}}", step.at_ms, step.action.f(), step.action.value());
        }
        text.push_str("]\n");
        text
    }
}

impl Action {
    /// The `:f` of the nemesis operation.
    pub fn f(&self) -> &'static str {
        match self {
            Action::StartPartition(..) => "start-partition",
            Action::StopPartition => "stop-partition",
            Action::Kill(_) => "kill",
            Action::Start => "start",
            Action::Pause(_) | Action::PauseWorkers(_) => "pause",
            Action::Resume | Action::ResumeWorkers => "resume",
            Action::Skew(_) => "skew",
            Action::ResetClock => "reset-clock",
            Action::Shrink(_) => "shrink",
            Action::Grow => "grow",
            Action::StartClientFault(..) => "start-client-fault",
            Action::StopClientFault => "stop-client-fault",
        }
    }

    /// The planned `:value`, as EDN.
    pub fn value(&self) -> String {
        match self {
            Action::StartPartition(cut, how) => format!("{{:cut {} :how {}}}", cut.edn(), how.edn()),
            Action::Kill(who) | Action::Pause(who) => list(who.iter().map(|w| w.edn())),
            Action::PauseWorkers(workers) => format!("{{:workers {}}}", list(workers.iter().map(usize::to_string))),
            Action::ResumeWorkers => "{:workers :all}".into(),
            Action::Skew(skews) => {
                format!("{{{}}}", joined(skews.iter().map(|(w, s)| format!("{} {}", w.edn(), s.edn()))))
            }
            Action::Shrink(who) => list([who.edn()].into_iter()),
            Action::StartClientFault(who, fault) => format!("{{:node {} :how {}}}", who.edn(), fault.edn()),
            Action::StopPartition
            | Action::Start
            | Action::Resume
            | Action::ResetClock
            | Action::Grow
            | Action::StopClientFault => "nil".into(),
        }
    }
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(" ")
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", joined(items))
}

impl Who {
    fn edn(self) -> String {
        match self {
            Who::Node(node) => format!("{:?}", node_name(node)),
            Who::Leader(otherwise) => format!("[:leader {:?}]", node_name(otherwise)),
        }
    }
}

impl Cut {
    fn edn(&self) -> String {
        match self {
            Cut::Halves(nodes) => format!("[:halves {}]", list(nodes.iter().map(|n| format!("{:?}", node_name(*n))))),
            Cut::Isolate(who) => format!("[:isolate {}]", who.edn()),
            Cut::Deaf(who) => format!("[:deaf {}]", who.edn()),
            Cut::Mute(who) => format!("[:mute {}]", who.edn()),
            Cut::Bridge(who) => format!("[:bridge {}]", who.edn()),
        }
    }
}

impl How {
    /// As in the schedule.
    pub fn edn(self) -> String {
        match self {
            How::Drop => ":drop".into(),
            How::Tear { after } => format!("[:tear {after}]"),
            How::Delay { millis } => format!("[:delay {millis}]"),
            How::Throttle { bytes_per_second } => format!("[:throttle {bytes_per_second}]"),
        }
    }
}

impl ClientFault {
    /// As in the schedule.
    pub fn edn(self) -> String {
        match self {
            ClientFault::LoseAnswers => ":lose-answers".into(),
            ClientFault::DelayAnswers { millis } => format!("[:delay-answers {millis}]"),
            ClientFault::Duplicate => ":duplicate".into(),
            ClientFault::Hang => ":hang".into(),
        }
    }
}

impl Skew {
    /// As in the schedule.
    pub fn edn(self) -> String {
        format!("{{:wall-ms {} :rate-ppm {}}}", self.wall_ms, self.rate_ppm)
    }
}
