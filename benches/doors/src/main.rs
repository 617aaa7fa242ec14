//! The clients of a comparison: long polling, server-sent events and WebSocket on the same topic of the same server, which
//! is `examples/web`. `run` starts it all and makes tables of what is printed here.
//!
//! | module | what it does |
//! |---|---|
//! | [`clients`] | many clients of one door in one thread; counts what comes, and finds what does not |
//! | [`door`] | one client, without its socket: what it says, and what it makes of the answers |
//! | [`http`], [`events`], [`frames`] | the parsers: they take their input in any pieces |
//! | [`message`] | a message's number and time, in what a server says |
//! | [`requests`] | what browsers send with each request, and the least that is enough |
//! | [`publish`], [`schedule`] | messages by the clock, whatever the server does |
//! | [`link`] | a line of a certain length between two network namespaces |
//! | [`stats`], [`counters`] | percentiles; packets |

mod args;
mod clients;
mod counters;
mod door;
mod events;
mod frames;
mod http;
mod link;
mod message;
mod publish;
mod requests;
mod schedule;
mod stats;

use std::process::ExitCode;

use args::Args;

/// Whatever went wrong: all that is done with it is to print it.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

fn main() -> ExitCode {
    let mut args = Args::new(std::env::args().skip(1));
    let outcome = match args.word().as_deref() {
        Some("clients") => clients::main(args),
        Some("publish") => publish::main(args),
        Some("link") => link::main(args),
        _ => Err("doors clients --door poll|events|socket | publish | link; see `run`".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("doors: {error}");
            ExitCode::FAILURE
        }
    }
}
