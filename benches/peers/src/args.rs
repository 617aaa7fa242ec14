//! The command line: words, flags and `--name value`.

use std::str::FromStr;

use crate::Result;

pub struct Args(Vec<String>);

impl Args {
    pub fn new(args: impl Iterator<Item = String>) -> Args {
        Args(args.collect())
    }

    /// The next word, unless an option comes first.
    pub fn word(&mut self) -> Option<String> {
        let is_word = self.0.first().is_some_and(|arg| !arg.starts_with("--"));
        is_word.then(|| self.0.remove(0))
    }

    pub fn flag(&mut self, name: &str) -> bool {
        let found = self.0.iter().position(|arg| arg == name);
        found.map(|at| self.0.remove(at)).is_some()
    }

    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(at) = self.0.iter().position(|arg| arg == name) else { return Ok(None) };
        self.0.remove(at);
        if at == self.0.len() {
            return Err(format!("{name} needs a value").into());
        }
        let value = self.0.remove(at);
        value.parse().map(Some).map_err(|_| format!("{name}: {value:?}?").into())
    }

    /// What nobody asked for is a mistake.
    pub fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("not understood: {:?}", self.0).into()) }
    }
}
