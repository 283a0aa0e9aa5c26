//! The memory of configurations: which operations are placed, and the state that led to.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// A state that was met, by number.
pub(super) type StateId = u32;

/// A set of small numbers of which few are in it: words, and above them one bit for each word that is not zero.
#[derive(Debug)]
struct Sparse {
    words: Vec<u64>,
    summary: Vec<u64>,
}

impl Sparse {
    fn new(most: usize) -> Self {
        let words = most.div_ceil(64);
        Self { words: vec![0; words], summary: vec![0; words.div_ceil(64)] }
    }

    fn set(&mut self, bit: usize) {
        self.words[bit / 64] |= 1 << (bit % 64);
        self.summary[bit / 4096] |= 1 << (bit / 64 % 64);
    }

    fn clear(&mut self, bit: usize) {
        let word = &mut self.words[bit / 64];
        *word &= !(1 << (bit % 64));
        if *word == 0 {
            self.summary[bit / 4096] &= !(1 << (bit / 64 % 64));
        }
    }

    fn used(&self) -> impl Iterator<Item = usize> {
        self.summary.iter().enumerate().flat_map(|(i, word)| bits(*word).map(move |bit| 64 * i + bit))
    }

    /// The shortest words that tell this set from any other.
    fn write(&self, out: &mut Vec<u64>) {
        let len = self.summary.len() - self.summary.iter().rev().take_while(|word| **word == 0).count();
        for (i, summary) in self.summary[..len].iter().enumerate() {
            out.push(*summary);
            out.extend(bits(*summary).map(|bit| self.words[64 * i + bit]));
        }
    }
}

/// The places of a word's ones.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

/// Which operations are placed. Answered ones are numbered in order of invocation, so that all but a short window of them
/// is full or empty; open ones have words of their own, since they would keep that window open for ever.
#[derive(Debug)]
pub(super) struct Placed {
    answered: Vec<u64>,
    open: Vec<u64>,
    /// Of the open ones those that are not spent: the others make no difference to what is still to come.
    live: Sparse,
    live_count: usize,
    /// The first word of `answered` that is not full.
    base: usize,
    /// How many answered operations are placed.
    count: u32,
}

impl Placed {
    pub(super) fn new(answered: usize, open: usize) -> Self {
        Self {
            answered: vec![0; answered.div_ceil(64) + 1],
            open: vec![0; open.div_ceil(64)],
            live: Sparse::new(open),
            live_count: 0,
            base: 0,
            count: 0,
        }
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

    pub(super) fn set_live(&mut self, bit: usize) {
        self.live.set(bit);
        self.live_count += 1;
    }

    pub(super) fn clear_live(&mut self, bit: usize) {
        self.live.clear(bit);
        self.live_count -= 1;
    }

    pub(super) fn live_count(&self) -> usize {
        self.live_count
    }

    /// The open operations that are placed and not spent, by bit.
    pub(super) fn live(&self) -> impl Iterator<Item = usize> {
        self.live.used().flat_map(|word| bits(self.live.words[word]).map(move |bit| 64 * word + bit))
    }

    /// Writes the shortest words that tell this set from any other, but for the open operations that are spent.
    fn words(&self, out: &mut Vec<u64>) {
        out.push((self.base as u64) << 32 | u64::from(self.count));
        let mut left = self.count - 64 * self.base as u32;
        for word in &self.answered[self.base..] {
            if left == 0 {
                break;
            }
            out.push(*word);
            left -= word.count_ones();
        }
        self.live.write(out);
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
    state_ids: HashTable<StateId>,
    configs: HashTable<Config>,
    words: Vec<u64>,
    scratch: Vec<u64>,
}

impl<S: Eq + Hash> Memo<S> {
    pub(super) fn new() -> Self {
        Self {
            hasher: FixedState::default(),
            states: Vec::new(),
            state_ids: HashTable::new(),
            configs: HashTable::new(),
            words: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The number of a state; equal states have the same.
    pub(super) fn state_id(&mut self, state: S) -> StateId {
        let hash = self.hasher.hash_one(&state);
        let states = &self.states;
        if let Some(id) = self.state_ids.find(hash, |id| states[*id as usize] == state) {
            return *id;
        }
        let id = states.len() as StateId;
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
        placed.words(&mut self.scratch);
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
            + self.words.capacity() * size_of::<u64>()
            + self.states.capacity() * (size_of::<S>() + size_of::<StateId>())
    }
}
