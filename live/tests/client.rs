//! The client that comes back: what it does with each kind of loss, in virtual time, over transports in memory.
#![cfg(feature = "client")]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use openline::tokio::{WebSocket, accept, connect_on, read_request};
use openline::{Client, ClientRequest, CloseCode, Config, Error, HandshakeError, Message, Response};
use openline_live::client::{DialError, Event, Offline, Options, Persistent, UnsentReason, Verdict, Why};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

type Socket = WebSocket<DuplexStream>;

const SECOND: Duration = Duration::from_secs(1);
const QUEUE: Offline = Offline::Queue { messages: 3, bytes: 100, age: Duration::from_secs(600) };

/// A client, and the server's ends of its connections as they come.
fn net(options: Options) -> (Persistent<DuplexStream>, mpsc::UnboundedReceiver<DuplexStream>) {
    net_that_holds(options, 1024)
}

fn net_that_holds(options: Options, holds: usize) -> (Persistent<DuplexStream>, mpsc::UnboundedReceiver<DuplexStream>) {
    let (dialed, dials) = mpsc::unbounded_channel();
    let client = Persistent::with_options(options, move || {
        let dialed = dialed.clone();
        async move {
            let (ours, theirs) = duplex(holds);
            dialed.send(theirs).map_err(|_| DialError::own(Verdict::Fatal, "the test is over"))?;
            Ok(connect_on(&Client::new(ClientRequest::new("ws://test/")?), ours).await?)
        }
    });
    (client, dials)
}

fn queue() -> Options {
    let mut options = Options::default();
    options.offline = QUEUE;
    options
}

/// A client whose attempts all fail in this way.
fn failing(fail: impl Fn() -> DialError + Send + 'static) -> Persistent<DuplexStream> {
    Persistent::new(move || {
        let error = fail();
        async move { Err(error) }
    })
}

/// The next event. The time only ends a test in which nothing comes.
async fn event(client: &mut Persistent<DuplexStream>) -> Event {
    timeout(3600 * SECOND, client.next()).await.expect("something happens").expect("it has not ended")
}

async fn ended(client: &mut Persistent<DuplexStream>) -> bool {
    timeout(3600 * SECOND, client.next()).await.expect("something happens").is_none()
}

/// Connects, and returns the server's end.
async fn connect(client: &mut Persistent<DuplexStream>, dials: &mut mpsc::UnboundedReceiver<DuplexStream>) -> Socket {
    let (event, server) = tokio::join!(event(client), async { accept(dials.recv().await.unwrap()).await.unwrap() });
    assert!(matches!(event, Event::Connected { .. }), "{event:?}");
    server
}

async fn lost(client: &mut Persistent<DuplexStream>) -> (Why, std::ops::Range<u64>, Duration) {
    match event(client).await {
        Event::Lost { why, unknown, retry_in } => (why, unknown.start.get()..unknown.end.get(), retry_in),
        other => panic!("{other:?}"),
    }
}

/// Runs the client while the server does something.
async fn meanwhile<T>(client: &mut Persistent<DuplexStream>, server: impl Future<Output = T>) -> T {
    tokio::select! {
        event = client.next() => panic!("{event:?}"),
        done = server => done,
    }
}

async fn hear(server: &mut Socket) -> String {
    server.recv().await.unwrap().expect("a message").as_text().unwrap().to_owned()
}

// When it comes back.

#[tokio::test(start_paused = true)]
async fn the_first_attempt_is_made_at_once_and_the_others_wait() {
    let begun = Instant::now();
    let (mut client, mut dials) = net(Options::default());
    let server = connect(&mut client, &mut dials).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop(server);
    let (why, _, retry_in) = lost(&mut client).await;
    assert!(matches!(&why, Why::Closed(closed) if closed.code == CloseCode::ABNORMAL), "{why:?}");
    assert!(retry_in <= SECOND / 2);
    let again = Instant::now();
    let (event, _) = tokio::join!(event(&mut client), async { accept(dials.recv().await.unwrap()).await.unwrap() });
    assert!(matches!(event, Event::Connected { again: true }));
    assert!(again.elapsed() + Duration::from_millis(2) >= retry_in && again.elapsed() < SECOND);
}

/// With the close code of the server, what becomes of the client.
#[tokio::test(start_paused = true)]
async fn close_codes_decide() {
    for (code, verdict) in [
        (1000, Verdict::End),
        (1001, Verdict::Retry),
        (1008, Verdict::Fatal),
        (1012, Verdict::Retry),
        (3000, Verdict::Retry),
        (4499, Verdict::Retry),
        (4500, Verdict::Fatal),
    ] {
        let (mut client, mut dials) = net(Options::default());
        let mut server = connect(&mut client, &mut dials).await;
        let (happened, _) = tokio::join!(event(&mut client), server.close(CloseCode::new(code), "because"));
        let (found, why) = match happened {
            Event::Lost { why, .. } => (Verdict::Retry, why),
            Event::Ended { why, .. } => (Verdict::End, why),
            Event::Fatal { why, .. } => (Verdict::Fatal, why),
            other => panic!("{other:?}"),
        };
        assert_eq!(found, verdict, "{code}");
        assert!(matches!(why, Why::Closed(closed) if closed.reason == "because"));
        if verdict != Verdict::Retry {
            assert!(ended(&mut client).await && ended(&mut client).await, "{code}");
            assert_eq!(client.try_send("x").unwrap_err().reason, UnsentReason::Over);
            // The caller knows better.
            client.resume();
            connect(&mut client, &mut dials).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_happen_again_is_fatal() {
    let fatal: Vec<fn() -> DialError> = vec![
        || ClientRequest::new("ftp://test/").unwrap_err().into(),
        || HandshakeError::AcceptInvalid.into(),
        || Error::Refused(Box::new(Response::new(401))).into(),
        || Error::ProxyRefused(Box::new(Response::new(407))).into(),
        || DialError::own(Verdict::Fatal, "no such user"),
    ];
    for fail in fatal {
        let mut client = failing(fail);
        assert!(matches!(event(&mut client).await, Event::Fatal { why: Why::Dial(_), .. }));
        assert!(ended(&mut client).await);
    }
    let mut client = failing(|| DialError::own(Verdict::End, "logged out"));
    assert!(matches!(event(&mut client).await, Event::Ended { .. }));
    let mut client = failing(|| std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into());
    for _ in 0..20 {
        lost(&mut client).await;
    }
}

/// A server that refuses says for how long, in seconds or by a date.
#[tokio::test(start_paused = true)]
async fn retry_after_is_kept() {
    for (value, date, least) in [
        ("7", None, 7),
        ("120", None, 120),
        ("86400", None, 300),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some("Sun, 06 Nov 1994 08:48:37 GMT"), 60),
        // By this machine's clock it is over.
        ("Sun, 06 Nov 1994 08:49:37 GMT", None, 0),
    ] {
        let (mut client, mut dials) = net(Options::default());
        let (happened, _) = tokio::join!(lost(&mut client), async {
            let request = read_request(&openline::Server::default(), dials.recv().await.unwrap()).await.unwrap();
            let mut response = Response::new(503).header("Retry-After", value).unwrap();
            if let Some(date) = date {
                response = response.header("Date", date).unwrap();
            }
            request.reject(response).await.unwrap();
        });
        let (why, _, retry_in) = happened;
        assert_eq!(why.response().unwrap().status, 503);
        let least = Duration::from_secs(least);
        assert!((least..=least + SECOND / 2).contains(&retry_in), "{value}: {retry_in:?}");
        let begun = Instant::now();
        client.wake();
        connect(&mut client, &mut dials).await;
        assert!(begun.elapsed() >= least, "nobody is woken before: {:?}", begun.elapsed());
    }
}

/// If a server accepts and lets go at once, the waits become longer, as if it did not answer.
#[tokio::test(start_paused = true)]
async fn to_be_accepted_does_not_reset_the_backoff() {
    for stands in [Duration::ZERO, 29 * SECOND] {
        let (mut client, mut dials) = net(Options::default());
        tokio::spawn(async move {
            while let Some(stream) = dials.recv().await {
                tokio::spawn(async move {
                    let mut socket = accept(stream).await.unwrap();
                    let _ = timeout(stands, socket.recv()).await;
                    socket.close(CloseCode::SERVICE_RESTART, "").await
                });
            }
        });
        let (begun, mut losses) = (Instant::now(), 0);
        while begun.elapsed() < 1800 * SECOND {
            if let Event::Lost { .. } = event(&mut client).await {
                losses += 1;
            }
        }
        // 15 s on average, once the cap is reached.
        let most = if stands.is_zero() { 180 } else { 55 };
        assert!((20..most).contains(&losses), "{losses} attempts in 30 min");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_stood_begins_anew() {
    let (mut client, mut dials) = net(Options::default());
    for _ in 0..20 {
        let server = connect(&mut client, &mut dials).await;
        meanwhile(&mut client, sleep(30 * SECOND)).await;
        drop(server);
        let (_, _, retry_in) = lost(&mut client).await;
        assert!(retry_in <= SECOND / 2);
    }
}

/// An attempt that never ends is given up: the caller's part of it by the client, openline's by openline.
#[tokio::test(start_paused = true)]
async fn an_attempt_has_a_time_limit() {
    let mut client = Persistent::<DuplexStream>::new(std::future::pending);
    let begun = Instant::now();
    let (why, ..) = lost(&mut client).await;
    assert!(matches!(why, Why::Dial(DialError::Connect(Error::TimedOut))), "{why:?}");
    assert_eq!(begun.elapsed().as_secs(), 60);
    let (mut client, mut dials) = net(Options::default());
    let begun = Instant::now();
    let ((why, ..), _stalled) = tokio::join!(lost(&mut client), dials.recv());
    assert!(matches!(why, Why::Dial(DialError::Connect(Error::Handshake(HandshakeError::TimedOut)))), "{why:?}");
    assert_eq!(begun.elapsed().as_secs(), 10);
}

/// 1,000 clients lose a server that restarts, and is away for 90 s.
#[tokio::test(start_paused = true)]
async fn a_herd_comes_back_evenly_spread() {
    const CLIENTS: usize = 1000;
    let up = Arc::new(Mutex::new(true));
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let back = Arc::new(Mutex::new(Vec::new()));
    let servers = Arc::new(Mutex::new(tokio::task::JoinSet::new()));
    let begun = Instant::now();
    for client in 0..CLIENTS {
        let (up, attempts, back, servers) = (up.clone(), attempts.clone(), back.clone(), servers.clone());
        tokio::spawn(async move {
            let mut client = Persistent::new(move || {
                attempts.lock().unwrap().push((client, begun.elapsed()));
                let (ours, theirs) = duplex(512);
                if *up.lock().unwrap() {
                    servers.lock().unwrap().spawn(async move { accept(theirs).await.unwrap().drain().await });
                }
                async move { Ok(connect_on(&Client::new(ClientRequest::new("ws://test/")?), ours).await?) }
            });
            while let Some(event) = client.next().await {
                if let Event::Connected { again: true } = event {
                    back.lock().unwrap().push(begun.elapsed());
                }
            }
        });
    }
    sleep(100 * SECOND).await;
    assert_eq!(attempts.lock().unwrap().len(), CLIENTS);
    *up.lock().unwrap() = false;
    servers.lock().unwrap().abort_all();
    sleep(90 * SECOND).await;
    *up.lock().unwrap() = true;
    sleep(31 * SECOND).await;
    let attempts = attempts.lock().unwrap();
    // The first attempts after the loss: each in its half second, in each tenth of that about a tenth.
    let mut parts = [0; 10];
    for client in 0..CLIENTS {
        let mut all = attempts.iter().filter(|(who, at)| *who == client && *at >= 100 * SECOND);
        let wait = all.next().unwrap().1 - 100 * SECOND;
        assert!(wait < SECOND / 2 + Duration::from_millis(5));
        parts[usize::try_from(wait.as_millis() / 50).unwrap().min(9)] += 1;
    }
    assert!(parts.iter().all(|part| (40..=160).contains(part)), "{parts:?}");
    // At the cap each client comes once in 15 s on average. So 200 of them in each 3 s.
    for part in 0..6 {
        let from = 170 * SECOND + part * 3 * SECOND;
        let count = attempts.iter().filter(|(_, at)| (from..from + 3 * SECOND).contains(at)).count();
        assert!((110..=290).contains(&count), "{count} in part {part} of the time at the cap");
    }
    // Once the server is there, all come within the cap, and no second has much more than its share.
    let back = back.lock().unwrap();
    assert_eq!(back.len(), CLIENTS);
    for second in 190..220 {
        let count = back.iter().filter(|at| at.as_secs() == second).count();
        assert!(count <= 130, "{count} in second {second}");
    }
}

// What is kept while a future is dropped.

/// Each poll is of a new future, which is dropped behind it. No attempt is begun twice, and no message is lost.
#[tokio::test(start_paused = true)]
async fn a_future_dropped_at_every_poll_loses_nothing() {
    const MESSAGES: usize = 500;
    let dialed = Arc::new(AtomicUsize::new(0));
    let (connections, mut dials) = mpsc::unbounded_channel();
    let mut client = Persistent::new({
        let dialed = dialed.clone();
        move || {
            dialed.fetch_add(1, Relaxed);
            let (ours, theirs) = duplex(64);
            let connections = connections.clone();
            async move {
                // A token that takes many polls to come, over a transport that takes a few bytes at a time.
                for _ in 0..10 {
                    sleep(SECOND / 10).await;
                }
                connections.send(theirs).unwrap();
                Ok(connect_on(&Client::new(ClientRequest::new("ws://test/")?), ours).await?)
            }
        }
    });
    let server = tokio::spawn(async move {
        for connection in 0..4 {
            let mut socket = accept(dials.recv().await.unwrap()).await.unwrap();
            for message in 0..MESSAGES {
                socket.send(format!("{connection} {message}")).await.unwrap();
            }
            socket.close(CloseCode::new(if connection < 3 { 1012 } else { 1000 }), "").await.unwrap();
        }
    });
    let (mut polls, mut heard, mut connected) = (0, vec![], 0);
    // A tick beside it, as the loops of many programs have one.
    let mut tick = tokio::time::interval(Duration::from_millis(7));
    loop {
        let next = poll_fn(|cx| {
            polls += 1;
            if tick.poll_tick(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
            pin!(client.next()).poll(cx)
        });
        match timeout(3600 * SECOND, next).await.expect("something happens") {
            Some(Event::Message(message)) => heard.push(message.as_text().unwrap().to_owned()),
            Some(Event::Connected { .. }) => connected += 1,
            Some(Event::Lost { .. } | Event::Ended { .. }) => {}
            Some(other) => panic!("{other:?}"),
            None => break,
        }
    }
    server.await.unwrap();
    assert_eq!((dialed.load(Relaxed), connected), (4, 4));
    let all: Vec<_> = (0..4).flat_map(|c| (0..MESSAGES).map(move |m| format!("{c} {m}"))).collect();
    assert_eq!(heard, all);
    assert!(polls > 1000, "{polls}");
}

/// A `send` that is dropped after some polls has accepted the whole message, or nothing.
#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_has_sent_all_or_nothing() {
    for polls in 0..4 {
        let (mut client, mut dials) = net_that_holds(Options::default(), 64);
        let mut server = connect(&mut client, &mut dials).await;
        client.ready();
        // The transport and the buffer of the connection are full.
        let full = "f".repeat(100_000);
        client.try_send(full.clone()).unwrap();
        assert_eq!(client.try_send("x").unwrap_err().reason, UnsentReason::Full);
        {
            let mut sending = pin!(client.send("second"));
            let mut result = None;
            for _ in 0..polls {
                result = poll_fn(|cx| Poll::Ready(Some(sending.as_mut().poll(cx)))).await;
            }
            assert!(result.is_none_or(|result| result.is_pending()));
        }
        assert_eq!(meanwhile(&mut client, hear(&mut server)).await, full);
        let third = tokio::join!(client.send("third"), async { hear(&mut server).await });
        assert_eq!((third.0.unwrap().get(), &third.1[..]), (2, "third"), "{polls}");
    }
}

// What is sent, and what becomes of it.

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_given_back() {
    let (mut client, mut dials) = net(Options::default());
    let unsent = client.send("early").await.unwrap_err();
    assert_eq!((unsent.reason, unsent.message), (UnsentReason::Offline, Message::from("early")));
    assert_eq!(client.send_ahead("early").unwrap_err().reason, UnsentReason::Offline);
    let mut server = connect(&mut client, &mut dials).await;
    assert_eq!(client.send("before ready").await.unwrap_err().reason, UnsentReason::Offline);
    client.send_ahead("rejoin").unwrap();
    client.ready();
    assert_eq!(client.send("one").await.unwrap().get(), 1);
    assert_eq!([hear(&mut server).await, hear(&mut server).await], ["rejoin", "one"]);
    drop(server);
    let (_, unknown, _) = lost(&mut client).await;
    assert_eq!(unknown, 1..2);
    client.ready();
    assert_eq!(client.send("late").await.unwrap_err().reason, UnsentReason::Offline);
    assert_eq!(client.queued(), 0);
}

/// The queue follows once the caller has rejoined, in order; what is sent meanwhile comes behind it.
#[tokio::test(start_paused = true)]
async fn the_queue_follows_after_ready() {
    let (mut client, mut dials) = net(queue());
    assert_eq!(client.send("1").await.unwrap().get(), 1);
    assert_eq!(client.send("2").await.unwrap().get(), 2);
    let mut server = connect(&mut client, &mut dials).await;
    assert_eq!(client.send("3").await.unwrap().get(), 3);
    client.send_ahead("rejoin").unwrap();
    assert_eq!(meanwhile(&mut client, hear(&mut server)).await, "rejoin");
    let nothing = timeout(20 * SECOND, meanwhile(&mut client, hear(&mut server))).await;
    assert!(nothing.is_err() && client.queued() == 3, "nothing before ready");
    client.ready();
    assert_eq!(client.try_send("4").unwrap().get(), 4);
    for said in ["1", "2", "3", "4"] {
        assert_eq!(meanwhile(&mut client, hear(&mut server)).await, said);
    }
    assert_eq!(client.queued(), 0);
    // The next connection is to be rejoined too.
    drop(server);
    assert_eq!(lost(&mut client).await.1, 1..5);
    client.try_send("5").unwrap();
    let mut server = connect(&mut client, &mut dials).await;
    let nothing = timeout(20 * SECOND, meanwhile(&mut client, hear(&mut server))).await;
    assert!(nothing.is_err() && client.queued() == 1);
    drop(server);
    assert!(lost(&mut client).await.1.is_empty(), "it was not given to that connection");
    assert_eq!(client.take_queued().map(|(ticket, _)| ticket.get()).collect::<Vec<_>>(), [5]);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_in_messages_bytes_and_age() {
    let mut options = Options::default();
    options.offline = Offline::Queue { messages: 3, bytes: 10, age: 60 * SECOND };
    let (mut client, mut dials) = net(options);
    let _stalled = tokio::join!(lost(&mut client), dials.recv());
    client.try_send("12345678").unwrap();
    assert_eq!(client.try_send("123").unwrap_err().reason, UnsentReason::QueueFull);
    client.try_send("1").unwrap();
    client.try_send("2").unwrap();
    let unsent = client.try_send("").unwrap_err();
    assert_eq!((unsent.reason, client.queued()), (UnsentReason::QueueFull, 3));
    // Nobody accepts. After a minute they come back, in order.
    tokio::spawn(async move { while dials.recv().await.is_some() {} });
    let (begun, mut expired) = (Instant::now(), vec![]);
    while expired.len() < 3 {
        if let Event::Expired { ticket, message } = event(&mut client).await {
            expired.push((ticket.get(), message.len(), begun.elapsed().as_secs()));
        }
    }
    assert_eq!(expired, [(1, 8, 60), (2, 1, 60), (3, 1, 60)]);
    client.try_send("1234567890").unwrap();
    // Also if nothing else happens meanwhile.
    options.offline = Offline::Queue { messages: 3, bytes: 10, age: 7 * SECOND };
    let (mut client, mut dials) = net(options);
    let _server = connect(&mut client, &mut dials).await;
    client.try_send("1").unwrap();
    let begun = Instant::now();
    assert!(matches!(event(&mut client).await, Event::Expired { .. }));
    assert_eq!(begun.elapsed().as_secs(), 7);
}

/// Whoever comes first after `ready`: what has waited for too long is given back, and what is not too old is sent.
#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_never_sent() {
    for way in ["send", "try_send", "flush", "next"] {
        let mut options = Options::default();
        options.offline = Offline::Queue { messages: 3, bytes: 100, age: 10 * SECOND };
        let (mut client, mut dials) = net(options);
        client.try_send("stale").unwrap();
        let mut server = connect(&mut client, &mut dials).await;
        // The caller has something to do before it is ready.
        sleep(9 * SECOND).await;
        client.try_send("fresh").unwrap();
        sleep(SECOND).await;
        client.ready();
        match way {
            "send" => drop(timeout(SECOND, client.send("more")).await.unwrap().unwrap()),
            "try_send" => drop(client.try_send("more").unwrap()),
            "flush" => timeout(SECOND, client.flush()).await.unwrap(),
            _ => {}
        }
        match event(&mut client).await {
            Event::Expired { ticket, message } => assert_eq!((ticket.get(), message), (1, "stale".into()), "{way}"),
            other => panic!("{way}: {other:?}"),
        }
        assert_eq!(meanwhile(&mut client, hear(&mut server)).await, "fresh", "{way}");
        if way.contains("send") {
            assert_eq!(meanwhile(&mut client, hear(&mut server)).await, "more");
        }
        assert_eq!(client.queued(), 0);
    }
}

/// More than the connection takes at once waits in the queue, and leaves as there is room; nothing is lost or turned
/// round.
#[tokio::test(start_paused = true)]
async fn a_queue_larger_than_the_buffers_leaves_by_and_by() {
    let mut options = Options::default();
    options.offline = Offline::Queue { messages: 1000, bytes: 10 << 20, age: 3600 * SECOND };
    let (mut client, mut dials) = net_that_holds(options, 4096);
    for at in 0..500 {
        client.try_send(format!("{at} {}", "m".repeat(1000))).unwrap();
    }
    let mut server = connect(&mut client, &mut dials).await;
    client.ready();
    for at in 0..500 {
        if at == 100 {
            client.try_send("500 m").unwrap();
            assert!(client.queued() > 0, "it goes behind the others");
        }
        let heard = meanwhile(&mut client, hear(&mut server)).await;
        assert!(heard.starts_with(&format!("{at} ")));
    }
    assert_eq!(meanwhile(&mut client, hear(&mut server)).await, "500 m");
    assert_eq!(client.queued(), 0);
}

/// The transport takes all at once, and nothing wakes the client's task after that.
#[tokio::test(start_paused = true)]
async fn a_queue_leaves_as_far_as_there_is_room() {
    let mut options = Options::default();
    options.offline = Offline::Queue { messages: 1000, bytes: 10 << 20, age: 3600 * SECOND };
    let (mut client, mut dials) = net_that_holds(options, 1 << 20);
    for at in 0..500 {
        client.try_send(format!("{at} {}", "m".repeat(1000))).unwrap();
    }
    let mut server = connect(&mut client, &mut dials).await;
    client.ready();
    tokio::spawn(async move { client.next().await });
    for at in 0..500 {
        let heard = timeout(SECOND, hear(&mut server)).await.expect("it does not wait for a Ping");
        assert!(heard.starts_with(&format!("{at} ")));
    }
}

/// A connection that fails while something is sent says so once, by `next`, with the messages that it was given.
#[tokio::test(start_paused = true)]
async fn what_a_lost_connection_was_given_is_unknown() {
    let (mut client, mut dials) = net_that_holds(queue(), 64);
    let server = connect(&mut client, &mut dials).await;
    client.ready();
    client.send("1").await.unwrap();
    let (sent, ()) = tokio::join!(client.send("x".repeat(1000)), async {
        sleep(SECOND).await;
        drop(server);
    });
    assert_eq!(sent.unwrap().get(), 2);
    assert_eq!(client.try_send("offline").unwrap().get(), 3);
    let (why, unknown, _) = lost(&mut client).await;
    assert!(matches!(why, Why::Failed(Error::Io(_)) | Why::Closed(_)), "{why:?}");
    assert_eq!(unknown, 1..3);
    // It is not sent again; what waited is.
    let mut server = connect(&mut client, &mut dials).await;
    client.ready();
    assert_eq!(meanwhile(&mut client, hear(&mut server)).await, "offline");
    drop(server);
    assert_eq!(lost(&mut client).await.1, 3..4);
}

/// A failure that is met by sending is told by `next`, as what it was.
#[tokio::test(start_paused = true)]
async fn a_failure_met_by_send_is_told_by_next() {
    let (mut client, mut dials) = net_that_holds(Options::default(), 64);
    let _deaf = connect(&mut client, &mut dials).await;
    client.ready();
    client.send("x".repeat(1000)).await.unwrap();
    let (why, unknown, _) = lost(&mut client).await;
    assert!(matches!(why, Why::Failed(Error::PongTimeout)), "{why:?}");
    assert_eq!(unknown, 1..2);
}

/// The server says that it goes while messages wait for room. They are kept for the next connection.
#[tokio::test(start_paused = true)]
async fn what_waits_when_the_server_goes_is_kept() {
    let (mut client, mut dials) = net_that_holds(queue(), 64);
    let mut server = connect(&mut client, &mut dials).await;
    client.ready();
    let full = "f".repeat(100_000);
    client.try_send(full.clone()).unwrap();
    for text in ["2", "3"] {
        client.try_send(text).unwrap();
    }
    let (closed, (_, unknown, _)) =
        tokio::join!(server.close(CloseCode::SERVICE_RESTART, ""), async { lost(&mut client).await });
    closed.unwrap();
    assert_eq!((unknown, client.queued()), (1..2, 2));
    let mut server = connect(&mut client, &mut dials).await;
    client.ready();
    for text in ["2", "3"] {
        assert_eq!(meanwhile(&mut client, hear(&mut server)).await, text);
    }
}

/// Messages that have come before a failure are all taken before it is told.
#[tokio::test(start_paused = true)]
async fn what_has_come_is_taken_before_the_loss_is_told() {
    let (mut client, mut dials) = net_that_holds(Options::default(), 4096);
    let mut server = connect(&mut client, &mut dials).await;
    client.ready();
    for at in 0..5 {
        server.send(format!("{at}")).await.unwrap();
    }
    drop(server);
    // The failure is met by sending.
    let _ = client.send("x".repeat(10_000)).await;
    for at in 0..5 {
        assert!(
            matches!(event(&mut client).await, Event::Message(message) if message.as_text() == Some(&at.to_string()))
        );
    }
    lost(&mut client).await;
}

// A peer that is dead, and a network that is back.

#[tokio::test(start_paused = true)]
async fn a_dead_peer_is_noticed() {
    let (mut client, mut dials) = net(Options::default());
    let _deaf = connect(&mut client, &mut dials).await;
    let begun = Instant::now();
    let (why, ..) = lost(&mut client).await;
    assert!(matches!(why, Why::Failed(Error::PongTimeout)), "{why:?}");
    assert_eq!(begun.elapsed().as_secs(), 45);
}

#[tokio::test(start_paused = true)]
async fn who_is_woken_finds_a_dead_peer_soon() {
    for usual in [true, false] {
        let (dialed, mut dials) = mpsc::unbounded_channel();
        let mut client = Persistent::new(move || {
            let (ours, theirs) = duplex(1024);
            dialed.send(theirs).unwrap();
            let mut config = Config::default();
            if !usual {
                config.keepalive = None;
            }
            async move { Ok(connect_on(&Client::new(ClientRequest::new("ws://test/")?).config(config), ours).await?) }
        });
        let mut server = connect(&mut client, &mut dials).await;
        // The peer lives: nothing happens, and afterwards all is as before.
        client.wake();
        let _ = timeout(SECOND, meanwhile(&mut client, server.drain())).await.unwrap_err();
        client.wake();
        let _ = timeout(100 * SECOND, meanwhile(&mut client, server.drain())).await.unwrap_err();
        let keepalive = client.socket().unwrap().connection().config().keepalive;
        assert_eq!(keepalive.map(|keepalive| keepalive.timeout), usual.then_some(20 * SECOND));
        // The peer is dead.
        let begun = Instant::now();
        for _ in 0..3 {
            client.wake();
            let _ = timeout(SECOND, client.next()).await.unwrap_err();
        }
        let (why, ..) = lost(&mut client).await;
        assert!(matches!(why, Why::Failed(Error::PongTimeout)), "{why:?}");
        assert_eq!(begun.elapsed().as_secs(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_woken_does_not_wait_for_the_next_attempt() {
    let (mut client, mut dials) = net(Options::default());
    let mut longest = Duration::ZERO;
    // Until a wait is long.
    while longest < 10 * SECOND {
        let (happened, stream) = tokio::join!(lost(&mut client), dials.recv());
        drop(stream);
        longest = happened.2;
    }
    let begun = Instant::now();
    client.wake();
    let ((), stalled) = tokio::join!(
        async {
            let _ = timeout(SECOND, client.next()).await.unwrap_err();
        },
        dials.recv()
    );
    assert!(begun.elapsed() <= SECOND, "{:?}", begun.elapsed());
    // An attempt under way gets a shorter time, however often it is woken; it is not begun anew.
    client.wake();
    let _ = timeout(4 * SECOND, client.next()).await.unwrap_err();
    client.wake();
    let (why, ..) = lost(&mut client).await;
    assert!(matches!(why, Why::Dial(DialError::Connect(Error::TimedOut))), "{why:?}");
    assert_eq!(begun.elapsed().as_secs(), 6);
    assert!(stalled.is_some() && dials.try_recv().is_err());
}

/// A network that comes and goes does not make it try without a pause.
#[tokio::test(start_paused = true)]
async fn who_is_woken_all_the_time_keeps_a_distance() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    let mut client = failing(move || {
        counted.fetch_add(1, Relaxed);
        std::io::Error::from(std::io::ErrorKind::NetworkUnreachable).into()
    });
    let begun = Instant::now();
    while begun.elapsed() < 100 * SECOND {
        client.wake();
        let _ = timeout(Duration::from_millis(10), client.next()).await;
    }
    // The first waits may be shorter than the distance.
    let attempts = attempts.load(Relaxed);
    assert!((150..=215).contains(&attempts), "{attempts}");
}

// The end.

#[tokio::test(start_paused = true)]
async fn close_ends_it() {
    let (mut client, mut dials) = net(queue());
    let mut server = connect(&mut client, &mut dials).await;
    client.ready();
    let error = client.close(CloseCode::ABNORMAL, "").await.unwrap_err();
    assert!(matches!(error, Error::Send(_)));
    client.send("goes on").await.unwrap();
    assert_eq!(hear(&mut server).await, "goes on");
    client.try_send("last").unwrap();
    let (closed, heard) = tokio::join!(client.close(CloseCode::GOING_AWAY, "bye"), async {
        let heard = hear(&mut server).await;
        assert!(server.recv().await.unwrap().is_none());
        heard
    });
    closed.unwrap();
    assert_eq!(heard, "last");
    assert_eq!(server.closed().unwrap().code, CloseCode::GOING_AWAY);
    // 1001 comes back as 1001, which is no reason to come back here.
    assert!(ended(&mut client).await && client.socket().is_none());
    client.close(CloseCode::NORMAL, "").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn close_ends_a_wait_and_an_attempt_and_gives_back_what_waits() {
    for waits in [true, false] {
        let (mut client, mut dials) = net(queue());
        client.try_send("kept").unwrap();
        let stream = tokio::select! {
            event = client.next() => panic!("{event:?}"),
            stream = dials.recv() => stream.unwrap(),
        };
        if waits {
            drop(stream);
            lost(&mut client).await;
        }
        client.close(CloseCode::NORMAL, "").await.unwrap();
        assert!(ended(&mut client).await && dials.try_recv().is_err());
        assert_eq!(client.take_queued().map(|(_, message)| message).collect::<Vec<_>>(), [Message::from("kept")]);
    }
}

/// A `close` that is dropped has begun. `next` goes on with it, and nothing is dialed again.
#[tokio::test(start_paused = true)]
async fn a_close_that_is_dropped_goes_on() {
    let (mut client, mut dials) = net(Options::default());
    let mut server = connect(&mut client, &mut dials).await;
    assert!(timeout(Duration::ZERO, client.close(CloseCode::SERVICE_RESTART, "")).await.is_err());
    let (ended, _) = tokio::join!(ended(&mut client), server.drain());
    assert!(ended && dials.try_recv().is_err());
    assert_eq!(server.closed().unwrap().code, CloseCode::SERVICE_RESTART);
}

/// What a dropped `close` has begun is not taken back by another one with a code that cannot be sent: this client would
/// come back by itself, since 1012 is a reason to.
#[tokio::test(start_paused = true)]
async fn a_close_that_cannot_be_sent_takes_none_back() {
    let (mut client, mut dials) = net(Options::default());
    let mut server = connect(&mut client, &mut dials).await;
    assert!(timeout(Duration::ZERO, client.close(CloseCode::SERVICE_RESTART, "")).await.is_err());
    assert!(matches!(client.close(CloseCode::ABNORMAL, "").await, Err(Error::Send(_))));
    assert_eq!(client.try_send("x").unwrap_err().reason, UnsentReason::Over);
    let (ended, _) = tokio::join!(ended(&mut client), server.drain());
    assert!(ended && dials.try_recv().is_err());
}

/// What breaks the protocol is told, and fatal.
#[tokio::test(start_paused = true)]
async fn a_peer_that_breaks_the_protocol_is_left() {
    let (mut client, mut dials) = net(Options::default());
    let (event, server) =
        tokio::join!(event(&mut client), async { accept(dials.recv().await.unwrap()).await.unwrap() });
    assert!(matches!(event, Event::Connected { again: false }));
    let (mut stream, ..) = server.into_parts();
    stream.write_all(b"\xff\xff").await.unwrap();
    drop(stream);
    match client.next().await {
        Some(Event::Fatal { why: Why::Failed(Error::Protocol(_)), .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_can_be_named_moved_and_shown() {
    struct Owner {
        _client: Persistent,
    }
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client: Persistent = Persistent::new(|| async { Ok(openline::tokio::connect("ws://127.0.0.1:1/").await?) });
        let mut client = is_send(Owner { _client: client });
        drop(is_send(client._client.next()));
        drop(is_send(client._client.send("x")));
        assert_eq!(format!("{:?}", client._client), r#"Persistent { state: "waits", failures: 0, queued: 0, .. }"#);
    });
}
