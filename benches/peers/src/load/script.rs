//! What a connection sends, encoded before the clock starts: a cycle of frames, over and over.

use flate2::{Compress, Compression, FlushCompress};

use super::frame;

pub struct Script {
    pub opcode: u8,
    /// The payloads, one for each frame of a cycle.
    pub messages: Vec<Vec<u8>>,
    /// A first cycle, and two more, so that a burst which crosses the end is contiguous.
    pub bytes: Vec<u8>,
    /// Where each frame begins, and where the last one ends.
    pub starts: Vec<usize>,
}

/// How the messages are compressed.
#[derive(Clone, Copy, PartialEq)]
pub enum Packing {
    None,
    /// Each by itself.
    Alone,
    /// With context takeover.
    Takeover,
}

impl Script {
    pub fn new(opcode: u8, messages: Vec<Vec<u8>>, packing: Packing) -> Script {
        let mut script = Script { opcode, messages, bytes: Vec::new(), starts: vec![0] };
        let mut compress = Compress::new(Compression::default(), false);
        // With takeover the first cycle refers to itself only, and the second to the first. The third is then the
        // second again: what lies in the window is the same, for a cycle is longer than a window.
        script.cycle(packing, &mut compress);
        let first = script.bytes.len();
        script.cycle(packing, &mut compress);
        script.bytes.extend_from_within(first..);
        let len = script.messages.len();
        let shift = script.bytes.len() - script.starts[2 * len];
        for frame in len + 1..=2 * len {
            script.starts.push(script.starts[frame] + shift);
        }
        script
    }

    /// How many frames a cycle has.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// The length of the repeated cycle in bytes.
    pub fn cycle_bytes(&self) -> usize {
        self.starts[2 * self.len()] - self.starts[self.len()]
    }

    fn cycle(&mut self, packing: Packing, compress: &mut Compress) {
        for (number, message) in self.messages.iter().enumerate() {
            let key = (number as u32 + 1).wrapping_mul(0x9e37_79b9).to_be_bytes();
            if packing == Packing::None {
                frame::write(&mut self.bytes, self.opcode, false, key, message);
            } else {
                let packed = pack(compress, message);
                frame::write(&mut self.bytes, self.opcode, true, key, &packed);
                if packing == Packing::Alone {
                    compress.reset();
                }
            }
            self.starts.push(self.bytes.len());
        }
    }
}

/// RFC 7692 §7.2.1.
pub fn pack(compress: &mut Compress, message: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(message.len() + 64);
    compress.compress_vec(message, &mut packed, FlushCompress::Sync).expect("compressing into a vector");
    assert!(packed.ends_with(&[0, 0, 0xff, 0xff]), "it had room to flush");
    packed.truncate(packed.len() - 4);
    packed
}

/// Messages that differ, of the same length. Text has characters of two bytes, as much text has.
pub fn messages(opcode: u8, count: usize, len: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| if opcode == frame::TEXT { words(number, len) } else { noise(number, len) }).collect()
}

fn words(number: usize, len: usize) -> Vec<u8> {
    let mut text = format!("{number:02} ");
    while text.len() + 2 <= len {
        text.push_str(["é", "a ", "b,", "cd", "ef"][(text.len() + number) % 5]);
    }
    text.extend((text.len()..len).map(|_| '.'));
    text.into_bytes()
}

fn noise(number: usize, len: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Messages as an application sends them: the same fields, other values.
pub fn records(count: usize, len: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| record(number, len)).collect()
}

fn record(number: usize, len: usize) -> Vec<u8> {
    let mut random = noise(number, 2 * len).into_iter().map(u32::from);
    let mut next = move || random.next().unwrap_or(7) << 8 | random.next().unwrap_or(9);
    let mut text = format!("{{\"type\":\"snapshot\",\"sequence\":{},\"items\":[", 1_000_000 + number);
    loop {
        let item = format!(
            "{{\"id\":\"{:08x}\",\"symbol\":\"{}\",\"price\":{}.{:02},\"volume\":{},\"side\":\"{}\",\"active\":{}}},",
            next() << 16 | next(),
            ["ACME", "GLOBEX", "INITECH", "UMBRELLA", "HOOLI"][next() as usize % 5],
            next() % 1000,
            next() % 100,
            next(),
            ["buy", "sell"][next() as usize % 2],
            next() % 2 == 0,
        );
        if text.len() + item.len() + 3 > len {
            break;
        }
        text.push_str(&item);
    }
    text.pop();
    text.push_str("]}");
    text.extend((text.len()..len).map(|_| ' '));
    text.into_bytes()
}
