//! Lists whose places keep their numbers, and are used again.

use crate::sync::step;

/// Values at numbered places.
///
/// A *gap* is a row of free places between two values, as long as it can be. Free places at the end of the list are given
/// back. A walk over all values makes one step for each value, and one for each gap. So its cost depends on those who are
/// there now, and not on how many there have been.
///
/// Gaps form a chain through themselves, so they need no memory of their own:
///
/// ```text
///   Taken  Gap { last: 3, … }  (a free one)  End { first: 1 }  Taken  Gap { last: 5, … }  Taken
///     0            1                2               3            4            5             6
/// ```
///
/// The numbers are true in the first place of a gap, and in its last one. A free place in between may have any numbers that
/// were true before. A walk that begins there, because a gap has grown since the walk paused, can trust a `last`
/// all the same: newcomers get the first place of a gap, so what was free behind a free place still is.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    /// The first place of the first gap in the chain, or [`NONE`].
    gap: u32,
    len: u32,
}

#[derive(Debug)]
enum Place<T> {
    Taken(T),
    /// All places from here to `last` are free. `before` and `after` are the first places of two other gaps, or [`NONE`].
    Gap {
        last: u32,
        before: u32,
        after: u32,
    },
    /// The last place of a gap that has two at least.
    End {
        first: u32,
    },
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab { places: Vec::new(), gap: NONE, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// How many places there are, free ones included.
    #[cfg(test)]
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// Puts what `make` makes of the number at a free place.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(u32) -> T) -> u32 {
        if let Some(&Place::Gap { last, .. }) = self.places.get(self.gap as usize) {
            let key = self.gap;
            let value = make(key);
            self.unlink(key);
            if last > key {
                self.link(key + 1, last);
            }
            self.put(key, Place::Taken(value));
            self.len += 1;
            return key;
        }
        // Memory ends long before 2^32 places of 16 bytes do.
        let key = self.places.len() as u32;
        let value = make(key);
        if self.places.len() < FEW {
            self.places.reserve_exact(1);
        }
        self.places.push(Place::Taken(value));
        self.len += 1;
        key
    }

    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        match self.places.get_mut(key as usize)? {
            Place::Taken(value) => Some(value),
            Place::Gap { .. } | Place::End { .. } => None,
        }
    }

    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        let place = self.places.get_mut(key as usize).filter(|place| matches!(place, Place::Taken(_)))?;
        let Place::Taken(removed) = std::mem::replace(place, Place::End { first: key }) else { return None };
        self.len -= 1;
        // Its neighbours are the last place of one gap and the first place of another, unless they are taken.
        let (mut first, mut last) = (key, key);
        let left = key.checked_sub(1).and_then(|left| self.places.get(left as usize));
        match left {
            Some(Place::Gap { last, .. }) => first = *last,
            Some(Place::End { first: left }) => first = *left,
            Some(Place::Taken(_)) | None => {}
        }
        if first < key {
            self.unlink(first);
        }
        if let Some(&Place::Gap { last: right, .. }) = self.places.get(key as usize + 1) {
            self.unlink(key + 1);
            last = right;
        }
        if last as usize + 1 < self.places.len() {
            self.link(first, last);
        } else {
            self.places.truncate(first as usize);
            if self.places.capacity() > 64 && self.places.len() < self.places.capacity() / 4 {
                self.places.shrink_to(self.places.len() * 2);
            }
        }
        if self.len == 0 {
            *self = Slab::new();
        }
        Some(removed)
    }

    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.places.into_iter().filter_map(|place| match place {
            Place::Taken(value) => Some(value),
            Place::Gap { .. } | Place::End { .. } => None,
        })
    }

    pub(crate) fn iter_mut(&mut self) -> Values<'_, T> {
        Values { end: self.places.len(), rest: self.places.iter_mut() }
    }

    /// Shows the values at the places from `from` on, in so many steps at most. Returns the place from which to go on, if
    /// there are more.
    #[inline]
    pub(crate) fn visit(&mut self, mut from: usize, mut steps: usize, mut visit: impl FnMut(&mut T)) -> Option<usize> {
        while steps > 0 {
            // The last place of all has a value, so it ends here if it ends at all.
            let row = self.places.get_mut(from..).filter(|row| !row.is_empty())?;
            let count = steps.min(row.len());
            let (mut walked, mut next) = (count, from + count);
            for (at, place) in row.iter_mut().take(count).enumerate() {
                step();
                match place {
                    Place::Taken(value) => visit(value),
                    Place::End { .. } => {}
                    Place::Gap { last, .. } => {
                        (walked, next) = (at + 1, *last as usize + 1);
                        break;
                    }
                }
            }
            (steps, from) = (steps - walked, next);
        }
        (from < self.places.len()).then_some(from)
    }

    /// The places from `first` to `last` become the first gap of the chain.
    fn link(&mut self, first: u32, last: u32) {
        let after = std::mem::replace(&mut self.gap, first);
        if let Some(Place::Gap { before, .. }) = self.places.get_mut(after as usize) {
            *before = first;
        }
        if last > first {
            self.put(last, Place::End { first });
        }
        self.put(first, Place::Gap { last, before: NONE, after });
    }

    /// Takes a gap out of the chain.
    fn unlink(&mut self, first: u32) {
        let Some(&Place::Gap { before: left, after: right, .. }) = self.places.get(first as usize) else { return };
        match self.places.get_mut(left as usize) {
            Some(Place::Gap { after, .. }) => *after = right,
            _ => self.gap = right,
        }
        if let Some(Place::Gap { before, .. }) = self.places.get_mut(right as usize) {
            *before = left;
        }
    }

    fn put(&mut self, key: u32, place: Place<T>) {
        if let Some(old) = self.places.get_mut(key as usize) {
            *old = place;
        }
    }
}

/// Values and their numbers, in order.
pub(crate) struct Values<'s, T> {
    /// How many places there are in all.
    end: usize,
    rest: std::slice::IterMut<'s, Place<T>>,
}

impl<T> Values<'_, T> {
    /// The next place.
    fn place(&self) -> usize {
        self.end - self.rest.len()
    }
}

impl<'s, T> Iterator for Values<'s, T> {
    type Item = (u32, &'s mut T);

    #[inline]
    fn next(&mut self) -> Option<(u32, &'s mut T)> {
        loop {
            step();
            let place = self.place();
            match self.rest.next()? {
                Place::Taken(value) => return Some((place as u32, value)),
                Place::Gap { last, .. } => {
                    if let Some(more) = (*last as usize).checked_sub(place + 1) {
                        self.rest.nth(more);
                    }
                }
                Place::End { .. } => {}
            }
        }
    }
}

/// A [`Slab`] whose place 0 lies in it and not on the heap. Who has one value needs no memory of its own for it, and no
/// second look.
#[derive(Debug)]
pub(crate) struct Near<T> {
    first: Option<T>,
    others: Slab<T>,
}

impl<T> Near<T> {
    pub(crate) const fn new() -> Near<T> {
        Near { first: None, others: Slab::new() }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub(crate) fn insert_with(&mut self, make: impl FnOnce(u32) -> T) -> u32 {
        if self.first.is_some() {
            return self.others.insert_with(|key| make(key + 1)) + 1;
        }
        self.first = Some(make(0));
        0
    }

    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        match key.checked_sub(1) {
            None => self.first.as_mut(),
            Some(key) => self.others.get_mut(key),
        }
    }

    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        match key.checked_sub(1) {
            None => self.first.take(),
            Some(key) => self.others.remove(key),
        }
    }

    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.first.into_iter().chain(self.others.into_values())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        let others = self.others.iter_mut().map(|(key, value)| (key + 1, value));
        self.first.iter_mut().map(|value| (0, value)).chain(others)
    }
}

/// So many places are made one by one, since most lists stay that short.
const FEW: usize = 4;
/// No place.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::steps;

    /// Against a map: nothing is overwritten or lost, and the list does not grow without need.
    macro_rules! places_are_used_again_and_never_twice {
        ($name:ident, $slab:expr, $places:expr) => {
            #[test]
            fn $name() {
                let (mut slab, mut model) = ($slab, std::collections::BTreeMap::new());
                let mut random = 1u64;
                for step in 0..20_000u64 {
                    random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    if random >> 63 == 0 && model.len() < 40 {
                        let key = slab.insert_with(|_| step);
                        assert_eq!(model.insert(key, step), None, "a place was given twice");
                    } else if let Some((&key, &value)) = model.iter().nth((random >> 33) as usize % model.len().max(1))
                    {
                        assert_eq!(slab.get_mut(key), Some(&mut model[&key].clone()));
                        assert_eq!(slab.remove(key), Some(value));
                        assert_eq!(slab.remove(key), None);
                        model.remove(&key);
                    }
                    assert_eq!(slab.len(), model.len());
                    assert!($places(&slab) <= 40, "{}", $places(&slab));
                }
                assert!(slab.iter_mut().map(|(key, value)| (key, *value)).eq(model.clone()));
                assert!(slab.into_values().eq(model.into_values()));
            }
        };
    }

    places_are_used_again_and_never_twice!(of_a_slab, Slab::new(), Slab::places);
    places_are_used_again_and_never_twice!(of_one_with_the_first_near, Near::new(), |near: &Near<u64>| near
        .others
        .places()
        + 1);

    fn random(state: &mut u64, below: usize) -> usize {
        *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*state >> 33) as usize % below
    }

    /// In waves, so that gaps of all lengths grow together and are filled again. A walk may begin anywhere, also in a gap.
    #[test]
    fn a_walk_meets_all_values_and_steps_over_each_gap() {
        let (mut slab, mut model, mut state) = (Slab::new(), std::collections::BTreeMap::new(), 1);
        for wave in 0..60 {
            let many = random(&mut state, 300);
            for _ in 0..random(&mut state, 2000) {
                if model.len() < many {
                    let key = slab.insert_with(|key| key);
                    assert_eq!(model.insert(key, key), None, "a place was given twice");
                } else {
                    let key = *model.keys().nth(random(&mut state, model.len().max(1))).unwrap_or(&0);
                    assert_eq!(slab.remove(key), model.remove(&key));
                }
                let from = random(&mut state, slab.places() + 2);
                let mut values = Vec::new();
                assert_eq!(slab.visit(from, usize::MAX, |value| values.push(*value)), None);
                assert!(values.iter().eq(model.range(from as u32..).map(|(_, value)| value)), "{wave}");
                let all: Vec<_> = slab.iter_mut().map(|(key, value)| (key, *value)).collect();
                assert!(all.into_iter().eq(model.iter().map(|(key, value)| (*key, *value))), "{wave}");
                let took = steps(|| assert_eq!(slab.iter_mut().count(), model.len()));
                assert!(took <= 2 * model.len() as u64 + 1, "{took} steps for {}", model.len());
                assert!(slab.places() == 0 || slab.get_mut(slab.places() as u32 - 1).is_some());
            }
        }
    }

    /// What a walk in parts costs when others go meanwhile: their places become gaps, and it may go on in one of them.
    #[test]
    fn who_goes_during_a_walk_costs_it_a_step_at_most() {
        for seed in 1..=200 {
            let (mut slab, mut state) = (Slab::new(), seed);
            (0..1000).for_each(|_| _ = slab.insert_with(|key| key));
            let (mut next, mut met, mut went, mut took) = (Some(0), 0, 0, 0);
            while let Some(from) = next {
                took += steps(|| {
                    next = slab.visit(from, 10, |_| met += 1);
                });
                // Near the place where it goes on, most of them.
                for _ in 0..20 {
                    let key = (from + random(&mut state, 40)).saturating_sub(10);
                    went += u64::from(slab.remove(key as u32).is_some());
                }
            }
            assert!(took <= 2 * met + went + 200, "{took} steps for {met} values, while {went} went");
        }
    }

    #[test]
    fn the_places_of_a_crowd_are_given_back_when_the_last_of_them_go() {
        let mut slab = Slab::new();
        (0..100_000).for_each(|_| _ = slab.insert_with(|key| key));
        (10..100_000).rev().for_each(|key| assert_eq!(slab.remove(key), Some(key)));
        assert!(slab.places() == 10 && slab.places.capacity() <= 64, "{}", slab.places.capacity());
    }
}
