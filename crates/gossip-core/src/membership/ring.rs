//! The live nodes in random order: whom to probe next, whom to pick at random.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::member::NodeId;

/// Round-robin over a shuffled list, shuffled anew after each round (SWIM, section 4.3): a node is probed at the latest after
/// `2n - 1` periods, and after n on average.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    order: Vec<NodeId>,
    next: usize,
}

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn any(&self, suits: impl FnMut(NodeId) -> bool) -> bool {
        self.order.iter().copied().any(suits)
    }

    /// Puts a node at a random place.
    pub(super) fn insert(&mut self, node: NodeId, random: &mut ChaCha8Rng) {
        let at = random.random_range(0..=self.order.len());
        self.order.insert(at, node);
        if at < self.next {
            self.next += 1;
        }
    }

    pub(super) fn remove(&mut self, node: NodeId) {
        if let Some(at) = self.order.iter().position(|n| *n == node) {
            self.order.remove(at);
            if at < self.next {
                self.next -= 1;
            }
        }
    }

    /// The next in the round.
    pub(super) fn advance(&mut self, random: &mut ChaCha8Rng) -> Option<NodeId> {
        if self.next >= self.order.len() {
            self.next = 0;
            for at in (1..self.order.len()).rev() {
                self.order.swap(at, random.random_range(0..=at));
            }
        }
        let node = self.order.get(self.next).copied();
        self.next += 1;
        node
    }

    /// One of all, evenly.
    pub(super) fn pick(&self, random: &mut ChaCha8Rng) -> Option<NodeId> {
        (!self.order.is_empty()).then(|| self.order[random.random_range(0..self.order.len())])
    }

    /// Up to `count` different ones that `suit`, evenly.
    pub(super) fn sample(
        &self,
        count: usize,
        random: &mut ChaCha8Rng,
        mut suit: impl FnMut(NodeId) -> bool,
    ) -> Vec<NodeId> {
        let mut pool = self.order.clone();
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count && !pool.is_empty() {
            let node = pool.swap_remove(random.random_range(0..pool.len()));
            if suit(node) {
                chosen.push(node);
            }
        }
        chosen
    }
}
