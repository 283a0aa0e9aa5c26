//! Generated loads: clients with one request under way each, as Maelstrom's, on nodes whose network is cut and loses messages at
//! random.

use std::time::Duration;

use gossip_core::time::Time;
use serde_json::Value;

use crate::net::Net;

/// When a client of Maelstrom gives up.
const PATIENCE: Duration = Duration::from_secs(1);

/// A request and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) request: Value,
    pub(crate) invoked: u64,
    /// When the answer came, and what it was; `None`: none came in time.
    pub(crate) answered: Option<(u64, Value)>,
}

/// What an answer says of the request's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Done,
    /// It had none and never will.
    Refused(u64),
    Unknown,
}

impl Call {
    pub(crate) fn effect(&self) -> Effect {
        match &self.answered {
            Some((_, answer)) if answer["type"] != "error" => Effect::Done,
            Some((_, answer)) => match answer["code"].as_u64().expect("a code") {
                0 | 13 => Effect::Unknown,
                code => Effect::Refused(code),
            },
            None => Effect::Unknown,
        }
    }

    /// The answer of a request that was carried out.
    pub(crate) fn answer(&self) -> Option<&Value> {
        self.answered.as_ref().map(|(_, answer)| answer).filter(|answer| answer["type"] != "error")
    }

    pub(crate) fn kind(&self) -> &str {
        self.request["type"].as_str().expect("a type")
    }
}

/// What happens to the network.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Weather {
    Calm,
    /// Every now and then another cut, one-way links among them, and another share of lost messages.
    Foul,
}

fn change(net: &mut Net) {
    let nodes = net.nodes.len();
    net.cut.clear();
    match net.draw(4) {
        0 | 1 => {
            let side: Vec<usize> = (0..nodes).filter(|_| net.draw(2) == 0).collect();
            net.split(&side);
        }
        2 => {
            for (a, b) in (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b))) {
                if net.draw(5) == 0 {
                    net.cut.insert((a, b));
                }
            }
        }
        _ => {}
    }
    net.loss = [0, 0, 5, 20][net.draw(4) as usize];
}

struct Client {
    waits: Option<(u64, Call)>,
    last: Option<Call>,
    /// When it asks next.
    at: Time,
}

/// `clients` clients, on nodes in turn, for `length`; each asks what `next` says, told its number and its last call. `pause`: at
/// most so many milliseconds between an answer and the next request. The network is whole and has settled at the end.
pub(crate) fn run(
    net: &mut Net,
    (clients, pause, length): (usize, u64, Duration),
    weather: Weather,
    mut next: impl FnMut(&mut Net, usize, Option<&Call>) -> Value,
) -> Vec<Call> {
    let end = net.now + length;
    let mut changes = net.now;
    let mut done = Vec::new();
    let mut all: Vec<Client> = (0..clients).map(|_| Client { waits: None, last: None, at: net.now }).collect();
    while net.now < end {
        if matches!(weather, Weather::Foul) && changes <= net.now {
            change(net);
            changes = net.now + Duration::from_millis(100 + net.draw(1500));
        }
        for (number, client) in all.iter_mut().enumerate() {
            if let Some(call) = answered(net, client) {
                done.push(call.clone());
                client.last = Some(call);
                client.at = net.now + Duration::from_millis(net.draw(pause + 1));
            }
            if client.waits.is_none() && client.at <= net.now {
                let request = next(net, number, client.last.as_ref());
                let call = Call { request: request.clone(), invoked: net.now.as_nanos(), answered: None };
                let id = net.request(number % net.nodes.len(), request);
                client.waits = Some((id, call));
            }
        }
        net.run(Duration::from_millis(1));
    }
    net.cut.clear();
    net.loss = 0;
    net.run(Duration::from_secs(6));
    done.extend(all.into_iter().filter_map(|client| client.waits).map(|(_, call)| call));
    done
}

/// The call that a client waited for, if its answer came or its patience ended.
fn answered(net: &Net, client: &mut Client) -> Option<Call> {
    let (id, call) = client.waits.as_ref()?;
    let answer = net.replies.get(id).map(|(at, answer)| (at.as_nanos(), answer.clone()));
    let over = net.now - Time::from_nanos(call.invoked) > PATIENCE;
    if answer.is_none() && !over {
        return None;
    }
    let (_, mut call) = client.waits.take()?;
    call.answered = answer;
    Some(call)
}
