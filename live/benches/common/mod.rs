//! What the benchmarks share.

#![allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// How long this thread has run. Unlike the time of day, it does not count who else uses the machine.
#[cfg(unix)]
pub fn clock() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The time of day, where threads have no clock of their own that can be read without `unsafe`.
#[cfg(not(unix))]
pub fn clock() -> Duration {
    use std::sync::LazyLock;
    use std::time::Instant;
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGIN.elapsed()
}

/// A runtime on this thread, so that the clock sees all of it.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Ratio of runs that alternate: what disturbs both of a pair does not count.
pub fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs))
}
