//! Lists whose places keep their numbers, and are used again.

/// Values at numbered places. Free places form a chain through themselves, so they need no memory of their own.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    /// The first free place; a number beyond the end if there is none.
    free: u32,
    len: u32,
}

#[derive(Debug)]
enum Place<T> {
    Taken(T),
    /// With the number of the next free place.
    Free(u32),
}

impl<T> Place<T> {
    fn value(&mut self) -> Option<&mut T> {
        match self {
            Place::Taken(value) => Some(value),
            Place::Free(_) => None,
        }
    }
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab { places: Vec::new(), free: u32::MAX, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// How many places there are, free ones included.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// Puts what `make` makes of the number at a free place.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(u32) -> T) -> u32 {
        self.len += 1;
        if let Some(place) = self.places.get_mut(self.free as usize)
            && let Place::Free(next) = *place
        {
            *place = Place::Taken(make(self.free));
            return std::mem::replace(&mut self.free, next);
        }
        // Memory ends long before 2^32 places of 16 bytes do.
        let key = self.places.len() as u32;
        if self.places.len() < FEW {
            self.places.reserve_exact(1);
        }
        self.places.push(Place::Taken(make(key)));
        key
    }

    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        self.places.get_mut(key as usize)?.value()
    }

    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        let place = self.places.get_mut(key as usize)?;
        let removed = match std::mem::replace(place, Place::Free(self.free)) {
            Place::Taken(value) => value,
            free => {
                *place = free;
                return None;
            }
        };
        (self.free, self.len) = (key, self.len - 1);
        if self.len == 0 {
            *self = Slab::new();
        }
        Some(removed)
    }

    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.places.into_iter().filter_map(|place| match place {
            Place::Taken(value) => Some(value),
            Place::Free(_) => None,
        })
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0..).zip(&mut self.places).filter_map(|(key, place)| Some((key, place.value()?)))
    }

    /// The values at the places from `from` on, of `count` places at most.
    pub(crate) fn range_mut(&mut self, from: usize, count: usize) -> impl Iterator<Item = &mut T> {
        let end = from.saturating_add(count).min(self.places.len());
        self.places.get_mut(from..end).unwrap_or_default().iter_mut().filter_map(Place::value)
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
