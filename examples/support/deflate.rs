//! What the examples' option `--deflate` means.

#![allow(dead_code, reason = "every example uses a part of this")]

use std::str::FromStr;

use openline::HandshakeConfig;

/// How a connection is to be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// With context takeover, unless the peer does not want it: best for few connections.
    Takeover,
    /// Each message alone: for many connections.
    Alone,
    Off,
}

/// What `--deflate` takes, as the complaint about another value says it.
pub(crate) const TAKES: &str = "takeover, alone or off";

impl FromStr for Compression {
    type Err = ();

    fn from_str(name: &str) -> Result<Compression, ()> {
        match name {
            "takeover" => Ok(Compression::Takeover),
            "alone" => Ok(Compression::Alone),
            "off" => Ok(Compression::Off),
            _ => Err(()),
        }
    }
}

impl Compression {
    /// A handshake that asks for it. If compression is not built in, none asks for any.
    pub(crate) fn handshake(self) -> HandshakeConfig {
        #[allow(unused_mut, reason = "only what is built in is wished for")]
        let mut handshake = HandshakeConfig::default();
        #[cfg(feature = "deflate")]
        if self != Compression::Off {
            let takeover = self == Compression::Takeover;
            let mut deflate = openline::Deflate::default();
            (deflate.send.takeover, deflate.receive.takeover) = (takeover, takeover);
            handshake.deflate.push(deflate);
        }
        handshake
    }
}
