//! The best of what was shown up to each place in a history: the highest fence, the furthest cursor, the lowest cut.

/// Places, ascending, each with the best value shown up to there and the place that showed it.
#[derive(Debug)]
pub(super) struct Floors<T>(Vec<(usize, T, usize)>);

impl<T> Default for Floors<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy + Ord> Floors<T> {
    /// Of places with what they show, in any order; `better` says whether its first argument beats its second.
    pub(super) fn new(shown: impl Iterator<Item = (usize, T)>, better: fn(&T, &T) -> bool) -> Self {
        let mut shown: Vec<(usize, T)> = shown.collect();
        shown.sort_unstable();
        let mut floors: Vec<(usize, T, usize)> = Vec::with_capacity(shown.len());
        for (place, value) in shown {
            let kept = floors.last().filter(|(_, best, _)| !better(&value, best)).map(|&(_, best, at)| (best, at));
            let (best, at) = kept.unwrap_or((value, place));
            floors.push((place, best, at));
        }
        Self(floors)
    }

    /// The best that was shown before a place, and where.
    pub(super) fn before(&self, place: usize) -> Option<(T, usize)> {
        let below = self.0.partition_point(|(shown, ..)| *shown < place);
        below.checked_sub(1).map(|i| (self.0[i].1, self.0[i].2))
    }
}
