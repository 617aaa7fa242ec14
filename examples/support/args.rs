//! What the examples' command lines have in common: `--help`, and how a mistake is told.

#![allow(dead_code, reason = "every example uses a part of this")]

use std::fmt::Display;
use std::process;
use std::str::FromStr;
use std::time::Duration;

use lexopt::{Arg, Error, Parser, ValueExt};

/// What `parse` makes of the command line. If it finds a mistake the process ends here, with
/// status 2: standard error says what is wrong, and shows the first line of `help`, which is
/// `usage: NAME ARGUMENTS`.
pub(crate) fn read<T>(help: &str, parse: impl FnOnce(&mut Parser) -> Result<T, Error>) -> T {
    let mut args = Parser::from_env();
    match parse(&mut args) {
        Ok(options) => options,
        Err(error) => {
            let usage = help.lines().next().unwrap_or_default();
            let name = usage.split(' ').nth(1).unwrap_or_default();
            eprintln!("{name}: {error}\n{usage}\nTry '{name} --help'.");
            process::exit(2);
        }
    }
}

/// For an example without options.
pub(crate) fn none(help: &str) {
    read(help, |args| match args.next()? {
        Some(arg) => unexpected(arg, help),
        None => Ok(()),
    });
}

/// The last arm of every `match` on an argument. If help was asked for the process ends here,
/// with status 0.
///
/// # Errors
///
/// `arg` is none that the example knows.
pub(crate) fn unexpected<T>(arg: Arg<'_>, help: &str) -> Result<T, Error> {
    if matches!(arg, Arg::Short('h') | Arg::Long("help")) {
        print!("{help}");
        process::exit(0);
    }
    Err(arg.unexpected())
}

/// The value of `option`, which takes `what`.
///
/// # Errors
///
/// There is no value, or it is something else.
pub(crate) fn value<T: FromStr>(args: &mut Parser, option: &str, what: &str) -> Result<T, Error> {
    let value = args.value()?.string()?;
    value.parse().map_err(|_| format!("{option} takes {what}, not {value:?}").into())
}

/// The value of `option`, which takes seconds, with a fraction or without.
///
/// # Errors
///
/// There is no value, or it is no length of time.
pub(crate) fn seconds(args: &mut Parser, option: &str) -> Result<Duration, Error> {
    let what = "a number of seconds";
    let seconds: f64 = value(args, option, what)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{option} takes {what}, not \"{seconds}\"").into())
}

/// As an error of the command line, with the argument that it is about.
pub(crate) fn wrong(about: impl Display, error: impl Display) -> Error {
    format!("{about}: {error}").into()
}
