//! Deliveries over sockets in memory, in virtual time.
#![cfg(feature = "pump")]

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use openline::tokio::WebSocket;
use openline::{Agreement, Cause, CloseCode, Config, Error, Message, Prepared, SendError, Upgrade};
use openline_live::{Delivery, EpochSeed, Hub, Lag, Retain, Start, Subscriber, Topic, answer, pump};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::time::{Instant, advance, sleep, timeout};

type Socket = WebSocket<DuplexStream>;

/// Both ends of a connection that holds this many bytes in each direction.
fn connected(holds: usize) -> (Socket, Socket) {
    let (ours, theirs) = duplex(holds);
    let mut config = Config::default();
    // What is told here is not told by a Ping.
    (config.keepalive, config.stall_timeout) = (None, None);
    let server = WebSocket::new(ours, Upgrade::server(Agreement::default()), config, &[]);
    let client = WebSocket::new(theirs, Upgrade::client(Agreement::default(), [7; 32]), config, &[]);
    (server, client)
}

fn hub() -> Hub<Prepared> {
    Hub::local(Retain::default(), EpochSeed::from([1; 16]), |_, at, payload: &Bytes| {
        Prepared::new(format!("{}: {}", at.offset, String::from_utf8_lossy(payload)))
    })
}

fn encode(delivery: Delivery<Prepared>) -> Option<Prepared> {
    match delivery {
        Delivery::Joined { topic, .. } => Some(Prepared::new(format!("joined {topic}"))),
        Delivery::Message(message) => Some(message),
        Delivery::Missed(gap) => Some(Prepared::new(format!("missed {}", gap.count))),
        _ => Some(Prepared::new("left")),
    }
}

/// Serves one client: what it says is published.
async fn serve(mut socket: Socket, topic: Topic<Prepared>, lag: Lag) -> (Option<openline::Closed>, bool) {
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Start::Now, lag);
    let mut failed = false;
    loop {
        match pump(&mut socket, &mut subscriber, encode).await {
            Ok(Some(message)) => {
                topic.publish(None, Bytes::copy_from_slice(message.as_bytes()), None).await.unwrap();
            }
            Ok(None) => break,
            Err(_) => {
                failed = true;
                break;
            }
        }
    }
    (socket.closed().cloned(), failed)
}

/// The next message. The time only ends a test in which nothing comes.
async fn hear(client: &mut Socket) -> String {
    let message = timeout(Duration::from_secs(100), client.recv()).await.expect("something comes");
    message.unwrap().expect("a message").as_text().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn what_one_says_all_hear_in_order() {
    let topic = hub().topic("room").unwrap();
    let mut clients = vec![];
    for _ in 0..20 {
        let (server, mut client) = connected(4096);
        tokio::spawn(serve(server, topic.clone(), Lag::Leave));
        assert_eq!(hear(&mut client).await, "joined room");
        clients.push(client);
    }
    for (at, client) in clients.iter_mut().enumerate() {
        client.send(format!("from {at}")).await.unwrap();
    }
    let mut all = vec![];
    for client in &mut clients {
        let mut heard = vec![];
        for _ in 0..20 {
            heard.push(hear(client).await);
        }
        all.push(heard);
    }
    assert!(all.iter().all(|heard| *heard == all[0]));
    assert!(
        all[0].iter().enumerate().all(|(at, said)| said.starts_with(&format!("{}: from ", at + 1))),
        "{:?}",
        all[0]
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_here_is_carried_too() {
    let hub = hub();
    let running = hub.clone();
    tokio::spawn(async move { running.run().await });
    let topic = hub.topic("room").unwrap();
    let (mut server, mut client) = connected(4096);
    let watched = topic.clone();
    let _ann = topic.enter("ann").unwrap();
    tokio::spawn(async move {
        let mut subscriber = Subscriber::new();
        subscriber.watch(&watched);
        let text = |delivery: Delivery<Prepared>| match delivery {
            Delivery::Here { names, more, .. } => Some(Prepared::new(format!("here {} and {more}", names.join(" ")))),
            Delivery::Changed { joined, gone, .. } => Some(Prepared::new(format!("{joined:?} {gone:?}"))),
            _ => None,
        };
        pump(&mut server, &mut subscriber, text).await
    });
    assert_eq!(hear(&mut client).await, "here ann and 0");
    let bob = topic.enter("bob").unwrap();
    assert_eq!(hear(&mut client).await, r#"["bob"] []"#);
    drop(bob);
    assert_eq!(hear(&mut client).await, r#"[] ["bob"]"#);
}

/// One client says 3,000 messages in one write. Who reads hears all of them, and is not let go.
#[tokio::test(start_paused = true)]
async fn a_flood_by_one_client_lets_nobody_go_who_reads() {
    const SAID: usize = 3000;
    let topic = hub().topic("room").unwrap();
    let (server, mut loud) = connected(64 * 1024);
    tokio::spawn(serve(server, topic.clone(), Lag::Leave));
    let mut readers = vec![];
    for _ in 0..20 {
        let (server, mut client) = connected(64 * 1024);
        tokio::spawn(serve(server, topic.clone(), Lag::Leave));
        readers.push(tokio::spawn(async move {
            assert_eq!(hear(&mut client).await, "joined room");
            for at in 1..=SAID {
                assert_eq!(hear(&mut client).await, format!("{at}: m"));
            }
        }));
    }
    assert_eq!(hear(&mut loud).await, "joined room");
    for _ in 0..SAID {
        loud.feed("m").await.unwrap();
    }
    loud.flush().await.unwrap();
    for at in 1..=SAID {
        assert_eq!(hear(&mut loud).await, format!("{at}: m"));
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

/// A client that does not read is let go after 10 s, with 1013 behind what waits; one that reads slowly is not.
#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_let_go() {
    let topic = hub().topic("room").unwrap();
    let (server, mut deaf) = connected(1024);
    let begun = Instant::now();
    let deaf_is_served = tokio::spawn(serve(server, topic.clone(), Lag::Skip));
    let (server, mut slow) = connected(1024);
    let slow_is_served = tokio::spawn(serve(server, topic.clone(), Lag::Skip));
    let publishing = tokio::spawn(async move {
        for at in 0..60 {
            topic.publish(None, Bytes::from(vec![b'm'; 500]), None).await.unwrap();
            // Two at a time: one more than the slow one reads, so that always something waits for it.
            sleep(Duration::from_secs(at % 2)).await;
        }
    });
    // It reads a message every second, and is behind all the time.
    for _ in 0..25 {
        hear(&mut slow).await;
        sleep(Duration::from_secs(1)).await;
    }
    let (closed, failed) = deaf_is_served.await.unwrap();
    assert_eq!((closed.unwrap().cause, failed), (Cause::CloseTimeout, false));
    let took = begun.elapsed().as_secs();
    assert!((20..=25).contains(&took), "10 s without a byte, and 10 s to close: {took} s");
    // Behind what waited is the Close frame.
    let mut last = None;
    while let Ok(Some(message)) = deaf.recv().await {
        last = Some(message);
    }
    assert!(last.is_some());
    publishing.await.unwrap();
    slow.close(CloseCode::NORMAL, "").await.unwrap();
    assert_eq!(slow_is_served.await.unwrap().0.unwrap().cause, Cause::Clean);
}

/// More than one turn is at hand, and nothing comes after it that would wake the task.
#[tokio::test(start_paused = true)]
async fn all_that_is_at_hand_leaves() {
    let topic = hub().topic("room").unwrap();
    let (server, mut client) = connected(1024 * 1024);
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Start::Now, Lag::Leave);
    for _ in 0..1000 {
        topic.publish(None, Bytes::from_static(b"m"), None).await.unwrap();
    }
    let mut server = server;
    tokio::spawn(async move { pump(&mut server, &mut subscriber, encode).await });
    let hears = async {
        assert_eq!(hear(&mut client).await, "joined room");
        for at in 1..=1000 {
            assert_eq!(hear(&mut client).await, format!("{at}: m"));
        }
    };
    timeout(Duration::from_secs(5), hears).await.expect("the rest comes");
}

/// What finds no room waits in the log: a client that pauses hears all of it later.
#[tokio::test(start_paused = true)]
async fn what_finds_no_room_is_not_lost() {
    let topic = hub().topic("room").unwrap();
    let (server, mut client) = connected(1024);
    tokio::spawn(serve(server, topic.clone(), Lag::Leave));
    assert_eq!(hear(&mut client).await, "joined room");
    for _ in 0..250 {
        topic.publish(None, Bytes::from(vec![b'm'; 1000]), None).await.unwrap();
        tokio::task::yield_now().await;
    }
    sleep(Duration::from_secs(5)).await;
    for at in 1..=250 {
        let heard = hear(&mut client).await;
        assert!(heard.starts_with(&format!("{at}: m")), "{at}: {}", &heard[..10]);
    }
}

/// A future that is dropped at any point loses no delivery.
#[tokio::test(start_paused = true)]
async fn a_pump_that_is_dropped_loses_nothing() {
    let topic = hub().topic("room").unwrap();
    let (mut server, mut client) = connected(64);
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Start::Now, Lag::Skip);
    let serving = tokio::spawn(async move {
        loop {
            let pumping = pump(&mut server, &mut subscriber, encode);
            match timeout(Duration::from_millis(3), pumping).await {
                Ok(Ok(Some(message))) => assert_eq!(message, Message::from("bye")),
                Ok(other) => return other.map(|none| none.is_none()),
                Err(_) => {}
            }
        }
    });
    let publishing = tokio::spawn(async move {
        for _ in 0..200 {
            topic.publish(None, Bytes::from_static(b"some bytes"), None).await.unwrap();
            sleep(Duration::from_millis(2)).await;
        }
    });
    assert_eq!(hear(&mut client).await, "joined room");
    for at in 1..=200 {
        sleep(Duration::from_millis(1)).await;
        assert_eq!(hear(&mut client).await, format!("{at}: some bytes"));
    }
    publishing.await.unwrap();
    client.send("bye").await.unwrap();
    client.close(CloseCode::NORMAL, "").await.unwrap();
    assert!(serving.await.unwrap().unwrap());
}

/// What the caller answers between two calls stands between what they take, and leaves when the second one waits, even if that
/// takes nothing.
#[tokio::test(start_paused = true)]
async fn an_answer_leaves_in_its_place() {
    let topic = hub().topic("room").unwrap();
    let (mut server, mut client) = connected(16);
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Start::Now, Lag::Leave);
    tokio::spawn(async move {
        for at in 1..=3 {
            topic.publish(None, Bytes::from_static(b"before"), None).await.unwrap();
            // The transport takes a part of it.
            let pumped = timeout(Duration::from_millis(1), pump(&mut server, &mut subscriber, encode)).await;
            assert!(pumped.is_err(), "{pumped:?}");
            answer(&mut server, &mut subscriber, format!("answer {at}")).await.unwrap();
        }
        pump(&mut server, &mut subscriber, encode).await
    });
    sleep(Duration::from_secs(1)).await;
    let heard = ["joined room", "1: before", "answer 1", "2: before", "answer 2", "3: before", "answer 3"];
    for expected in heard {
        assert_eq!(hear(&mut client).await, expected);
    }
}

/// A message of the caller that is not ended is an error at once, and what was published is not taken for it.
#[tokio::test(start_paused = true)]
async fn an_unfinished_message_of_the_caller_loses_no_delivery() {
    let topic = hub().topic("room").unwrap();
    let (mut server, mut client) = connected(4096);
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Start::Now, Lag::Leave);
    topic.publish(None, Bytes::from_static(b"kept"), None).await.unwrap();
    server.send_fragment("one, ", false).await.unwrap();
    let pumped = timeout(Duration::from_secs(100), pump(&mut server, &mut subscriber, encode)).await;
    let error = pumped.expect("the error comes at once").unwrap_err();
    assert!(matches!(error, Error::Send(SendError::MessageUnfinished)), "{error:?}");
    server.send_fragment("two", true).await.unwrap();
    tokio::spawn(async move { pump(&mut server, &mut subscriber, encode).await });
    assert_eq!(hear(&mut client).await, "one, two");
    assert_eq!(hear(&mut client).await, "joined room");
    assert_eq!(hear(&mut client).await, "1: kept");
}

/// A client that takes nothing is let go after 10 s, whatever it says meanwhile, and however often the future is dropped.
#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_let_go_although_it_speaks() {
    for speaks in [true, false] {
        let topic = hub().topic("room").unwrap();
        let (mut server, mut deaf) = connected(1024);
        let mut subscriber = Subscriber::new();
        subscriber.join(&topic, Start::Now, Lag::Skip);
        for _ in 0..60 {
            topic.publish(None, Bytes::from(vec![b'm'; 500]), None).await.unwrap();
        }
        let begun = Instant::now();
        let served = tokio::spawn(async move {
            loop {
                let pumping = pump(&mut server, &mut subscriber, encode);
                match timeout(Duration::from_secs(4), pumping).await {
                    Ok(Ok(Some(_))) | Err(_) => {}
                    Ok(Ok(None)) => return server.closed().cloned(),
                    Ok(Err(error)) => panic!("{error}"),
                }
            }
        });
        for _ in 0..20 {
            sleep(Duration::from_secs(3)).await;
            if speaks && !served.is_finished() {
                drop(deaf.feed("still here").await);
                let _ = timeout(Duration::from_millis(1), deaf.flush()).await;
            }
        }
        let took = begun.elapsed().as_secs();
        assert!(served.is_finished(), "{speaks}: {took} s");
        assert_eq!(served.await.unwrap().unwrap().cause, Cause::CloseTimeout);
    }
}

/// A transport whose reads are written down, and which refuses so many writes.
#[derive(Default)]
struct Scripted {
    reads: std::collections::VecDeque<Option<&'static [u8]>>,
    refuses: u32,
    written: usize,
    /// It has a buffer of its own, which does not pass on what it has taken until something is read. After that it takes
    /// nothing.
    holds: bool,
}

impl AsyncRead for Scripted {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(Some(bytes)) = self.reads.pop_front() else { return Poll::Pending };
        if std::mem::take(&mut self.holds) {
            self.refuses = u32::MAX;
        }
        into.put_slice(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.refuses > 0 {
            self.refuses -= 1;
            return Poll::Pending;
        }
        self.written += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.holds { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A socket over it, and a subscriber that has this many messages to read, each of 12 bytes with its header.
fn scripted(io: Scripted, messages: usize, high_water: usize) -> (WebSocket<Scripted>, Subscriber<Prepared>) {
    let mut config = Config::default();
    (config.keepalive, config.stall_timeout, config.high_water) = (None, None, high_water);
    let topic = hub().topic("room").unwrap();
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Start::Now, Lag::Leave);
    assert!(matches!(subscriber.try_next(), Some(Delivery::Joined { .. })));
    for _ in 0..messages {
        let mut publishing = pin!(topic.publish(None, Bytes::from_static(b"5 bytes"), None));
        assert!(publishing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
    (WebSocket::new(io, Upgrade::server(Agreement::default()), config, &[]), subscriber)
}

/// A flush that is blocked at first reads ahead. Nobody would wake the task for what it has read.
#[tokio::test(start_paused = true)]
async fn what_a_flush_has_read_is_heard_at_once() {
    let said = Some(&b"\x81\x82\0\0\0\0hi"[..]);
    let io = Scripted { reads: [None, said].into(), refuses: 1, ..Scripted::default() };
    let (mut socket, mut subscriber) = scripted(io, 1, 1024);
    let mut pumping = pin!(pump(&mut socket, &mut subscriber, encode));
    match pumping.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(Some(message))) => assert_eq!(message, Message::from("hi")),
        other => panic!("{other:?}"),
    }
}

/// A flush makes room for the rest. Nobody would wake the task for what is at hand.
#[tokio::test(start_paused = true)]
async fn what_a_flush_makes_room_for_leaves_at_once() {
    // The first poll fills the queue and its write is refused. So is the first write of the second poll, before which the
    // queue is full, but not that of its flush.
    let io = Scripted { refuses: 2, ..Scripted::default() };
    let (mut socket, mut subscriber) = scripted(io, 5, 20);
    for _ in 0..2 {
        let mut pumping = pin!(pump(&mut socket, &mut subscriber, encode));
        assert!(pumping.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(socket.get_ref().refuses, 0);
    assert_eq!(socket.get_ref().written, 5 * 12);
}

/// A client that speaks faster than it is heard, and takes nothing, is let go as well.
#[tokio::test(start_paused = true)]
async fn who_speaks_without_a_pause_and_takes_nothing_is_let_go() {
    let topic = hub().topic("room").unwrap();
    let (mut server, mut deaf) = connected(1024);
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Start::Now, Lag::Skip);
    for _ in 0..60 {
        topic.publish(None, Bytes::from(vec![b'm'; 500]), None).await.unwrap();
    }
    // The transport is full, and there is always one message more than has been heard.
    let pumped = timeout(Duration::from_millis(1), pump(&mut server, &mut subscriber, encode)).await;
    assert!(pumped.is_err());
    deaf.send("more").await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(100) {
        timeout(Duration::from_millis(1), deaf.send("more")).await.expect("somebody reads").unwrap();
        advance(Duration::from_millis(100)).await;
        if pump(&mut server, &mut subscriber, encode).await.unwrap().is_none() {
            break;
        }
    }
    let took = begun.elapsed().as_secs();
    assert!((10..=25).contains(&took), "10 s without a byte, and 10 s to close: {took} s");
}

/// A client that asks, and does not take the answers, is let go by `answer`, which ends the loop without an error.
#[tokio::test(start_paused = true)]
async fn who_is_answered_and_takes_nothing_is_let_go() {
    let (mut server, mut deaf) = connected(1024);
    let begun = Instant::now();
    let served = tokio::spawn(async move {
        let mut subscriber = Subscriber::new();
        while pump(&mut server, &mut subscriber, encode).await.unwrap().is_some() {
            answer(&mut server, &mut subscriber, "a".repeat(4000)).await.unwrap();
        }
        (begun.elapsed().as_secs(), server.closed().cloned())
    });
    while !served.is_finished() {
        let _ = timeout(Duration::from_millis(50), deaf.send("a question")).await;
        sleep(Duration::from_millis(50)).await;
    }
    let (took, closed) = served.await.unwrap();
    assert_eq!(closed.unwrap().cause, Cause::CloseTimeout);
    // Its questions come for a while until there is no room for answers.
    assert!((20..=35).contains(&took), "10 s without a byte, and 10 s to close: {took} s");
}

/// An answer waits for room as long as the client takes something, however slowly.
#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_a_slow_client() {
    let (mut server, mut slow) = connected(64);
    let mut subscriber = Subscriber::new();
    let answering = tokio::spawn(async move {
        for at in 0..40 {
            answer(&mut server, &mut subscriber, format!("{at} {}", "a".repeat(4000))).await.unwrap();
        }
        pump(&mut server, &mut subscriber, encode).await.unwrap()
    });
    for at in 0..40 {
        sleep(Duration::from_secs(9)).await;
        assert!(hear(&mut slow).await.starts_with(&format!("{at} ")));
    }
    slow.close(CloseCode::NORMAL, "").await.unwrap();
    assert_eq!(answering.await.unwrap(), None);
}

/// Who has gone is answered without an error, and a message that is not ended is one.
#[tokio::test(start_paused = true)]
async fn an_answer_to_nobody_is_dropped() {
    let (mut server, client) = connected(64);
    let mut subscriber = Subscriber::<Prepared>::new();
    server.send_fragment("one, ", false).await.unwrap();
    let error = answer(&mut server, &mut subscriber, "two").await.unwrap_err();
    assert!(matches!(error, Error::Send(SendError::MessageUnfinished)), "{error:?}");
    drop(client);
    assert!(pump(&mut server, &mut subscriber, encode).await.is_ok_and(|said| said.is_none()));
    answer(&mut server, &mut subscriber, "who is there?").await.unwrap();
}

/// Each call returns what the client says, and none waits. What was answered leaves all the same, and what was published.
#[tokio::test(start_paused = true)]
async fn who_never_stops_speaking_gets_its_answers() {
    const MANY: usize = 1000;
    let said: Option<&'static [u8]> = Some(b"\x81\x82\0\0\0\0hi");
    let io = Scripted { reads: std::iter::repeat_n(said, MANY).collect(), ..Scripted::default() };
    let (mut server, mut subscriber) = scripted(io, 5, 1 << 20);
    let mut most = 0;
    for at in 1..=MANY {
        assert!(pump(&mut server, &mut subscriber, encode).await.unwrap().is_some());
        answer(&mut server, &mut subscriber, "12 byte answer").await.unwrap();
        most = most.max(server.queued());
        assert!(at < 200 || subscriber.try_next().is_none(), "what was published is sent, too");
    }
    assert!(most <= 128 * 16, "{most} bytes waited");
    assert!(server.get_ref().written >= (MANY - 128) * 16);
}

/// Does this on a thread of its own, in virtual time. A poll that goes on for ever fails the test, and does not hold it.
fn does_not_spin<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) {
    let (say, hear) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(work());
        say.send(()).unwrap();
    });
    assert!(hear.recv_timeout(Duration::from_secs(20)).is_ok(), "one poll goes on for ever");
}

/// A socket that never has room is no reason to hold the thread.
#[test]
fn a_socket_without_room_does_not_spin() {
    does_not_spin(|| async {
        let (mut server, mut subscriber) = scripted(Scripted { refuses: 1000, ..Scripted::default() }, 5, 0);
        let _ = timeout(Duration::from_secs(1), pump(&mut server, &mut subscriber, encode)).await;
        let _ = timeout(Duration::from_secs(1), answer(&mut server, &mut subscriber, "an answer")).await;
    });
}

/// Pongs leave no room, and nothing that was sent waits before them. Nobody holds the thread, and who takes nothing is let go.
#[test]
fn pongs_without_room_do_not_spin() {
    const PING: Option<&[u8]> = Some(b"\x89\x85\0\0\0\0again");
    for answers in [false, true] {
        does_not_spin(move || async move {
            let io = Scripted { reads: [PING; 8].into(), refuses: u32::MAX, ..Scripted::default() };
            let (mut server, mut subscriber) = scripted(io, 5, 20);
            let pumped = timeout(Duration::from_secs(1), pump(&mut server, &mut subscriber, encode)).await;
            assert!(pumped.is_err() && !server.has_room());
            let begun = Instant::now();
            if answers {
                answer(&mut server, &mut subscriber, "an answer").await.unwrap();
            }
            assert_eq!(pump(&mut server, &mut subscriber, encode).await.unwrap(), None);
            let took = begun.elapsed().as_secs();
            assert!((17..=21).contains(&took), "10 s without a byte, and 10 s to close: {took} s");
        });
    }
}

/// A message of the caller that is not ended is an error of `answer` at once, also if there is no room.
#[tokio::test(start_paused = true)]
async fn an_answer_in_an_unfinished_message_waits_for_nothing() {
    let (mut server, _deaf) = connected(64);
    let mut subscriber = Subscriber::<Prepared>::new();
    server.feed_fragment("a".repeat(100_000), false).await.unwrap();
    assert!(!server.has_room());
    let answered = timeout(Duration::from_secs(30), answer(&mut server, &mut subscriber, "two")).await;
    let error = answered.expect("it does not wait without a clock").unwrap_err();
    assert!(matches!(error, Error::Send(SendError::MessageUnfinished)), "{error:?}");
}

/// The time of a socket that is over is not that of the next one, which a client that comes back has.
#[tokio::test(start_paused = true)]
async fn the_next_socket_of_a_subscriber_has_its_own_time() {
    let topic = hub().topic("room").unwrap();
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Start::Now, Lag::Skip);
    for _ in 0..60 {
        topic.publish(None, Bytes::from(vec![b'm'; 5000]), None).await.unwrap();
    }
    for goes_after in [None, None, Some(5), None] {
        let (mut server, deaf) = connected(1024);
        let begun = Instant::now();
        let leaving = tokio::spawn(async move {
            sleep(Duration::from_secs(goes_after.unwrap_or(100))).await;
            drop(deaf);
        });
        let pumped = pump(&mut server, &mut subscriber, encode).await;
        assert_eq!(pumped.is_err(), goes_after.is_some(), "{pumped:?}");
        let (took, expected) = (begun.elapsed().as_secs(), goes_after.unwrap_or(20));
        assert!((expected..=expected + 1).contains(&took), "10 s without a byte, and 10 s to close: {took} s");
        leaving.abort();
    }
}

/// The same if `answer` was the last that was called with it.
#[tokio::test(start_paused = true)]
async fn the_socket_after_an_answer_to_nobody_has_its_own_time() {
    let mut subscriber = Subscriber::<Prepared>::new();
    for _ in 0..3 {
        let (mut server, _deaf) = connected(1024);
        let begun = Instant::now();
        for _ in 0..2 {
            answer(&mut server, &mut subscriber, "a".repeat(100_000)).await.unwrap();
        }
        let took = begun.elapsed().as_secs();
        assert!((20..=21).contains(&took), "10 s without a byte, and 10 s to close: {took} s");
    }
}

/// The task has used up its budget, so the transport was not asked. That is no sign that the client takes nothing.
#[tokio::test(start_paused = true)]
async fn a_task_without_budget_lets_nobody_go_who_reads() {
    let topic = hub().topic("room").unwrap();
    let (mut server, mut client) = connected(1024);
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Start::Now, Lag::Skip);
    for _ in 0..3 {
        topic.publish(None, Bytes::from(vec![b'm'; 1000]), None).await.unwrap();
    }
    assert!(timeout(Duration::from_secs(1), pump(&mut server, &mut subscriber, encode)).await.is_err());
    // The caller has something else to do for long, and the client reads all that there is.
    let heard = async { while timeout(Duration::from_secs(5), client.recv()).await.is_ok() {} };
    timeout(Duration::from_secs(30), heard).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    let served = tokio::spawn(async move {
        while tokio::task::coop::has_budget_remaining() {
            tokio::task::coop::consume_budget().await;
        }
        pump(&mut server, &mut subscriber, encode).await.map(|said| (said.is_some(), server.closed().cloned()))
    });
    hear(&mut client).await;
    client.send("still here").await.unwrap();
    let served = served.await.unwrap().unwrap();
    assert!(served.0, "{served:?}");
}

/// What a transport with a buffer had not passed on has left since, so what waits now has its own 10 s.
#[tokio::test(start_paused = true)]
async fn a_flush_that_has_ended_is_no_time_without_a_byte() {
    let said = Some(&b"\x81\x82\0\0\0\0hi"[..]);
    let io = Scripted { reads: [None, None, said].into(), holds: true, ..Scripted::default() };
    let (mut server, mut subscriber) = scripted(io, 0, 64 * 1024);
    answer(&mut server, &mut subscriber, "an answer").await.unwrap();
    let once =
        |cx: &mut Context<'_>| Poll::Ready(pin!(pump(&mut server, &mut subscriber, encode)).poll(cx).is_pending());
    assert!(std::future::poll_fn(once).await);
    assert_eq!(pump(&mut server, &mut subscriber, encode).await.unwrap(), Some(Message::from("hi")));
    sleep(Duration::from_secs(20)).await;
    answer(&mut server, &mut subscriber, "another").await.unwrap();
    let begun = Instant::now();
    assert_eq!(pump(&mut server, &mut subscriber, encode).await.unwrap(), None);
    let took = begun.elapsed().as_secs();
    assert!((20..=21).contains(&took), "10 s without a byte, and 10 s to close: {took} s");
}
