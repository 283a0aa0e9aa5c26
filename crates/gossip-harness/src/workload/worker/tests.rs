use std::sync::Arc;

use gossip_check::history::{Op, OpType, Process, Value};
use gossip_client::{LeaseRef, Options, Range};
use tokio::net::TcpListener;

use super::*;
use crate::recorder::Recorder;
use crate::workload::{Kind, Start, Twins};

fn worker(address: &str, recorder: &Recorder, gate: &Gate, over: &watch::Sender<bool>) -> Worker {
    let lease = Duration::from_millis(40);
    let options = Options { deadline: lease, attempt: lease / 2, retries: 0, ..Options::default() };
    let caller = Caller::new(Start {
        endpoints: vec![address.into()],
        options,
        recorder: recorder.clone(),
        process: 3,
        step: 10,
        lease,
        seed: 77,
        rate: 1000.0,
        twins: Twins::default(),
    });
    let mix = Kind::FullLifecycle.mix();
    Worker {
        number: 3,
        nodes: vec![Place { name: "n1".into(), address: address.into() }],
        caller: caller.unwrap(),
        mix,
        seed: 77,
        course: Course::new(&mix),
        gate: gate.clone(),
        over: over.subscribe(),
        lease,
    }
}

/// The root that each session asked for, `None` for a claim: what is left of its intent where no lease can be had.
fn asked(history: &[Op]) -> Vec<Option<u64>> {
    let invoked = history.iter().filter(|op| op.typ == OpType::Invoke);
    let asks = invoked.filter(|op| matches!(&op.f[..], "acquire" | "claim"));
    let root = |shard: &str| shard.rsplit_once('-').and_then(|(_, root)| root.parse().ok());
    asks.map(|op| op.value.get("shard").and_then(Value::as_str).and_then(root)).collect()
}

async fn sessions_at(address: &str, wanted: usize) -> (Vec<Option<u64>>, Vec<Op>) {
    let (recorder, over) = (Recorder::start(), watch::channel(false).0);
    let worker = worker(address, &recorder, &Gate::default(), &over);
    let pace = Arc::new(Pace::new(10_000.0));
    let working = tokio::spawn(async move { worker.run(&pace).await });
    while asked(&recorder.history()).len() < wanted {
        sleep(Duration::from_millis(5)).await;
    }
    over.send_replace(true);
    working.await.unwrap();
    let mut found = asked(&recorder.history());
    found.truncate(wanted);
    (found, recorder.history())
}

#[tokio::test]
async fn sessions_are_the_intents_whatever_came_of_those_before() {
    const WANTED: usize = 24;
    // One service refuses every connection, the other takes them and never answers: definite and open ends.
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (refused, history) = sessions_at(&refusing, WANTED).await;
    assert!(history.iter().all(|op| op.typ != OpType::Info), "nobody was reached");
    let (unanswered, history) = sessions_at(&silent.local_addr().unwrap().to_string(), WANTED).await;
    assert!(history.iter().any(|op| op.process == Process::Client(13)), "a process was spent");
    let meant: Vec<Option<u64>> =
        Kind::FullLifecycle.mix().sessions(77, 3).take(WANTED).map(|session| session.root).collect();
    assert_eq!(refused, meant);
    assert_eq!(unanswered, meant);
    let intents = Kind::FullLifecycle.mix().intents(77, 4);
    let lines = intents.lines().filter_map(|line| line.strip_prefix("3 Session { root: "));
    let written: Vec<bool> = lines.take(WANTED).map(|line| line.starts_with("Some")).collect();
    assert_eq!(written, meant.iter().map(Option::is_some).collect::<Vec<_>>(), "the digest is taken over the same");
}

fn holding(believed: Duration) -> Holding {
    let lease = LeaseRef { shard: "main-0-1".into(), worker: "w3".into(), fence: 5 };
    let rest = Rest::of(&Range::new(vec![0, 1], vec![0, 2]), None);
    Holding { lease, believed_until: Moment::now().after(believed), rest, op: OpId::random() }
}

#[tokio::test]
async fn a_section_is_noted_at_its_true_times_and_one_that_was_overstayed_says_so() {
    let (recorder, gate, over) = (Recorder::start(), Gate::default(), watch::channel(false).0);
    let mut worker = worker("127.0.0.1:1", &recorder, &gate, &over);
    worker.section(&holding(Duration::from_secs(5))).await;
    let last = || recorder.history().pop().unwrap();
    assert_eq!(last().typ, OpType::Ok);
    assert!(last().value.get("entered").and_then(Value::as_i64) < last().value.get("left").and_then(Value::as_i64));

    gate.stop(&[3]);
    let held = holding(Duration::from_millis(60));
    let believed = recorder.clock().place(held.believed_until.as_nanos());
    let opened = async {
        sleep(Duration::from_millis(150)).await;
        gate.open()
    };
    let (_, stood) = tokio::join!(worker.section(&held), opened);
    assert_eq!(stood, [3].into(), "it stalled inside");
    assert_eq!((last().typ, last().f.as_ref()), (OpType::Fail, "section"));
    assert!(last().value.get("left").and_then(Value::as_i64).unwrap() > believed, "the time is not clipped");
}
