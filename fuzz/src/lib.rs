//! What several targets need: frames written by hand, bytes cut into pieces, and a connection
//! without a handshake.

use openline::frame::{Header, MaskKey, Opcode};
use openline::{Agreement, Config, Connection, Deflate, Role, Time, Upgrade};

/// A frame as `sender` writes it, masked if that is a client.
pub fn frame(sender: Role, fin: bool, rsv: u8, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mask = sender.masks().then_some(MaskKey::new([0x37, 0xfa, 0x21, 0x3d]));
    let mut header = [0; Header::MAX_SIZE];
    let size = Header { fin, rsv, opcode, mask, len: payload.len() as u64 }.encode(&mut header);
    let mut bytes = header[..size].to_vec();
    bytes.extend_from_slice(payload);
    if let Some(key) = mask {
        let _ = key.apply(&mut bytes[size..]);
    }
    bytes
}

/// Cuts `bytes` into pieces, each longer by one than the next of `sizes`, which are used in turn.
pub fn cut<'a>(bytes: &'a [u8], sizes: [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    sizes.into_iter().cycle().map_while(move |size| {
        let (piece, after) = rest.split_at(rest.len().min(usize::from(size) + 1));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

pub fn role(server: bool) -> Role {
    if server { Role::Server } else { Role::Client }
}

/// A connection as the handshake would leave it.
pub fn connection(role: Role, deflate: Option<Deflate>, config: Config) -> Connection {
    let mut agreement = Agreement::default();
    agreement.deflate = deflate;
    let upgrade = match role {
        Role::Server => Upgrade::server(agreement),
        Role::Client => Upgrade::client(agreement, [7; 32]),
    };
    Connection::new(upgrade, config, Time::ZERO)
}

/// Single parts of what a connection wants.
pub trait Asks {
    /// The next deadline.
    fn until(&self) -> Option<Time>;
    /// Whether to shut down the writing side, or to drop the transport.
    fn ends(&self) -> bool;
}

impl Asks for Connection {
    fn until(&self) -> Option<Time> {
        self.wants().and_then(|wants| wants.until)
    }

    fn ends(&self) -> bool {
        self.wants().is_none_or(|wants| wants.end)
    }
}
