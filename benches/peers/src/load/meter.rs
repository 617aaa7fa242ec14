//! What the server used.

use std::fs;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::Result;

pub struct Meter {
    pid: i32,
    clock: ClockId,
}

/// What it had used at one time.
#[derive(Clone, Copy)]
pub struct Reading {
    pub at: Instant,
    /// User and system, of all its threads, to the nanosecond.
    pub cpu: Duration,
    /// The user part, in ticks of 10 ms.
    pub user: Duration,
}

impl Meter {
    pub fn new(pid: i32) -> Result<Meter> {
        Ok(Meter { pid, clock: clock_getcpuclockid(Pid::from_raw(pid))? })
    }

    pub fn read(&self) -> Result<Reading> {
        let cpu = clock_gettime(self.clock)?.into();
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name, in parentheses, may have blanks. The user time is the 14th field, the name the second.
        let ticks = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(11));
        let ticks: u64 = ticks.ok_or("no user time")?.parse()?;
        Ok(Reading { at: Instant::now(), cpu, user: Duration::from_millis(10 * ticks) })
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or("no Rss")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }
}
