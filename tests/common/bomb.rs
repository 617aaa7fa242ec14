//! The most that DEFLATE can make of the least, written bit by bit.

/// `len` zeros, 1032 times shorter: one block of DEFLATE (RFC 1951) whose code gives a run
/// of 258 bytes two zero bits, and whose tail RFC 7692 §7.2.1 has taken off.
pub(crate) fn zeros(len: u64) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0, 1); // BFINAL
    bits.put(2, 2); // BTYPE: a code of its own
    bits.put(29, 5); // HLIT: 286 literals and lengths
    bits.put(0, 5); // HDIST: one distance
    bits.put(14, 4); // HCLEN: 18 of the code that the code is written in
    // In the order of §3.2.7: 18 has one bit (0), 1 and 2 have two (10, 11).
    for len in [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2] {
        bits.put(len, 3);
    }
    let gap = |bits: &mut Bits, len: u32| {
        bits.code("0"); // 18: so many symbols that do not occur
        bits.put(len - 11, 7);
    };
    let (one, two) = ("10", "11");
    bits.code(two); // the literal 0: code 10
    gap(&mut bits, 138);
    gap(&mut bits, 117);
    bits.code(two); // 256, the end: code 11
    gap(&mut bits, 28);
    bits.code(one); // 285, a run of 258: code 0
    bits.code(one); // distance 1: code 0
    if len > 0 {
        let (runs, single) = ((len - 1) / 258, 1 + (len - 1) % 258);
        (0..single).for_each(|_| bits.code("10"));
        (0..runs).for_each(|_| bits.put(0, 2));
    }
    bits.code("11");
    bits.put(0, 3); // the header of an empty block, whose lengths are the tail
    bits.bytes
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    /// §3.1.1: the least significant bit first.
    fn put(&mut self, value: u32, count: u32) {
        for at in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> at & 1) as u8) << self.used;
            self.used = (self.used + 1) % 8;
        }
    }

    /// A Huffman code, its first bit first.
    fn code(&mut self, code: &str) {
        code.bytes().for_each(|bit| self.put(u32::from(bit == b'1'), 1));
    }
}
