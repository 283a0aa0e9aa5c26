//! The memory of configurations: which operations are placed, and the state that led to.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// A state that was met, by number.
pub(super) type StateId = u32;

/// Which operations are placed. Answered ones are numbered in order of invocation, so that all but a short window of them
/// is full or empty; open ones have words of their own, since they would keep that window open for ever.
#[derive(Debug)]
pub(super) struct Placed {
    answered: Vec<u64>,
    open: Vec<u64>,
    /// The first word of `answered` that is not full.
    base: usize,
    /// How many answered operations are placed.
    count: u32,
}

impl Placed {
    pub(super) fn new(answered: usize, open: usize) -> Self {
        Self { answered: vec![0; answered.div_ceil(64) + 1], open: vec![0; open.div_ceil(64)], base: 0, count: 0 }
    }

    pub(super) fn set_answered(&mut self, bit: usize) {
        self.answered[bit / 64] |= 1 << (bit % 64);
        self.count += 1;
        while self.answered[self.base] == u64::MAX {
            self.base += 1;
        }
    }

    pub(super) fn clear_answered(&mut self, bit: usize) {
        self.answered[bit / 64] &= !(1 << (bit % 64));
        self.count -= 1;
        self.base = self.base.min(bit / 64);
    }

    pub(super) fn set_open(&mut self, bit: usize) {
        self.open[bit / 64] |= 1 << (bit % 64);
    }

    pub(super) fn clear_open(&mut self, bit: usize) {
        self.open[bit / 64] &= !(1 << (bit % 64));
    }

    pub(super) fn has_open(&self, bit: usize) -> bool {
        self.open[bit / 64] & (1 << (bit % 64)) != 0
    }

    /// Writes the shortest words that tell this set from any other, but for the open operations that are spent: these make no
    /// difference to what is still to come.
    fn words(&self, spent: &[u64], out: &mut Vec<u64>) {
        out.push((self.base as u64) << 32 | u64::from(self.count));
        let mut left = self.count - 64 * self.base as u32;
        for word in &self.answered[self.base..] {
            if left == 0 {
                break;
            }
            out.push(*word);
            left -= word.count_ones();
        }
        let answered = out.len();
        out.extend(self.open.iter().zip(spent).map(|(open, spent)| open & !spent));
        while out.len() > answered && out.last() == Some(&0) {
            out.pop();
        }
    }
}

#[derive(Debug)]
struct Config {
    hash: u64,
    start: usize,
    words: u32,
    state: StateId,
}

/// Configurations are kept whole, not as hashes: a collision would turn a valid history into an invalid one.
#[derive(Debug)]
pub(super) struct Memo<S> {
    hasher: FixedState,
    states: Vec<S>,
    /// For each state the open operations that are spent in it, in so many words.
    spent: Vec<u64>,
    spent_words: usize,
    state_ids: HashTable<StateId>,
    configs: HashTable<Config>,
    words: Vec<u64>,
    scratch: Vec<u64>,
}

impl<S: Eq + Hash> Memo<S> {
    /// `open`: how many operations are open.
    pub(super) fn new(open: usize) -> Self {
        Self {
            hasher: FixedState::default(),
            states: Vec::new(),
            spent: Vec::new(),
            spent_words: open.div_ceil(64),
            state_ids: HashTable::new(),
            configs: HashTable::new(),
            words: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The number of a state; equal states have the same. `is_spent` says of each open operation, by its bit, whether it is
    /// spent in a state.
    pub(super) fn state_id(&mut self, state: S, open: usize, is_spent: impl Fn(&S, usize) -> bool) -> StateId {
        let hash = self.hasher.hash_one(&state);
        let states = &self.states;
        if let Some(id) = self.state_ids.find(hash, |id| states[*id as usize] == state) {
            return *id;
        }
        let id = states.len() as StateId;
        let first = self.spent.len();
        self.spent.resize(first + self.spent_words, 0);
        for bit in (0..open).filter(|bit| is_spent(&state, *bit)) {
            self.spent[first + bit / 64] |= 1 << (bit % 64);
        }
        self.states.push(state);
        let (states, hasher) = (&self.states, &self.hasher);
        self.state_ids.insert_unique(hash, id, |id| hasher.hash_one(&states[*id as usize]));
        id
    }

    pub(super) fn state(&self, id: StateId) -> &S {
        &self.states[id as usize]
    }

    /// Whether the configuration is new.
    pub(super) fn insert(&mut self, placed: &Placed, state: StateId) -> bool {
        self.scratch.clear();
        let spent = state as usize * self.spent_words;
        placed.words(&self.spent[spent..spent + self.spent_words], &mut self.scratch);
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u32(state);
        for word in &self.scratch {
            hasher.write_u64(*word);
        }
        let hash = hasher.finish();
        let (words, scratch) = (&self.words, &self.scratch);
        let same = |c: &Config| {
            c.hash == hash && c.state == state && words[c.start..c.start + c.words as usize] == scratch[..]
        };
        if self.configs.find(hash, same).is_some() {
            return false;
        }
        let config = Config { hash, start: words.len(), words: scratch.len() as u32, state };
        self.words.extend_from_slice(&self.scratch);
        self.configs.insert_unique(hash, config, |c| c.hash);
        true
    }

    /// Bytes held, not counting what states own elsewhere.
    pub(super) fn bytes(&self) -> usize {
        self.configs.capacity() * (size_of::<Config>() + 1)
            + (self.words.capacity() + self.spent.capacity()) * size_of::<u64>()
            + self.states.capacity() * (size_of::<S>() + size_of::<StateId>())
    }
}
