//! Just enough of RFC 6455 §5.2 for a client. Written for this client alone, so that no crate judges its peers.

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Appends a masked frame.
pub fn write(out: &mut Vec<u8>, opcode: u8, rsv1: bool, key: [u8; 4], payload: &[u8]) {
    out.push(0x80 | u8::from(rsv1) << 6 | opcode);
    match payload.len() {
        len @ 0..126 => out.push(0x80 | len as u8),
        len @ 126..65536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// The header of a server's frame.
#[derive(Clone, Copy)]
pub struct Head {
    pub fin: bool,
    pub rsv1: bool,
    pub opcode: u8,
    pub payload: usize,
    /// Its own length.
    pub size: usize,
}

impl Head {
    /// `None` if there are too few bytes.
    pub fn read(bytes: &[u8]) -> Result<Option<Head>, String> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & 0x30 != 0 || second & 0x80 != 0 {
            return Err(format!("a header that no server may send: {first:02x} {second:02x}"));
        }
        let (payload, size) = match (second, rest.first_chunk(), rest.first_chunk()) {
            (0..126, ..) => (u64::from(*second), 2),
            (126, Some(len), _) => (u64::from(u16::from_be_bytes(*len)), 4),
            (127, _, Some(len)) => (u64::from_be_bytes(*len), 10),
            _ => return Ok(None),
        };
        let payload = usize::try_from(payload).map_err(|_| "a frame longer than memory".to_string())?;
        Ok(Some(Head { fin: first & 0x80 != 0, rsv1: first & 0x40 != 0, opcode: first & 15, payload, size }))
    }
}
