//! What the queue promises, for any script of calls: the stream, the counts, the memory.

use super::*;
use std::vec;

fn waiting(buffer: &SendBuffer) -> Vec<u8> {
    buffer.slices().collect::<Vec<_>>().concat()
}

/// Every script of runs and blocks, sent in every step size, comes out as it went in.
#[test]
fn what_goes_in_comes_out_in_order() {
    for step in 1..12 {
        let mut buffer = SendBuffer::default();
        let mut expected = vec![];
        for round in 0..40_u8 {
            let piece = vec![round; usize::from(round % 5)];
            expected.extend_from_slice(&piece);
            if round % 3 == 0 {
                buffer.push_block(Bytes::from(piece));
            } else {
                buffer.run(piece.len()).extend_from_slice(&piece);
            }
        }
        let total = expected.len();
        assert_eq!(buffer.written(), total as u64);
        while !buffer.is_empty() {
            assert_eq!(waiting(&buffer), expected);
            assert_eq!(buffer.len(), expected.len());
            assert!(buffer.slices().all(|slice| !slice.is_empty()));
            buffer.advance(step);
            expected.drain(..step.min(expected.len()));
        }
        assert_eq!(buffer.transmitted(), total as u64);
    }
}

/// A small generator, so that a script can be replayed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }

    /// Mostly short, sometimes long.
    fn len(&mut self) -> usize {
        let most = [10, 300, 5000, 40_000, 200_000][self.below(5)];
        self.below(most)
    }
}

/// A stream in which bytes that stand near each other differ, as do those at round distances.
struct Stream(Vec<u8>);

impl Stream {
    const PERIOD: usize = 99_991;

    fn new() -> Stream {
        let byte = |at: usize| (at % 251) as u8 ^ (at >> 8) as u8;
        Stream((0..Stream::PERIOD).cycle().take(30 * Stream::PERIOD).map(byte).collect())
    }

    fn at(&self, at: u64, len: usize) -> &[u8] {
        &self.0[at as usize % Stream::PERIOD..][..len]
    }
}

/// Any script of runs, blocks, takes and advances: the stream is the same, the counts are
/// right, and what is held is what waits and the constants that are promised.
#[test]
#[cfg_attr(miri, ignore = "moves megabytes")]
fn any_script_keeps_the_stream_and_the_bound() {
    let stream = Stream::new();
    for seed in 1..40 {
        let mut dice = Dice(seed * 0x9e37_79b9);
        let mut buffer = SendBuffer::default();
        // Where the stream has been written, taken or seen, and transmitted.
        let (mut end, mut front, mut gone) = (0_u64, 0_u64, 0_u64);
        let mut held = 0;
        // Each script has its own habits.
        let (takes, most_queued) = (seed % 3 == 0, [1, 100_000, 1_000_000][dice.below(3)]);
        for _ in 0..400 {
            let act = if buffer.len() > most_queued { 2 + dice.below(2) } else { dice.below(4) };
            let len = dice.len();
            let info = match act {
                0 => allocation_counter::measure(|| {
                    let run = buffer.run(len);
                    let room = run.capacity() - run.len();
                    assert!(room >= len);
                    run.extend_from_slice(stream.at(end, len));
                    end += len as u64;
                }),
                1 => allocation_counter::measure(|| {
                    buffer.push_block(Bytes::copy_from_slice(stream.at(end, len)));
                    end += len as u64;
                }),
                2 if takes => allocation_counter::measure(|| {
                    let bytes = buffer.take(len);
                    assert_eq!(bytes.is_some(), len > 0 && front < end);
                    let bytes = bytes.unwrap_or_default();
                    assert!(bytes.len() <= len);
                    assert_eq!(bytes, stream.at(front, bytes.len()));
                    front += bytes.len() as u64;
                }),
                _ => allocation_counter::measure(|| {
                    buffer.advance(len);
                    gone = end.min(gone + len as u64);
                    front = front.max(gone);
                }),
            };
            held += info.bytes_current;
            assert_eq!(buffer.len() as u64, end - gone);
            assert_eq!(buffer.written(), end);
            assert_eq!(buffer.transmitted(), gone);
            assert!(buffer.slices().all(|slice| !slice.is_empty()));
            assert_eq!(buffer.slices().map(<[u8]>::len).sum::<usize>() as u64, end - front);
            if dice.below(10) == 0 {
                assert_eq!(waiting(&buffer), stream.at(front, (end - front) as usize));
            }
            assert_eq!(buffer.first_slice(), buffer.slices().next().unwrap_or_default());

            let (first, block_sent, queue) = buffer.beside.as_ref().map_or((0, 0, 0), |beside| {
                let first = beside.blocks.front().map_or(0, |(_, block)| block.len());
                let queue = size_of::<Beside>() + beside.blocks.capacity() * 48 + beside.blocks.len() * (SLACK + 64);
                (first, beside.block_sent, queue)
            });
            let excused = if first > RUN.max(block_sent / 16) { block_sent } else { 0 };
            let waits = (end - front) as usize;
            let bound = waits + 2 * RUN + excused + queue;
            // A block whose last taker is gone is freed when more is sent.
            assert!(takes || held <= bound as i64, "seed {seed}: {held} bytes held, {waits} wait, {excused}");
        }
        let rest = allocation_counter::measure(|| {
            assert_eq!(waiting(&buffer), stream.at(front, (end - front) as usize));
            buffer.advance(usize::MAX);
            assert!(buffer.is_empty());
        });
        held += rest.bytes_current;
        assert!(held <= LITTLE as i64, "{held} bytes held when empty");
    }
}

/// What was taken and dropped is not held, and what waits behind it is.
#[test]
#[cfg_attr(miri, ignore = "moves megabytes")]
fn a_queue_that_is_taken_holds_no_more_than_waits() {
    let mut buffer = SendBuffer::default();
    let mut held = 0;
    for round in 0..2000 {
        held += allocation_counter::measure(|| {
            buffer.run(1000).extend_from_slice(&[1; 1000]);
            buffer.push_block(Bytes::from(vec![2; 20_000]));
            if round >= 3 {
                let mut left = 21_000;
                while left > 0 {
                    left -= buffer.take(left).map_or(0, |bytes| bytes.len());
                }
                buffer.advance(21_000);
            }
        })
        .bytes_current;
        assert!(held <= 5 * 21_000 + 2 * RUN as i64, "{held} bytes held in round {round}");
    }
    assert_eq!(buffer.len(), 3 * 21_000);
}

/// Where it is taken and where it is sent from: nothing is copied.
#[test]
fn what_is_taken_is_not_copied() {
    let mut buffer = SendBuffer::default();
    let long = vec![7; 100_000];
    let run = buffer.run(long.len());
    run.extend_from_slice(&long);
    let at = run.as_ptr();
    let block = Bytes::from(long);
    let block_at = block.as_ptr();
    buffer.push_block(block);
    assert_eq!(buffer.take(0), None);
    let front = buffer.take(60_000).unwrap();
    assert_eq!((front.as_ptr(), front.len()), (at, 60_000));
    assert_eq!(buffer.take(usize::MAX).unwrap().as_ptr(), at.wrapping_add(60_000));
    assert_eq!(buffer.take(usize::MAX).unwrap().as_ptr(), block_at);
    assert_eq!(buffer.take(usize::MAX), None);
    assert_eq!((buffer.len(), buffer.is_empty()), (200_000, false));
    assert_eq!((buffer.written(), buffer.transmitted()), (200_000, 0));
    // What comes behind it can be looked at at once, and is transmitted after it.
    buffer.run(2).extend_from_slice(b"on");
    assert_eq!(waiting(&buffer), b"on");
    buffer.advance(200_001);
    assert_eq!(waiting(&buffer), b"n");
    buffer.advance(1);
    assert!(buffer.is_empty());
    // A queue that was cleared has nothing on its way.
    buffer.run(9).extend_from_slice(&[0; 9]);
    let _ = buffer.take(5);
    buffer.clear();
    buffer.advance(5);
    assert_eq!((buffer.len(), buffer.transmitted()), (0, 200_002));
}

/// A long message, then short ones, as the peer takes it a little at a time.
#[test]
#[cfg_attr(miri, ignore = "moves megabytes")]
fn a_long_run_is_given_back_when_little_of_it_is_left() {
    let len = 16 << 20;
    for shared in [false, true] {
        let mut buffer = SendBuffer::default();
        let mut held = allocation_counter::measure(|| match shared {
            false => buffer.run(len).extend_from_slice(&vec![1; len]),
            true => buffer.push_block(Bytes::from(vec![1; len])),
        })
        .bytes_current;
        let mut total = 0;
        while buffer.len() > 6 {
            held += allocation_counter::measure(|| {
                // Little or nothing is appended meanwhile: it makes no difference.
                if total % 2 == 0 {
                    buffer.run(6).extend_from_slice(b"\x8a\x04pong");
                }
                let step = buffer.len().div_ceil(10).min(buffer.len() - 6).max(1);
                buffer.advance(step);
                total += 1;
            })
            .bytes_current;
            let (waits, bound) = (buffer.len(), 17 * buffer.len() + 3 * RUN);
            assert!(held <= bound.min(len + 2 * RUN) as i64, "{held} bytes held, {waits} wait");
            if total > 2000 {
                break;
            }
        }
        assert!(held <= 2 * RUN as i64, "{held}");
    }
}

/// Each byte that is appended costs the copy that appends it and little more, however long the
/// run was before.
#[test]
#[cfg_attr(miri, ignore = "moves megabytes")]
fn growth_moves_a_byte_a_constant_number_of_times() {
    for write in [6, 100, 1000, 10_000, 60_000] {
        let info = allocation_counter::measure(|| {
            let mut buffer = SendBuffer::default();
            for _ in 0..(4 << 20) / write {
                buffer.run(write).extend(std::iter::repeat_n(7, write));
            }
            assert_eq!(buffer.len(), (4 << 20) / write * write);
        });
        let bytes = info.bytes_total;
        assert!(bytes < 3 * (4 << 20), "{bytes} bytes allocated for 4 MiB in writes of {write}");
    }
}

#[test]
fn nothing_of_it_is_shown() {
    let mut buffer = SendBuffer::default();
    buffer.run(6).extend_from_slice(b"secret");
    buffer.push_block(Bytes::from_static(b"secret"));
    let shown = std::format!("{buffer:?}");
    assert!(shown.contains("12") && !shown.contains("secret") && !shown.contains("115, 101"), "{shown}");
}

#[test]
#[cfg_attr(miri, ignore = "moves megabytes")]
fn a_queue_that_never_empties_does_not_grow() {
    let mut buffer = SendBuffer::default();
    buffer.run(1000).extend_from_slice(&[0; 1000]);
    for _ in 0..10_000 {
        buffer.run(1000).extend_from_slice(&[0; 1000]);
        buffer.push_block(Bytes::from_static(b"block"));
        buffer.advance(1005);
    }
    assert_eq!(buffer.len(), 1000);
    assert!(buffer.run.capacity() < 64 * 1024, "{}", buffer.run.capacity());
}

#[test]
fn an_empty_buffer_owns_next_to_nothing() {
    let mut buffer = SendBuffer::default();
    buffer.run(100_000).extend_from_slice(&[0; 100_000]);
    buffer.push_block(Bytes::from(vec![0; 100_000]));
    buffer.advance(usize::MAX);
    assert!(buffer.is_empty());
    assert!(buffer.run.capacity() <= LITTLE);
    assert!(buffer.beside.is_none());
}
