//! The load client. It knows bytes and no WebSocket crate, sends what was encoded before, and checks every answer.

mod check;
mod conn;
mod engine;
pub mod frame;
mod handshakes;
mod idle;
mod meter;
pub mod script;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::thread::sleep;
use std::time::Duration;

use crate::Result;
use crate::args::Args;
use crate::serve::raise_files;
use conn::Opening;
use engine::Engine;
use meter::Meter;
use script::{Packing, Script, messages, records};

/// An echo, or a broadcast.
struct Plan {
    connections: usize,
    depth: usize,
    broadcast: bool,
    script: Script,
}

pub fn main(mut args: Args) -> Result<()> {
    let scenario = args.word().ok_or("which scenario?")?;
    let port = args.value("--port")?.ok_or("--port?")?;
    let meter = Meter::new(args.value("--pid")?.ok_or("--pid?")?)?;
    let seconds = Duration::from_secs_f64(args.value("--seconds")?.unwrap_or(1.0));
    let warmup = Duration::from_secs_f64(args.value("--warmup")?.unwrap_or(0.2));
    let connections = args.value("--connections")?;
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
        name => measure(opening, &meter, plan(name, packing)?, warmup, seconds),
    }
}

fn plan(name: &str, packing: Packing) -> Result<Plan> {
    let script = |opcode, count, len| Script::new(opcode, messages(opcode, count, len), Packing::None);
    let (connections, depth, script) = match name {
        "s1" => (100, 1, script(frame::TEXT, 16, 20)),
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
    Ok(Plan { connections, depth, broadcast: name.starts_with("s7"), script })
}

fn measure(opening: Opening, meter: &Meter, plan: Plan, warmup: Duration, time: Duration) -> Result<()> {
    let script = Rc::new(plan.script);
    let mut engine = Engine::open(opening, &script, plan.connections, plan.depth, plan.broadcast)?;
    // All are to be subscribers before there is a message.
    sleep(Duration::from_millis(50));
    engine.start()?;
    engine.run(warmup)?;

    engine.took.clear();
    let wire = |engine: &Engine| {
        let wire = engine.conns.iter().map(|conn| (conn.sent, conn.check.wire));
        wire.fold((0, 0), |sum, conn| (sum.0 + conn.0, sum.1 + conn.1))
    };
    let (sent, received) = wire(&engine);
    let before = meter.read()?;
    let messages = engine.run(time)?;
    let after = meter.read()?;
    let (sent, received) = (wire(&engine).0 - sent, wire(&engine).1 - received);

    engine.took.sort_unstable();
    let median = engine.took.get(engine.took.len() / 2).copied().unwrap_or_default();
    report(&[
        ("messages", messages as f64),
        ("seconds", (after.at - before.at).as_secs_f64()),
        ("cpu_us", micros(after.cpu - before.cpu, messages)),
        ("user_us", micros(after.user.saturating_sub(before.user), messages)),
        ("p50_us", median.as_secs_f64() * 1e6),
        ("sent_bytes", sent as f64 / messages as f64),
        ("received_bytes", received as f64 / messages as f64),
        ("message_bytes", script.messages[0].len() as f64),
    ]);
    Ok(())
}

fn micros(time: Duration, messages: u64) -> f64 {
    time.as_secs_f64() * 1e6 / messages as f64
}

/// One line of JSON, for `run`.
fn report(values: &[(&str, f64)]) {
    let fields: Vec<_> = values.iter().map(|(name, value)| format!("\"{name}\": {value:.4}")).collect();
    println!("{{{}}}", fields.join(", "));
}
