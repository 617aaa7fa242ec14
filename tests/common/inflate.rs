//! DEFLATE (RFC 1951) once more, bit by bit and without any speed, to judge by it what
//! the crate sends: what it says, and how far back it refers.

/// What a compressed message says.
pub(crate) struct Inflated {
    pub(crate) data: Vec<u8>,
    /// The longest distance of any reference.
    pub(crate) farthest: usize,
}

/// Inflates one message's payload, to which RFC 7692 §7.2.2 appends four bytes. `before`
/// is what came earlier, if it may be referred to. Panics on anything that is not DEFLATE.
pub(crate) fn inflate(payload: &[u8], before: &[u8]) -> Inflated {
    let bytes = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut bits = Bits { bytes: &bytes, at: 0 };
    let (mut data, mut farthest) = (before.to_vec(), 0);
    while bits.at < bytes.len() * 8 {
        assert_eq!(bits.take(1), 0, "BFINAL: a compressor that is asked to flush does not end its stream");
        match bits.take(2) {
            0 => {
                bits.at = bits.at.next_multiple_of(8);
                let len = bits.take(16);
                assert_eq!(bits.take(16), !len & 0xffff, "§3.2.4: NLEN is the complement");
                data.extend((0..len).map(|_| bits.take(8) as u8));
            }
            1 => {
                let lengths: Vec<u8> = (0..288)
                    .map(|symbol| match symbol {
                        0..144 => 8,
                        144..256 => 9,
                        256..280 => 7,
                        _ => 8,
                    })
                    .collect();
                block(&mut bits, &Code::new(&lengths), &Code::new(&[5; 30]), &mut data, &mut farthest);
            }
            2 => {
                let (literals, distances) = codes(&mut bits);
                block(&mut bits, &literals, &distances, &mut data, &mut farthest);
            }
            _ => panic!("§3.2.3: reserved block type"),
        }
    }
    assert_eq!(bits.at, bytes.len() * 8, "§7.2.1: ends with the tail");
    data.drain(..before.len());
    Inflated { data, farthest }
}

struct Bits<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Bits<'_> {
    /// §3.1.1: the least significant bit first.
    fn take(&mut self, count: usize) -> usize {
        let mut value = 0;
        for i in 0..count {
            let bit = self.bytes[self.at / 8] >> (self.at % 8) & 1;
            self.at += 1;
            value |= usize::from(bit) << i;
        }
        value
    }
}

/// A Huffman code (§3.2.2): for each length the first code, and the symbols that have the
/// codes from there on.
struct Code(Vec<(usize, Vec<usize>)>);

impl Code {
    fn new(lengths: &[u8]) -> Code {
        let mut next = 0;
        let of_length = |len: u8| (0..lengths.len()).filter(move |symbol| lengths[*symbol] == len);
        let codes = (1..=15).map(|len| {
            let (first, symbols) = (next, of_length(len).collect::<Vec<_>>());
            next = (first + symbols.len()) << 1;
            (first, symbols)
        });
        Code(codes.collect())
    }

    fn read(&self, bits: &mut Bits<'_>) -> usize {
        let mut so_far = 0;
        for (first, symbols) in &self.0 {
            so_far = so_far << 1 | bits.take(1);
            if let Some(symbol) = symbols.get(so_far.wrapping_sub(*first)) {
                return *symbol;
            }
        }
        panic!("§3.2.2: no such code");
    }
}

/// §3.2.7: the codes of a dynamic block.
fn codes(bits: &mut Bits<'_>) -> (Code, Code) {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (literals, distances, count) = (bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4);
    let mut lengths = [0; 19];
    for place in &ORDER[..count] {
        lengths[*place] = bits.take(3) as u8;
    }
    let code = Code::new(&lengths);
    let mut lengths: Vec<u8> = vec![];
    while lengths.len() < literals + distances {
        let (value, times) = match code.read(bits) {
            16 => (*lengths.last().unwrap(), bits.take(2) + 3),
            17 => (0, bits.take(3) + 3),
            18 => (0, bits.take(7) + 11),
            len => (len as u8, 1),
        };
        lengths.extend(std::iter::repeat_n(value, times));
    }
    assert_eq!(lengths.len(), literals + distances);
    (Code::new(&lengths[..literals]), Code::new(&lengths[literals..]))
}

/// §3.2.5: literals and references, up to the end of the block.
fn block(bits: &mut Bits<'_>, literals: &Code, distances: &Code, data: &mut Vec<u8>, farthest: &mut usize) {
    loop {
        let len = match literals.read(bits) {
            256 => return,
            literal @ 0..256 => {
                data.push(literal as u8);
                continue;
            }
            285 => 258,
            symbol @ 257..265 => symbol - 254,
            symbol => {
                let extra = (symbol - 261) / 4;
                ((4 + (symbol - 261) % 4) << extra) + 3 + bits.take(extra)
            }
        };
        let distance = match distances.read(bits) {
            symbol @ 0..4 => symbol + 1,
            symbol => {
                let extra = symbol / 2 - 1;
                ((2 + symbol % 2) << extra) + 1 + bits.take(extra)
            }
        };
        *farthest = distance.max(*farthest);
        for _ in 0..len {
            data.push(data[data.len() - distance]);
        }
    }
}
