//! s6: what an idle connection holds.

use std::rc::Rc;
use std::thread::sleep;
use std::time::Duration;

use super::conn::{Conn, Opening};
use super::meter::Meter;
use super::script::{Packing, Script, messages};
use super::{frame, report};
use crate::Result;

/// For what the server does behind its answers.
const SETTLE: Duration = Duration::from_millis(300);

pub fn run(opening: Opening, meter: &Meter, count: usize) -> Result<()> {
    let script = Rc::new(Script::new(frame::TEXT, messages(frame::TEXT, 4, 20), Packing::None));
    let empty = meter.memory()?;

    let mut conns = Vec::with_capacity(count);
    for number in 0..count {
        conns.push(Conn::new(opening.open(number)?, &script, opening));
    }
    sleep(SETTLE);
    let opened = meter.memory()?;

    let mut buffer = [0; 4096];
    for conn in &mut conns {
        conn.send(1)?;
        while conn.read(&mut buffer)? == 0 {}
    }
    sleep(SETTLE);
    let used = meter.memory()?;

    let each = |memory: u64| memory.saturating_sub(empty) as f64 / count as f64;
    report(&[("connections", count as f64), ("opened_bytes", each(opened)), ("used_bytes", each(used))]);
    Ok(())
}
