//! Publishes by the clock: a message is sent at its moment, whether the server has answered the last one or not, so a slow
//! server shows as latency and not as fewer messages. All over one connection, in the order of their numbers.
//!
//! A message has the time at which it is written. How late that is by the clock is printed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::args::Args;
use crate::http::{Reader, Step};
use crate::message::{Heard, to_publish};
use crate::schedule::moments;
use crate::{Result, stats};

/// `publish --to ADDRESS --count N --seconds S --seed N --offset S`: prints one JSON object when all are answered.
pub(crate) fn main(mut args: Args) -> Result<()> {
    let to: SocketAddr = args.value("--to")?;
    let (count, seconds): (usize, f64) = (args.value("--count")?, args.value("--seconds")?);
    let (seed, offset): (u64, f64) = (args.value("--seed")?, args.value("--offset")?);
    args.end()?;
    let (length, offset) = (Duration::try_from_secs_f64(seconds)?, Duration::try_from_secs_f64(offset)?);

    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    let answers = stream.try_clone()?;
    let answers = thread::spawn(move || read(answers, count));
    let start = Instant::now() + offset;
    let mut late = Vec::with_capacity(count);
    for (n, moment) in (1..).zip(moments(count, length, seed)) {
        thread::sleep((start + moment).saturating_duration_since(Instant::now()));
        late.push(u64::try_from((start + moment).elapsed().as_nanos())?);
        let at = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
        stream.write_all(&request(Heard { n, at }))?;
    }
    answers.join().map_err(|_| "the reader panicked")??;
    thread::sleep((start + length).saturating_duration_since(Instant::now()));
    late.sort_unstable();
    let late = |part| stats::percentile(&late, part).unwrap_or(0);
    println!("{{\"published\":{count},\"late_p99_ns\":{},\"late_max_ns\":{}}}", late(0.99), late(1.0));
    Ok(())
}

fn request(heard: Heard) -> Vec<u8> {
    let body = to_publish(heard);
    let head = format!(
        "POST /publish?topic=doors HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// Until all are answered, each with 200.
fn read(mut stream: TcpStream, count: usize) -> Result<()> {
    let (mut reader, mut body, mut answered) = (Reader::default(), Vec::new(), 0);
    let mut room = [0; 4096];
    // What takes longer than any of the measurements is a failure.
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    while answered < count {
        let length = stream.read(&mut room)?;
        if length == 0 {
            return Err(format!("the server has answered {answered} of {count} and closed").into());
        }
        let mut input = &room[..length];
        loop {
            match reader.read(&mut input, &mut body)? {
                Step::More => break,
                Step::Head(head) if head.status != 200 => return Err(format!("not published: {}", head.status).into()),
                Step::Head(_) => {}
                Step::End => {
                    answered += 1;
                    body.clear();
                }
            }
        }
    }
    Ok(())
}
