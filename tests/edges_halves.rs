//! The two halves of the blocking adapter: interleavings that gates in the transport force.
#![cfg(feature = "std")]

mod common;
mod edges_wire;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use common::*;
use edges_wire::*;
use openline::Message;
use openline::Role::{Client, Server};

/// The first flush lasts until the receiver is in a read again.
fn once_flushing(writing: &Gate, reading: &Gate) -> impl FnMut(usize) -> io::Result<()> + Send + 'static {
    let (writing, reading) = (writing.clone(), reading.clone());
    move |n| {
        if n == 1 {
            writing.open();
            reading.pass();
        }
        Ok(())
    }
}

/// Promise: as above. Instead the Pong that waits for room, which this very turn queues as the room comes, is queued behind
/// the mark of the sender that is leaving: it goes, and nobody writes the answer to the last Ping.
#[test]
fn a_sender_that_leaves_writes_the_late_pong_too() {
    let (writing, reading, end) = (Gate::default(), Gate::default(), Gate::default());
    let gates = (writing.clone(), reading.clone(), end.clone());
    let pings = |from: u8| frames(Client, (from..from + 20).map(|i| (PING, vec![i; 125])));
    let wire = Wire::new(
        move |n| match n {
            1 => {
                gates.0.pass();
                Ok(pings(0))
            }
            2 => Ok(pings(20)),
            3 => {
                gates.1.open();
                gates.2.pass();
                timed_out()
            }
            _ => Ok(vec![]),
        },
        |_, b| Ok(b.len()),
    )
    .on_flush(once_flushing(&writing, &reading));
    let (mut receiver, mut sender) = wire.socket(Server, patient()).split().unwrap();
    let receiving = thread::spawn(move || receiver.recv().unwrap());
    sender.send("hello").unwrap();
    let said = parse(Server, &wire.log().written);
    let timeout = wire.log().read_timeouts.last().copied();
    end.open();
    assert_eq!(receiving.join().unwrap(), None);
    let last = said.last().unwrap();
    assert!(
        *last == (PONG, vec![39; 125]),
        "{} frames, the last Pong is {:?}, and the receiver is in a read of {timeout:?}",
        said.len(),
        last.1.first()
    );
}

/// Promise (`Receiver::recv`): "it does not wait for a sender that is writing". Instead, while the sender is leaving it does
/// not read at all, for as long as the transport takes to take 4 KiB of Pongs.
#[test]
fn a_receiver_does_not_wait_for_a_sender_that_is_leaving() {
    let (writing, reading, leaving) = (Gate::default(), Gate::default(), Gate::default());
    let gates = (writing.clone(), reading.clone(), leaving.clone());
    let pings = |from: u8| frames(Client, (from..from + 16).map(|i| (PING, vec![i; 125])));
    let wire = Wire::new(
        move |n| match n {
            1 => {
                gates.0.pass();
                Ok(pings(0))
            }
            2 => Ok(pings(16)),
            3 => {
                gates.1.open();
                gates.2.pass();
                Ok(frame(Client, TEXT, "first"))
            }
            4 => Ok(frame(Client, TEXT, "second")),
            _ => Ok(vec![]),
        },
        move |n, b| match n {
            1 => Ok(b.len()),
            _ => {
                leaving.open();
                thread::sleep(Duration::from_millis(1));
                Ok(1)
            }
        },
    )
    .on_flush(once_flushing(&writing, &reading));
    let (mut receiver, mut sender) = wire.socket(Server, patient()).split().unwrap();
    let log = wire.clone();
    let receiving = thread::spawn(move || {
        assert_eq!(receiver.recv().unwrap(), Some(Message::from("first")));
        assert_eq!(receiver.recv().unwrap(), Some(Message::from("second")));
        log.log().writes
    });
    sender.send("hello").unwrap();
    let writes = receiving.join().unwrap();
    assert!(writes < 2000, "\"second\" lay in the transport, and was read after {writes} writes of the sender");
}

/// Promise (`turns`): the halves "run it under a lock that nobody holds while a read or a write blocks". Instead `let_go`
/// flushes and shuts down under the lock: while that blocks, even `state` of the other half does.
#[test]
fn nobody_waits_for_a_shutdown_of_the_other_half() {
    let (entered, release) = (Gate::default(), Gate::default());
    let gates = (entered.clone(), release.clone());
    let wire = Wire::new(|_| Ok(vec![]), |_, b| Ok(b.len())).on_shutdown(move |_| {
        gates.0.open();
        gates.1.pass();
        Ok(())
    });
    let (mut receiver, sender) = wire.socket(Client, patient()).split().unwrap();
    let receiving = thread::spawn(move || receiver.recv().unwrap());
    entered.pass();
    let (tell, told) = mpsc::channel();
    let asking = thread::spawn(move || tell.send(sender.state()).unwrap());
    let state = told.recv_timeout(Duration::from_secs(3));
    release.open();
    asking.join().unwrap();
    assert_eq!(receiving.join().unwrap(), None);
    assert!(state.is_ok(), "`Sender::state` waits for the transport");
}

/// Promise (`send`): "returns when the transport has taken all of it", and §9 of the design: "no loop spins, every wait of
/// ours has a deadline". Instead the sender's turn goes on, without a flush, as long as something waits to be written: with
/// a peer that pings, the receiver always has another Pong for it. The message is never flushed and `send` never returns.
#[test]
fn a_sender_does_not_write_pongs_for_ever() {
    let (written, read) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let (w, r) = (Arc::clone(&written), Arc::clone(&read));
    const ROUNDS: usize = 2000;
    let wire = Wire::new(
        // A Ping for each write.
        move |n| {
            r.set(n);
            w.reach(n);
            if n > ROUNDS { Ok(vec![]) } else { Ok(frame(Client, PING, "there?")) }
        },
        // A write takes as long as a Ping needs.
        move |n, b| {
            written.set(n);
            read.reach(n + 1);
            Ok(b.len())
        },
    );
    let (mut receiver, mut sender) = wire.socket(Server, patient()).split().unwrap();
    let receiving = thread::spawn(move || receiver.recv().unwrap());
    sender.send("hello").unwrap();
    let (writes, flushes) = {
        let log = wire.log();
        (log.writes, log.flushes)
    };
    drop(receiving);
    assert!(writes < 100, "{writes} writes and {flushes} flushes until the message had been sent");
}

#[derive(Default)]
struct Count(Mutex<usize>, Condvar);

impl Count {
    fn set(&self, count: usize) {
        *self.0.lock().unwrap() = count;
        self.1.notify_all();
    }

    fn reach(&self, count: usize) {
        let now = self.0.lock().unwrap();
        // Whoever has ended does not hold the other up.
        let _now = self.1.wait_timeout_while(now, Duration::from_millis(500), |now| *now < count).unwrap();
    }
}

/// Promise (`turns`): "No deadlock: nobody waits for the lock while holding it", and a panic of *the transport* ends everybody's
/// turns. Instead every call into the transport that is made while the thread unwinds for another reason (a `Drop` that says
/// goodbye) counts as one, and the guard takes the lock a second time, in the thread that has it: that thread hangs for ever
/// with the lock held, and the other half with it.
#[test]
fn a_goodbye_in_a_drop_does_not_lock_both_halves_up() {
    struct Goodbye(openline::net::Sender<Wire>);
    impl Drop for Goodbye {
        fn drop(&mut self) {
            let _ = self.0.send("I am dying");
            let _ = self.0.close(openline::CloseCode::new(1011), "");
        }
    }
    let wire = Wire::new(|n| if n == 1 { Ok(close_frame(Client, 1011, "")) } else { Ok(vec![]) }, |_, b| Ok(b.len()));
    let (mut receiver, sender) = wire.socket(Server, patient()).split().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let died = catch_unwind(AssertUnwindSafe(|| {
            let _goodbye = Goodbye(sender);
            panic!("a fault of the application");
        }));
        assert!(died.is_err());
        let _ = tell.send(receiver.recv().map_err(|error| chain(&error)));
    });
    let end = told.recv_timeout(Duration::from_secs(10));
    let said = parse(Server, &wire.log().written);
    assert!(said.len() == 2 && matches!(end, Ok(Ok(None))), "said {said:?}, then {end:?}");
}
