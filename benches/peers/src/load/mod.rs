//! The load client. It knows bytes and no WebSocket crate, sends what was encoded before, and checks every answer.

mod check;
mod conn;
mod engine;
pub mod frame;
mod handshakes;
mod idle;
mod meter;
mod pace;
pub mod script;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Result;
use crate::args::Args;
use crate::serve::raise_files;
use conn::Opening;
use engine::Engine;
use meter::{Meter, Reading};
use pace::percentile;
use script::{Packing, Script, messages, records};

/// An echo, or a broadcast.
struct Plan {
    connections: usize,
    depth: usize,
    broadcast: bool,
    script: Rc<Script>,
}

pub fn main(mut args: Args) -> Result<()> {
    let scenario = args.word().ok_or("which scenario?")?;
    let port = args.value("--port")?.ok_or("--port?")?;
    let meter = Meter::new(args.value("--pid")?.ok_or("--pid?")?)?;
    let seconds = Duration::from_secs_f64(args.value("--seconds")?.unwrap_or(1.0));
    let warmup = Duration::from_secs_f64(args.value("--warmup")?.unwrap_or(0.2));
    let connections = args.value("--connections")?;
    let rate = args.value("--rate")?;
    let raw = args.flag("--raw");
    let packing = match (args.flag("--takeover"), args.flag("--deflate")) {
        (true, _) => Packing::Takeover,
        (_, true) => Packing::Alone,
        _ => Packing::None,
    };
    args.end()?;
    raise_files()?;

    let opening = Opening { port, raw, packing };
    match scenario.as_str() {
        "idle" => idle::run(opening, &meter, connections.unwrap_or(10_000)),
        "handshakes" => handshakes::run(opening, &meter, warmup, seconds),
        "l1" => latency(opening, &meter, plan("l1", packing)?, rate, warmup, seconds),
        name => measure(opening, &meter, plan(name, packing)?, warmup, seconds),
    }
}

fn plan(name: &str, packing: Packing) -> Result<Plan> {
    let script = |opcode, count, len| Script::new(opcode, messages(opcode, count, len), Packing::None);
    let (connections, depth, script) = match name {
        "s1" | "l1" => (100, 1, script(frame::TEXT, 16, 20)),
        "s2" => (100, 16, script(frame::TEXT, 16, 125)),
        "s3" => (10, 1, script(frame::BINARY, 4, 16 * 1024)),
        "s4" => (1, 1, script(frame::BINARY, 2, 1024 * 1024)),
        "s5" => (1, 1, script(frame::TEXT, 16, 20)),
        "s7" => (1000, 16, script(frame::TEXT, 16, 100)),
        "s7one" => (1000, 1, script(frame::TEXT, 16, 100)),
        // More than a window of them.
        "s8" => (100, 1, Script::new(frame::TEXT, records(64, 1024), packing)),
        _ => return Err(format!("no scenario {name:?}").into()),
    };
    Ok(Plan { connections, depth, broadcast: name.starts_with("s7"), script: Rc::new(script) })
}

/// All are open, and under load.
fn open(opening: Opening, plan: &Plan, warmup: Duration) -> Result<Engine> {
    let mut engine = Engine::open(opening, &plan.script, plan.connections, plan.depth, plan.broadcast)?;
    // All are to be subscribers before there is a message.
    sleep(Duration::from_millis(50));
    engine.start()?;
    engine.run(warmup)?;
    engine.took.clear();
    Ok(engine)
}

fn measure(opening: Opening, meter: &Meter, plan: Plan, warmup: Duration, time: Duration) -> Result<()> {
    let mut engine = open(opening, &plan, warmup)?;
    let wire = |engine: &Engine| {
        let wire = engine.conns.iter().map(|conn| (conn.sent, conn.check.wire));
        wire.fold((0, 0), |sum, conn| (sum.0 + conn.0, sum.1 + conn.1))
    };
    let (sent, received) = wire(&engine);
    let before = meter.read()?;
    let messages = engine.run(time)?;
    let after = meter.read()?;
    let (sent, received) = (wire(&engine).0 - sent, wire(&engine).1 - received);

    let mut values = used(&before, &after, messages);
    values.extend([
        ("sent_bytes", sent as f64 / messages as f64),
        ("received_bytes", received as f64 / messages as f64),
        ("message_bytes", plan.script.messages[0].len() as f64),
    ]);
    values.extend(times("p50_us", "p99_us", &mut engine.took));
    report(&values);
    Ok(())
}

/// How late answers are at half the rate that this server sustains, or at a rate that is given.
fn latency(
    opening: Opening,
    meter: &Meter,
    plan: Plan,
    rate: Option<f64>,
    warmup: Duration,
    time: Duration,
) -> Result<()> {
    let mut engine = open(opening, &plan, warmup)?;
    let start = Instant::now();
    let most = engine.run(time.min(SUSTAINED))? as f64 / start.elapsed().as_secs_f64();
    engine.drain()?;
    let rate = rate.unwrap_or(most / 2.0);

    engine.paced(rate, warmup)?;
    let before = meter.read()?;
    let mut pace = engine.paced(rate, time)?;
    let after = meter.read()?;

    let mut values = used(&before, &after, pace.took.len() as u64);
    values.extend([("sustained", most), ("rate", rate)]);
    values.push(("typical_us", pace.typical(0.99, STRETCH).as_secs_f64() * 1e6));
    values.extend(times("p50_us", "p99_us", &mut pace.took));
    values.extend(times("late_p50_us", "late_p99_us", &mut pace.late));
    values.push(("max_us", pace.took.last().map_or(0.0, |most| most.as_secs_f64() * 1e6)));
    report(&values);
    Ok(())
}

/// Short enough that in most of them the machine takes no core away from the server or the client.
const STRETCH: Duration = Duration::from_millis(20);

/// For how long, at most, to find out what a server sustains.
const SUSTAINED: Duration = Duration::from_millis(500);

fn used(before: &Reading, after: &Reading, messages: u64) -> Vec<(&'static str, f64)> {
    vec![
        ("messages", messages as f64),
        ("seconds", (after.at - before.at).as_secs_f64()),
        ("cpu_us", micros(after.cpu - before.cpu, messages)),
        ("user_us", micros(after.user.saturating_sub(before.user), messages)),
    ]
}

/// Of some times, if there are any, in order afterwards.
fn times(half: &'static str, most: &'static str, times: &mut [Duration]) -> Vec<(&'static str, f64)> {
    times.sort_unstable();
    let micros = |share| percentile(times, share).as_secs_f64() * 1e6;
    if times.is_empty() { Vec::new() } else { vec![(half, micros(0.5)), (most, micros(0.99))] }
}

fn micros(time: Duration, messages: u64) -> f64 {
    time.as_secs_f64() * 1e6 / messages as f64
}

/// One line of JSON, for `run`.
fn report(values: &[(&str, f64)]) {
    let fields: Vec<_> = values.iter().map(|(name, value)| format!("\"{name}\": {value:.4}")).collect();
    println!("{{{}}}", fields.join(", "));
}
