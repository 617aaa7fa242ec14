//! What the benchmarks share.

#![allow(dead_code, reason = "every benchmark uses a part of this")]

use openline::frame::{Header, MaskKey, Opcode};
use openline::{Agreement, Config, Connection, Role, Time, Upgrade};

pub(crate) fn connection(role: Role) -> Connection {
    let upgrade = match role {
        Role::Server => Upgrade::server(Agreement::default()),
        Role::Client => Upgrade::client(Agreement::default(), [7; 32]),
    };
    Connection::new(upgrade, Config::default(), Time::ZERO)
}

/// ASCII, as most text is.
pub(crate) fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| b'a' + (i % 26) as u8).collect()
}

/// Whole messages as `sender` writes them.
pub(crate) fn frames(sender: Role, text: bool, payload: &[u8], count: usize) -> Vec<u8> {
    let mut wire = vec![];
    for i in 0..count {
        let mask = (sender == Role::Client).then(|| MaskKey::new([i as u8, 0xfa, 0x21, 0x3d]));
        let opcode = if text { Opcode::Text } else { Opcode::Binary };
        let mut header = [0; Header::MAX_SIZE];
        let size = Header { fin: true, rsv: 0, opcode, mask, len: payload.len() as u64 }.encode(&mut header);
        wire.extend_from_slice(&header[..size]);
        let start = wire.len();
        wire.extend_from_slice(payload);
        if let Some(key) = mask {
            let _ = key.apply(&mut wire[start..]);
        }
    }
    wire
}
