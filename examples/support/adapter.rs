//! What the examples' option `--impl` means.

use std::str::FromStr;

/// One of the crate's two adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adapter {
    Tokio,
    Std,
}

/// What `--impl` takes, as the complaint about another value says it.
pub(crate) const TAKES: &str = "tokio or std";

impl FromStr for Adapter {
    type Err = ();

    fn from_str(name: &str) -> Result<Adapter, ()> {
        match name {
            "tokio" => Ok(Adapter::Tokio),
            "std" => Ok(Adapter::Std),
            _ => Err(()),
        }
    }
}
