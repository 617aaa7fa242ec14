//! Lists of what a subscriber has in topics, which are found by the topic as well as by their number.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::slab::Near;

/// What can be found by the address of something that it holds.
pub(crate) trait Keyed {
    /// It stays the same, and no other value of the list has it.
    fn address(&self) -> usize;
}

/// It stays the same as long as somebody holds the `Arc`.
pub(crate) fn address<T: ?Sized>(of: &Arc<T>) -> usize {
    Arc::as_ptr(of).addr()
}

/// Values with numbers. Most lists are short, and are searched. A long one has an index, so that a thousand topics do not
/// cost a thousand times a thousand steps.
#[derive(Debug)]
pub(crate) struct List<T> {
    values: Near<T>,
    /// The numbers by address.
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24, and most lists have none")]
    index: Option<Box<BTreeMap<usize, u32>>>,
}

impl<T: Keyed> List<T> {
    pub(crate) const fn new() -> List<T> {
        List { values: Near::new(), index: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The number of the value with this address.
    pub(crate) fn find(&mut self, address: usize) -> Option<u32> {
        match &self.index {
            Some(index) => index.get(&address).copied(),
            None => self.values.iter_mut().find(|(_, value)| value.address() == address).map(|(number, _)| number),
        }
    }

    /// Adds what `make` makes of its number.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(u32) -> T) -> u32 {
        let number = self.values.insert_with(make);
        match &mut self.index {
            Some(index) => {
                if let Some(value) = self.values.get_mut(number) {
                    index.insert(value.address(), number);
                }
            }
            None if self.values.len() > SHORT => {
                let index = self.values.iter_mut().map(|(number, value)| (value.address(), number)).collect();
                self.index = Some(Box::new(index));
            }
            None => {}
        }
        number
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.values.get_mut(number)
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let removed = self.values.remove(number)?;
        if let Some(index) = &mut self.index {
            index.remove(&removed.address());
            // Much later than it was made, so that it is not made again and again.
            if index.len() <= SHORT / 2 {
                self.index = None;
            }
        }
        Some(removed)
    }

    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.values.into_values()
    }
}

/// So many values are searched without an index.
const SHORT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::steps;

    impl Keyed for usize {
        fn address(&self) -> usize {
            *self
        }
    }

    /// Against a map, from empty to much longer than a list without an index, and back.
    #[test]
    fn each_is_found_by_its_address_as_long_as_it_is_there() {
        let (mut list, mut model, mut random) = (List::new(), BTreeMap::new(), 1u64);
        for step in 0..20_000u64 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let address = (random >> 33) as usize % 60;
            // Waves: it grows for a while, and shrinks for a while.
            let grows = step % 1000 < 500;
            assert_eq!(list.find(address), model.get(&address).copied());
            match model.get(&address).copied() {
                None if grows || random >> 62 == 0 => {
                    let number = list.insert_with(|_| address);
                    model.insert(address, number);
                }
                Some(number) if !grows => {
                    assert_eq!(list.remove(number), Some(address));
                    assert_eq!(list.remove(number), None);
                    model.remove(&address);
                }
                _ => {}
            }
            assert_eq!(list.len(), model.len());
            assert!(list.index.is_some() || list.len() <= SHORT);
        }
        assert!(list.into_values().count() == model.len());
    }

    #[test]
    fn twenty_thousand_are_found_in_steps_that_do_not_grow() {
        let mut list = List::new();
        let took = steps(|| {
            (0..20_000).for_each(|address| assert_eq!(list.insert_with(|_| address), address as u32));
            (0..20_000).for_each(|address| assert_eq!(list.find(address), Some(address as u32)));
            // All but a few leave, and these stand far apart.
            (0..20_000).filter(|at| at % 5000 != 4999).for_each(|at| assert_eq!(list.remove(at), Some(at as usize)));
            (0..20_000).for_each(|address| assert_eq!(list.find(address).is_some(), address % 5000 == 4999));
        });
        assert!(list.index.is_none());
        // The last 20,000 searches are without an index, in a list of four values and four gaps.
        assert!(took <= 20_000 * 10, "{took}");
    }
}
