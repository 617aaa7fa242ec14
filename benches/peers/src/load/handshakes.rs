//! Connect, upgrade, close: 32 at a time, each step for all of them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::conn::Opening;
use super::frame::{self, Head};
use super::meter::Meter;
use super::{micros, report};
use crate::Result;

const AT_ONCE: usize = 32;

pub fn run(opening: Opening, meter: &Meter, warmup: Duration, time: Duration) -> Result<()> {
    let mut number = 0;
    some(opening, &mut number, warmup)?;
    let before = meter.read()?;
    let done = some(opening, &mut number, time)?;
    let after = meter.read()?;
    report(&[
        ("messages", done as f64),
        ("seconds", (after.at - before.at).as_secs_f64()),
        ("cpu_us", micros(after.cpu - before.cpu, done)),
        ("user_us", micros(after.user.saturating_sub(before.user), done)),
    ]);
    Ok(())
}

fn some(opening: Opening, number: &mut usize, time: Duration) -> Result<u64> {
    let end = Instant::now() + time;
    let mut done = 0;
    while Instant::now() < end {
        let mut streams = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE {
            streams.push(opening.connect(*number)?);
            *number += 1;
        }
        let request = opening.request();
        for stream in &mut streams {
            stream.write_all(request.as_bytes())?;
        }
        for stream in &mut streams {
            if opening.raw {
                stream.read_exact(&mut vec![0; request.len()])?;
            } else {
                opening.confirm(stream)?;
            }
        }
        let mut close = Vec::new();
        frame::write(&mut close, frame::CLOSE, false, [1, 2, 3, 4], &[3, 232]);
        for stream in &mut streams {
            if opening.raw { stream.shutdown(Shutdown::Write)? } else { stream.write_all(&close)? }
        }
        for stream in &mut streams {
            farewell(stream, opening.raw)?;
        }
        done += AT_ONCE as u64;
    }
    Ok(done)
}

/// The server's Close, and then the end.
fn farewell(stream: &mut TcpStream, raw: bool) -> Result<()> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    match Head::read(&rest)? {
        None if raw && rest.is_empty() => Ok(()),
        Some(head) if head.opcode == frame::CLOSE && rest.len() == head.size + head.payload => Ok(()),
        _ => Err(format!("not a Close: {rest:?}").into()),
    }
}
