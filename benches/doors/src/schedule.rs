//! When messages are sent. The moments are independent of each other, as people are, so now and then two are close together:
//! with equal gaps, each door would have the same easy case again and again. A seed gives the same moments each time.

use std::time::Duration;

/// `count` moments within `length`, in order: those of a Poisson process that has had so many events.
pub(crate) fn moments(count: usize, length: Duration, seed: u64) -> Vec<Duration> {
    let mut random = SplitMix(seed);
    let mut moments: Vec<_> = (0..count).map(|_| length.mul_f64(random.part())).collect();
    moments.sort_unstable();
    moments
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough for moments.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least 0 and below 1.
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_within_the_time_and_the_same_again() {
        let second = Duration::from_secs(1);
        let moments_1 = moments(1000, second, 1);
        assert_eq!(moments_1.len(), 1000);
        assert!(moments_1.is_sorted() && moments_1.iter().all(|moment| *moment < second));
        assert_eq!(moments_1, moments(1000, second, 1));
        assert_ne!(moments_1, moments(1000, second, 2));
        // Gaps are exponential: 1/e of them are longer than the mean.
        let long = moments_1.windows(2).filter(|pair| pair[1] - pair[0] > second / 1000).count();
        assert!((320..420).contains(&long), "{long}");
        assert_eq!(moments(0, second, 1), []);
    }

    /// The first outputs for the seed 1234567, as the authors' program prints them.
    #[test]
    fn the_generator_is_the_published_one() {
        let mut random = SplitMix(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }
}
