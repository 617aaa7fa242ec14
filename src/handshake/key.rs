//! §4.1, §4.2.2: Sec-WebSocket-Key, and Sec-WebSocket-Accept, by which a server proves that it read the key.

use alloc::string::String;

use base64::Engine;
use base64::alphabet;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{PAD, STANDARD};
use sha1::{Digest, Sha1};

/// The value of Sec-WebSocket-Key for a nonce (§4.1).
pub(super) fn encode(nonce: [u8; 16]) -> String {
    STANDARD.encode(nonce)
}

/// §4.2.1: whether this is a "base64-encoded [...] value that, when decoded, is 16 bytes in length".
/// The last four bits belong to no byte. They may be set: they are in the RFC's own example in §4.1.
pub(super) fn is_valid(key: &[u8]) -> bool {
    let mut nonce = [0; 18];
    key.len() == 24 && LENIENT.decode_slice(key, &mut nonce) == Ok(16)
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_allow_trailing_bits(true));

/// §4.2.2, 5: the value of Sec-WebSocket-Accept for a key.
pub(super) fn accept(key: &[u8]) -> [u8; 28] {
    let mut value = [0; 28];
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let len = STANDARD.encode_slice(hash, &mut value);
    debug_assert_eq!(len, Ok(value.len()), "20 bytes make 28 letters");
    value
}

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_section_1_3() {
        assert_eq!(encode(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(&accept(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_the_base64_of_16_bytes() {
        for key in [&b"dGhlIHNhbXBsZSBub25jZQ=="[..], b"dGhlIHNhbXBsZSBub25jZR==", b"AQIDBAUGBwgJCgsMDQ4PEC=="] {
            assert!(is_valid(key), "{}", String::from_utf8_lossy(key));
        }
        for wrong in [
            &b""[..],
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"dGhlIHNhbXBsZSBub25jZQ= ",
            b"dGhlIHNhbXBsZSBub25jZSE=",
            b"dGhlIHNhbXBsZSBub25j",
            b"dGhlIHNhbXBsZSBub25jZSEh",
            b"dGhlIHNhbXBsZSBub2-_ZQ==",
        ] {
            assert!(!is_valid(wrong), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
