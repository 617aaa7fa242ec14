//! A list whose places keep their numbers, and are used again.

/// Values at numbered places. The smallest numbers are not preferred, but free places at the end are given up.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Option<T>>,
    /// Free places. A number that lies beyond the end, or whose place is taken again, is passed over.
    free: Vec<u32>,
    len: usize,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab { places: Vec::new(), free: Vec::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many places there are, free ones included.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// Puts what `make` makes of the number at a free place.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(u32) -> T) -> u32 {
        self.len += 1;
        while let Some(key) = self.free.pop() {
            if let Some(place @ None) = self.places.get_mut(key as usize) {
                *place = Some(make(key));
                return key;
            }
        }
        // Memory ends long before 2^32 places of 16 bytes do.
        let key = self.places.len() as u32;
        self.places.push(Some(make(key)));
        key
    }

    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        self.places.get_mut(key as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        let removed = self.places.get_mut(key as usize)?.take()?;
        self.len -= 1;
        self.free.push(key);
        while let Some(None) = self.places.last() {
            self.places.pop();
        }
        if self.len == 0 {
            (self.places, self.free) = (Vec::new(), Vec::new());
        }
        Some(removed)
    }

    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.places.into_iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0..).zip(&mut self.places).filter_map(|(key, place)| Some((key, place.as_mut()?)))
    }

    /// The values at the places from `from` on, of `count` places at most.
    pub(crate) fn range_mut(&mut self, from: usize, count: usize) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().skip(from).take(count).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a map: nothing is overwritten or lost, and neither list grows without need.
    #[test]
    fn places_are_used_again_and_never_twice() {
        let (mut slab, mut model) = (Slab::new(), std::collections::BTreeMap::new());
        let mut random = 1u64;
        for step in 0..20_000u64 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            if random >> 63 == 0 && model.len() < 40 {
                let key = slab.insert_with(|_| step);
                assert_eq!(model.insert(key, step), None, "a place was given twice");
            } else if let Some((&key, &value)) = model.iter().nth((random >> 33) as usize % model.len().max(1)) {
                assert_eq!(slab.remove(key), Some(value));
                assert_eq!(slab.remove(key), None);
                model.remove(&key);
            }
            assert_eq!(slab.len(), model.len());
            assert!(slab.places() <= 40 && slab.free.len() <= 80, "{} {}", slab.places(), slab.free.len());
        }
        assert!(slab.iter_mut().map(|(key, value)| (key, *value)).eq(model));
    }
}
