//! The command line: a word, then `--name value`. What nobody asked for is an error.

use std::str::FromStr;

use crate::Result;

pub(crate) struct Args(Vec<String>);

impl Args {
    pub(crate) fn new(args: impl Iterator<Item = String>) -> Args {
        Args(args.collect())
    }

    /// The next word, unless an option comes first.
    pub(crate) fn word(&mut self) -> Option<String> {
        let is_word = self.0.first().is_some_and(|arg| !arg.starts_with("--"));
        is_word.then(|| self.0.remove(0))
    }

    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let found = self.0.iter().position(|arg| arg == name);
        found.map(|at| self.0.remove(at)).is_some()
    }

    /// An option that must be there.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str) -> Result<T> {
        let at = self.0.iter().position(|arg| arg == name).ok_or_else(|| format!("{name} is missing"))?;
        self.0.remove(at);
        if at == self.0.len() {
            return Err(format!("{name} needs a value").into());
        }
        let value = self.0.remove(at);
        value.parse().map_err(|_| format!("{name}: {value:?}?").into())
    }

    pub(crate) fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("not understood: {:?}", self.0).into()) }
    }
}
