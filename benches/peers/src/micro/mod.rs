//! Decoding, encoding and masking in memory, without a kernel. Every case is checked before it is timed.

mod decode;
mod encode;
mod mask;
mod pipe;

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::Result;
use crate::args::Args;

/// The lengths of messages.
const SIZES: [usize; 4] = [16, 125, 1024, 64 * 1024];
/// How much is done in one pass: as many messages as fill a read buffer.
const PASS: usize = 64 * 1024;

const ROUNDS: usize = 9;
const TURN: Duration = Duration::from_millis(4);

pub fn main(mut args: Args) -> Result<()> {
    let parts: Vec<_> = std::iter::from_fn(|| args.word()).collect();
    args.end()?;
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    // Some crates ask for the runtime's clock; none of them waits.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    if wanted("decode") {
        decode::run();
    }
    if wanted("encode") {
        encode::run();
    }
    if wanted("mask") {
        mask::run();
    }
    Ok(())
}

/// One crate's way to do one pass.
struct Case {
    name: &'static str,
    pass: Box<dyn FnMut()>,
}

impl Case {
    fn new(name: &'static str, pass: impl FnMut() + 'static) -> Case {
        Case { name, pass: Box::new(pass) }
    }
}

/// How many messages of a length a pass has.
fn count(size: usize) -> usize {
    (PASS / (size + 8)).max(1)
}

/// Nanoseconds a message, the median of some rounds in which the cases take turns.
fn time(cases: &mut [Case], messages: usize) -> Vec<f64> {
    let mut rounds = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (case, times) in cases.iter_mut().zip(&mut rounds) {
            times.push(turn(&mut case.pass) / messages as f64);
        }
    }
    rounds.into_iter().map(median).collect()
}

/// Nanoseconds of a pass.
fn turn(pass: &mut dyn FnMut()) -> f64 {
    // The first brings it back to the cache. Then more and more between two looks at the clock, which costs as much as
    // a short pass.
    let mut passes = 1_u32;
    loop {
        let start = Instant::now();
        for _ in 0..passes {
            black_box(&mut *pass)();
        }
        let time = start.elapsed();
        if time > TURN {
            return time.as_secs_f64() * 1e9 / f64::from(passes);
        }
        passes *= 2;
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Prints a row for each case, a column for each size.
fn table(title: &str, sizes: &[usize], mut cases: impl FnMut(usize) -> (Vec<Case>, usize)) {
    let mut rows: Vec<(&str, Vec<f64>)> = Vec::new();
    for &size in sizes {
        let (mut cases, messages) = cases(size);
        let times = time(&mut cases, messages);
        for (case, time) in cases.iter().zip(times) {
            match rows.iter_mut().find(|(name, _)| *name == case.name) {
                Some((_, row)) => row.push(time),
                None => rows.push((case.name, vec![time])),
            }
        }
    }
    println!("### {title}, ns/message\n");
    println!("| |{}", sizes.iter().map(|&size| format!(" {} |", human(size))).collect::<String>());
    println!("|---|{}", "--:|".repeat(sizes.len()));
    for (name, row) in rows {
        let name = if name.starts_with("openline") { format!("**{name}**") } else { name.to_string() };
        println!("| {name} |{}", row.iter().map(|time| format!(" {} |", figures(*time))).collect::<String>());
    }
    println!();
}

fn human(size: usize) -> String {
    match size {
        0..1024 => format!("{size} B"),
        1024..1_048_576 => format!("{} KiB", size / 1024),
        _ => format!("{} MiB", size / 1_048_576),
    }
}

fn figures(time: f64) -> String {
    if time < 100.0 { format!("{time:.1}") } else { format!("{time:.0}") }
}
