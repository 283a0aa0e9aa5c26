//! The network: decides for each message whether, when and how often it arrives.

use super::queue::Nanos;
use crate::faults::Fault;
use crate::faults::options::{NetOptions, Options};
use crate::reach::Reach;
use crate::rng::{Rng, Subject};

/// How one message travels: the delays of its copies. None: it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journey {
    /// When the message arrives, after now.
    pub first: Option<Nanos>,
    /// When its copy does.
    pub copy: Option<Nanos>,
}

#[derive(Debug)]
struct Link {
    rng: Rng,
    /// The planned faults that cut it at the moment.
    cuts: Vec<Fault>,
    /// How many times as long it takes.
    slowness: u64,
    /// When its latest message arrives: later ones do not overtake.
    latest: Nanos,
}

/// All links between nodes, and from each worker to the nodes.
#[derive(Debug)]
pub struct Net {
    options: NetOptions,
    nodes: usize,
    links: Vec<Link>,
    worker_rng: Vec<Rng>,
    worker_cuts: Vec<u32>,
}

impl Net {
    /// A network without a fault so far.
    pub fn new(options: &Options) -> Self {
        let n = options.nodes;
        let link = |place: usize| Link {
            rng: Rng::stream(options.seed, Subject::Link((place / n) as u32, (place % n) as u32)),
            cuts: Vec::new(),
            slowness: 1,
            latest: 0,
        };
        // One party more than workers: the operator.
        let parties = options.workers + 1;
        Net {
            options: options.net,
            nodes: n,
            links: (0..n * n).map(link).collect(),
            worker_rng: (0..parties).map(|w| Rng::stream(options.seed, Subject::Link(u32::MAX, w as u32))).collect(),
            worker_cuts: vec![0; parties],
        }
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.nodes + to]
    }

    /// Sends one message from node to node.
    pub fn send(&mut self, now: Nanos, from: usize, to: usize, reach: &mut Reach) -> Journey {
        let options = self.options;
        let link = self.link(from, to);
        if !link.cuts.is_empty() {
            link.cuts.iter().for_each(|&fault| reach.fault(fault));
            return Journey { first: None, copy: None };
        }
        if link.rng.chance(options.loss) {
            reach.fault(Fault::Loss);
            return Journey { first: None, copy: None };
        }
        let mut delay = link.rng.within(options.delay.0, options.delay.1) * link.slowness;
        if link.slowness > 1 {
            reach.fault(Fault::SlowLink);
        }
        if link.rng.chance(options.reorder) {
            reach.fault(Fault::Reorder);
            delay += link.rng.within(1, 30) * options.delay.1;
        } else {
            link.latest = link.latest.max(now + delay);
            delay = link.latest - now;
        }
        let copy = link.rng.chance(options.duplicate).then(|| delay + link.rng.within(0, 20 * options.delay.1));
        if copy.is_some() {
            reach.fault(Fault::Duplicate);
        }
        Journey { first: Some(delay), copy }
    }

    /// Carries a request of a worker (or the operator) to a node, or an answer back. Never doubled: requests travel over
    /// connections.
    pub fn call(&mut self, party: usize, reach: &mut Reach) -> Option<Nanos> {
        let options = self.options;
        if self.worker_cuts[party] > 0 {
            reach.fault(Fault::CutWorker);
            return None;
        }
        let rng = &mut self.worker_rng[party];
        if rng.chance(options.lost_answer) {
            reach.fault(Fault::LostAnswer);
            return None;
        }
        Some(rng.within(options.delay.0, options.delay.1))
    }

    /// Cuts directed links, or mends one cut of this kind of each.
    pub fn cut(&mut self, links: &[(usize, usize)], fault: Fault, cut: bool) {
        for &(from, to) in links {
            let cuts = &mut self.link(from, to).cuts;
            if cut {
                cuts.push(fault);
            } else if let Some(at) = cuts.iter().position(|&known| known == fault) {
                cuts.swap_remove(at);
            }
        }
    }

    /// Makes links so many times as slow as they should be.
    pub fn slow(&mut self, links: &[(usize, usize)], slowness: u64) {
        links.iter().for_each(|&(from, to)| self.link(from, to).slowness = slowness);
    }

    /// Cuts a worker off, or mends one such cut.
    pub fn cut_worker(&mut self, worker: usize, cut: bool) {
        let cuts = &mut self.worker_cuts[worker];
        *cuts = if cut { *cuts + 1 } else { cuts.saturating_sub(1) };
    }

    /// From now on the network is a good one.
    pub fn heal(&mut self) {
        for link in &mut self.links {
            link.cuts.clear();
            link.slowness = 1;
        }
        self.worker_cuts.fill(0);
        let NetOptions { loss, duplicate, reorder, lost_answer, .. } = &mut self.options;
        (*loss, *duplicate, *reorder, *lost_answer) = (0, 0, 0, 0);
    }
}
