//! Keys of the harness: root in two bytes, place in the root in four.

use gossip_client::Range;

/// Places in one root.
pub(super) const SPAN: u64 = 1 << 32;

/// The range of root `root` of `roots`, which tile all keys.
pub(super) fn root_range(root: usize, roots: usize) -> Range {
    let edge = |n: usize| if n == 0 || n == roots { Vec::new() } else { (n as u16).to_be_bytes().to_vec() };
    Range { start: edge(root), end: edge(root + 1) }
}

fn root_of(start: &[u8]) -> u16 {
    start.get(..2).and_then(|head| head.try_into().ok()).map_or(0, u16::from_be_bytes)
}

fn place(key: &[u8]) -> u64 {
    key.get(2..6).and_then(|tail| tail.try_into().ok()).map_or(0, |tail| u64::from(u32::from_be_bytes(tail)))
}

/// What of a range is still to be done: places after the cursor, before the end.
#[derive(Clone, Debug)]
pub(super) struct Rest {
    root: u16,
    /// The first place inside.
    start: u64,
    /// The last place that is done.
    pub(super) done: u64,
    /// The first place outside.
    pub(super) end: u64,
}

impl Rest {
    pub(super) fn of(range: &Range, cursor: Option<&[u8]>) -> Self {
        let root = root_of(&range.start);
        let same_root = range.end.len() == 6 && root_of(&range.end) == root;
        let end = if same_root { place(&range.end) } else { SPAN };
        let start = place(&range.start);
        Rest { root, start, done: start.max(cursor.map_or(0, place)), end }
    }

    /// How many places are left.
    pub(super) fn left(&self) -> u64 {
        (self.end - 1).saturating_sub(self.done)
    }

    /// A key before what is done, if there is one inside of the range.
    pub(super) fn behind(&self) -> Option<Vec<u8>> {
        (self.done > self.start + 1).then(|| self.at(self.done - 1))
    }

    /// A key past the end, if the range has one.
    pub(super) fn outside(&self) -> Option<Vec<u8>> {
        (self.end < SPAN).then(|| self.at(self.end))
    }

    /// The key of the place `by` after what is done.
    pub(super) fn key(&self, by: u64) -> Vec<u8> {
        self.at(self.done + by)
    }

    fn at(&self, place: u64) -> Vec<u8> {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        [&self.root.to_be_bytes()[..], &place.to_be_bytes()[..]].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_tile_all_keys() {
        let ranges: Vec<Range> = (0..5).map(|root| root_range(root, 5)).collect();
        assert!(ranges[0].start.is_empty() && ranges[4].end.is_empty());
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    #[test]
    fn keys_of_the_rest_lie_behind_the_cursor_and_inside() {
        let range = root_range(3, 5);
        let fresh = Rest::of(&range, None);
        assert_eq!(fresh.left(), SPAN - 1);
        let cursor = fresh.key(7);
        assert!(cursor > range.start && cursor < range.end);
        let rest = Rest::of(&range, Some(&cursor));
        assert!(rest.key(1) > cursor);
        let left = Rest::of(&Range::new(range.start.clone(), fresh.key(10)), Some(&cursor));
        assert_eq!(left.left(), 2);
        assert!(left.key(2) < fresh.key(10));
        assert_eq!(left.outside(), Some(fresh.key(10)));
        assert!(left.behind().unwrap() < cursor);
        assert_eq!((fresh.behind(), fresh.outside()), (None, None));
    }
}
