//! Echo servers of openline and its peers, a load client that knows none of them, and benchmarks in memory.
//! `run` starts them in pairs and makes tables of what they print.

mod args;
mod load;
mod micro;
mod serve;

use std::process::ExitCode;

use args::Args;

/// Whatever went wrong: all that is done with it is to print it.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

fn main() -> ExitCode {
    let mut args = Args::new(std::env::args().skip(1));
    let outcome = match args.word().as_deref() {
        Some("serve") => serve::main(args),
        Some("load") => load::main(args),
        Some("micro") => micro::main(args),
        _ => Err("peers serve NAME | load SCENARIO | micro [decode] [encode] [mask]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
