//! Servers and networks that fail in every way, one after the other: the example `chat_client` hears all and hears it
//! once, and each message that a client sends is accounted for. In virtual time.
#![cfg(all(feature = "client", feature = "pump"))]

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use openline::tokio::{WebSocket, accept, connect_on, read_request};
use openline::{Client, ClientRequest, CloseCode, Prepared, Response, Server};
use openline_live::client::{DialError, Event, Offline, Options, Persistent};
use openline_live::{Delivery, EpochSeed, Hub, Lag, Retain, Start, Subscriber, Topic, pump};
use tokio::io::{DuplexStream, duplex};
use tokio::time::{Instant, sleep, timeout};

#[allow(dead_code, unreachable_pub, reason = "its `main` reads a terminal")]
#[path = "../examples/chat_client.rs"]
mod chat_client;
use chat_client::{Chat, Heard};

/// What becomes of one attempt or connection.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Nobody listens.
    Down,
    /// The request is never answered.
    Stalls,
    /// 503 with `Retry-After: 3`.
    Refuses,
    /// It is accepted, and reset at once.
    Resets,
    /// It is served for so many tenths of a second, and then killed.
    Killed(u64),
    /// The same, and then closed with 1012.
    Restarts(u64),
    /// The same, and then nobody reads, writes or closes: half of it is open for ever.
    HalfOpen(u64),
    Serves,
}
use Act::*;

/// A server that serves as `serve` does, after what the script says.
struct World {
    script: Mutex<VecDeque<Act>>,
    room: Topic<Prepared>,
    log: Mutex<Vec<String>>,
    dials: Mutex<Vec<Duration>>,
    /// What is half open.
    held: Mutex<Vec<WebSocket<DuplexStream>>>,
    begun: Instant,
}

impl World {
    fn new(script: impl IntoIterator<Item = Act>) -> Arc<World> {
        let mut retain = Retain::default();
        retain.messages = 100_000;
        let hub = Hub::local(retain, EpochSeed::from([3; 16]), |_, at, text: &Bytes| {
            Prepared::new(format!("{at} {}", String::from_utf8_lossy(text)))
        });
        Arc::new(World {
            script: Mutex::new(script.into_iter().collect()),
            room: hub.topic("room").unwrap(),
            log: Mutex::default(),
            dials: Mutex::default(),
            held: Mutex::default(),
            begun: Instant::now(),
        })
    }

    async fn dial(self: Arc<World>) -> Result<WebSocket<DuplexStream>, DialError> {
        self.dials.lock().unwrap().push(self.begun.elapsed());
        let act = self.script.lock().unwrap().pop_front().unwrap_or(Serves);
        if let Down = act {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        }
        let (ours, theirs) = duplex(512);
        tokio::spawn(self.serve(theirs, act));
        Ok(connect_on(&Client::new(ClientRequest::new("ws://test/")?), ours).await?)
    }

    async fn serve(self: Arc<World>, stream: DuplexStream, act: Act) -> Result<(), openline::Error> {
        let long = match act {
            Down => return Ok(()),
            Stalls => {
                sleep(Duration::from_secs(3600)).await;
                drop(stream);
                return Ok(());
            }
            Refuses => {
                let refusal = Response::new(503).header("Retry-After", "3")?;
                return read_request(&Server::default(), stream).await?.reject(refusal).await;
            }
            Resets => return accept(stream).await.map(drop),
            Killed(tenths) | Restarts(tenths) | HalfOpen(tenths) => Duration::from_millis(tenths * 100),
            Serves => Duration::MAX,
        };
        let mut socket = accept(stream).await?;
        let _ = timeout(long, self.talk(&mut socket)).await;
        match act {
            Restarts(_) => socket.close(CloseCode::SERVICE_RESTART, "").await?,
            HalfOpen(_) => self.held.lock().unwrap().push(socket),
            _ => {}
        }
        Ok(())
    }

    /// As the example `chat` does.
    async fn talk(&self, socket: &mut WebSocket<DuplexStream>) -> Result<(), openline::Error> {
        let mut heard = Subscriber::new();
        heard.join(&self.room, Start::Now, Lag::Leave);
        while let Some(said) = pump(socket, &mut heard, encode).await? {
            let Some(text) = said.as_text() else { continue };
            match text.strip_prefix("from ").and_then(|at| at.parse().ok()) {
                Some(at) => heard.join(&self.room, Start::After(at), Lag::Leave),
                None => {
                    self.log.lock().unwrap().push(text.to_owned());
                    say(&self.room, text).await;
                }
            }
        }
        Ok(())
    }
}

fn encode(delivery: Delivery<Prepared>) -> Option<Prepared> {
    match delivery {
        Delivery::Message(message) => Some(message),
        Delivery::Joined { at, whole, .. } => Some(Prepared::new(format!("joined {at} {whole}"))),
        _ => Some(Prepared::new("left")),
    }
}

async fn say(room: &Topic<Prepared>, text: &str) {
    room.publish(None, Bytes::copy_from_slice(text.as_bytes()), None).await.unwrap();
}

/// Says 0, 1, 2, … all the time, while a chat with this script runs. Returns the notices.
async fn chat_through(script: impl IntoIterator<Item = Act>) -> (Vec<String>, Arc<World>) {
    const SAID: usize = 2000;
    // It must have joined once to know a position.
    let world = World::new([Killed(5)].into_iter().chain(script));
    let dialed = world.clone();
    let mut chat = Chat::new(Options::default(), move || dialed.clone().dial());
    let (mut heard, mut notices) = (vec![], vec![]);
    let room = world.room.clone();
    let publishing = async move {
        sleep(Duration::from_millis(100)).await;
        for number in 0..SAID {
            say(&room, &number.to_string()).await;
            sleep(Duration::from_millis(150)).await;
        }
    };
    let hearing = async {
        while heard.len() < SAID {
            match chat.hear().await.expect("it goes on") {
                Heard::Said(text) => heard.push(text),
                Heard::Notice(text) => notices.push(text),
            }
        }
    };
    let all = async { tokio::join!(publishing, hearing) };
    timeout(Duration::from_secs(7200), all).await.expect("all is heard");
    assert!(heard.iter().enumerate().all(|(at, text)| *text == at.to_string()), "each once, and in order");
    assert!(notices.iter().all(|notice| notice != "messages are gone"));
    // The connection that stands says nothing more than once either.
    assert!(timeout(Duration::from_secs(20), chat.hear()).await.is_err());
    (notices, world)
}

/// Each fault alone, some times in succession.
#[tokio::test(start_paused = true)]
async fn the_chat_loses_nothing_by_any_fault() {
    for act in [Down, Stalls, Refuses, Resets, Killed(20), Restarts(20), HalfOpen(20), Killed(1), Restarts(0)] {
        let (notices, world) = chat_through([act; 4]).await;
        let lost = notices.iter().filter(|notice| notice.contains("again in")).count();
        assert_eq!((lost, world.dials.lock().unwrap().len()), (5, 6), "{act:?}: {notices:?}");
        if let Refuses = act {
            let dials = world.dials.lock().unwrap().clone();
            assert!(dials.windows(2).skip(1).all(|pair| pair[1] - pair[0] >= Duration::from_secs(3)), "{dials:?}");
        }
    }
}

fn any_act(dice: &mut u64) -> Act {
    // xorshift64
    (0..3).for_each(|_| {
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
    });
    let tenths = *dice >> 8 & 63;
    match *dice % 7 {
        0 => Down,
        1 => Stalls,
        2 => Refuses,
        3 => Resets,
        4 => Killed(tenths),
        5 => Restarts(tenths),
        _ => HalfOpen(tenths),
    }
}

#[tokio::test(start_paused = true)]
async fn the_chat_loses_nothing_by_many_faults() {
    let mut dice = 0x1234_5678_9abc_def0;
    for _ in 0..8 {
        let script: Vec<_> = (0..12).map(|_| any_act(&mut dice)).collect();
        chat_through(script).await;
    }
}

/// The server is another one: its log has another epoch, of which the client hears all, and that is told.
#[tokio::test(start_paused = true)]
async fn another_epoch_is_told() {
    let old = World::new([Killed(5)]);
    let new = World::new([]);
    let hub = Hub::local(Retain::default(), EpochSeed::from([4; 16]), |_, at, text: &Bytes| {
        Prepared::new(format!("{at} {}", String::from_utf8_lossy(text)))
    });
    let mut new = Arc::try_unwrap(new).unwrap_or_else(|_| panic!("nobody else has it"));
    new.room = hub.topic("room").unwrap();
    let new = Arc::new(new);
    say(&old.room, "before").await;
    say(&new.room, "new 1").await;
    let mut worlds = VecDeque::from([old.clone(), new]);
    let mut chat = Chat::new(Options::default(), move || {
        let world = if worlds.len() > 1 { worlds.pop_front() } else { worlds.front().cloned() };
        world.unwrap().dial()
    });
    assert_eq!(chat.hear().await, Some(Heard::Notice("connected".to_owned())));
    let said = async {
        sleep(Duration::from_millis(100)).await;
        say(&old.room, "old 2").await;
    };
    let (heard, ()) = tokio::join!(chat.hear(), said);
    assert_eq!(heard, Some(Heard::Said("old 2".to_owned())));
    let mut heard = vec![];
    while heard.last() != Some(&Heard::Said("new 1".to_owned())) {
        heard.push(chat.hear().await.unwrap());
    }
    assert!(heard.contains(&Heard::Notice("messages are gone".to_owned())), "{heard:?}");
}

/// What a client sends is in the log once; or it comes back; or it is among the unknown, and then in the log at most
/// once. What is in the log is in the order in which it was sent.
#[tokio::test(start_paused = true)]
async fn each_message_sent_is_accounted_for() {
    let mut dice = 0xfeed_beef_1234_5678;
    let (mut sure, mut unsure, mut late) = (0, 0, 0);
    for round in 0..12 {
        let script: Vec<_> = (0..12).map(|_| any_act(&mut dice)).collect();
        let world = World::new(script);
        let mut options = Options::default();
        options.offline = Offline::Queue { messages: 30, bytes: 3000, age: Duration::from_secs(20) };
        let dialed = world.clone();
        let mut client = Persistent::with_options(options, move || dialed.clone().dial());
        // By ticket: what is not known to be lost or given back.
        let mut accepted = BTreeMap::new();
        let mut unknown = vec![];
        let mut expired = vec![];
        let mut next = Instant::now();
        let mut number = 0;
        // Until all is sent, on the connection that stays.
        while number < 1000 || world.dials.lock().unwrap().len() <= 12 || client.queued() > 0 {
            tokio::select! {
                event = client.next() => match event.expect("it goes on") {
                    Event::Connected { .. } => {
                        client.send_ahead("hello").unwrap();
                        client.ready();
                    }
                    Event::Expired { ticket, message } => {
                        assert_eq!(accepted.remove(&ticket), message.as_text().map(str::to_owned));
                        expired.push(message.as_text().unwrap().to_owned());
                    }
                    Event::Lost { unknown: range, .. } => {
                        let tickets: Vec<_> = accepted.range(range).map(|(ticket, _)| *ticket).collect();
                        unknown.extend(tickets.iter().filter_map(|ticket| accepted.remove(ticket)));
                    }
                    Event::Message(_) => {}
                    other => panic!("{other:?}"),
                },
                () = tokio::time::sleep_until(next), if number < 1000 => {
                    next += Duration::from_millis(200);
                    // Some are long, so that the buffers are full at times.
                    let text = format!("{number} {}", "m".repeat(if number % 10 == 0 { 500 } else { 1 }));
                    let sent = match round % 2 {
                        0 => client.try_send(text.clone()),
                        _ => client.send(text.clone()).await,
                    };
                    if let Ok(ticket) = sent {
                        accepted.insert(ticket, text);
                    }
                    number += 1;
                }
            }
        }
        let quiet = timeout(Duration::from_secs(10), async {
            while let Event::Message(_) | Event::Connected { .. } = client.next().await.unwrap() {
                client.ready();
            }
        });
        assert!(quiet.await.is_err());
        let log: Vec<_> = world.log.lock().unwrap().iter().filter(|text| *text != "hello").cloned().collect();
        let numbers: Vec<u32> = log.iter().map(|text| text.split(' ').next().unwrap().parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "in order, and none twice");
        assert!(accepted.values().all(|text| log.contains(text)), "what is not unknown has arrived");
        assert!(expired.iter().all(|text| !log.contains(text)), "what came back has not");
        assert!(log.iter().all(|text| unknown.contains(text) || accepted.values().any(|other| other == text)));
        (sure, unsure, late) = (sure + accepted.len(), unsure + unknown.len(), late + expired.len());
    }
    assert!(sure > 1000 && unsure > 100 && late > 100, "{sure} {unsure} {late}");
}

/// Ten thousand attempts and connections take no more memory at once than a hundred.
#[test]
fn memory_does_not_grow() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let most = |losses: usize| {
        let run = async {
            let mut count = 0_u32;
            let mut options = Options::default();
            options.offline = Offline::Queue { messages: 10, bytes: 100, age: Duration::from_secs(3600) };
            let mut client = Persistent::with_options(options, move || {
                count += 1;
                let (ours, theirs) = duplex(512);
                if count.is_multiple_of(2) {
                    tokio::spawn(async move { accept(theirs).await.map(drop) });
                }
                async move { Ok(connect_on(&Client::new(ClientRequest::new("ws://test/")?), ours).await?) }
            });
            let mut lost = 0;
            while lost < losses {
                // Far more than the queue may have.
                (0..20).for_each(|_| drop(client.try_send("12345")));
                match client.next().await.expect("it goes on") {
                    Event::Lost { .. } => lost += 1,
                    Event::Connected { .. } | Event::Expired { .. } => {}
                    other => panic!("{other:?}"),
                }
                assert!(client.queued() >= 9);
            }
        };
        usize::try_from(allocation_counter::measure(|| runtime.block_on(run)).bytes_max).unwrap()
    };
    most(10);
    let (few, many) = (most(100), most(10_000));
    assert!(few > 0 && many <= few + 1024, "{few} and {many} bytes");
}
