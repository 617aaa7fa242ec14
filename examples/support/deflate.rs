//! What the examples' option `--deflate` means.

use openline::HandshakeConfig;

/// A handshake with compression: with context takeover unless the peer does not want it
/// (best for few connections), of each message alone (for many), or without. If compression
/// is not built in, all are without.
pub(crate) fn handshake(how: &str) -> Result<HandshakeConfig, String> {
    #[allow(unused_mut, reason = "only what is built in is wished for")]
    let mut handshake = HandshakeConfig::default();
    match how {
        "off" => {}
        "takeover" | "alone" => {
            #[cfg(feature = "deflate")]
            {
                let mut deflate = openline::Deflate::default();
                (deflate.send.takeover, deflate.receive.takeover) = (how == "takeover", how == "takeover");
                handshake.deflate.push(deflate);
            }
        }
        other => return Err(format!("--deflate takes takeover, alone or off, not {other}")),
    }
    Ok(handshake)
}
