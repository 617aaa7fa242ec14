//! The same topics over plain HTTP, and who may come.

mod common;

use common::{Live, Outcome, PATIENCE, Server};
use openline::{ClientRequest, Error};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn publish(server: &Server, topic: &str, body: &str) -> u64 {
    let answer = server.http("POST", &format!("/publish?topic={topic}"), &[], body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["offset"].as_u64().unwrap()
}

#[tokio::test]
async fn poll_gives_what_is_kept_and_what_comes() -> Outcome {
    let server = Server::start(&["--retain", "3"]);
    let empty = server.get("/poll?topic=t").await;
    assert_eq!((empty.status, empty.field("content-type")), (200, Some("application/json")));
    assert_eq!(empty.field("cache-control"), Some("no-store"));
    let epoch = empty.json()["epoch"].as_str().unwrap().to_owned();
    assert_eq!(empty.json(), json!({"epoch": epoch, "offset": 0, "whole": true, "messages": []}));
    // One waits, and hears it.
    let target = format!("/poll?topic=t&after={epoch}:0");
    let waiting = server.get(&target);
    let said = async {
        let mut joined = false;
        while !joined {
            // It waits once it has joined. The first page counts who has.
            let mut figures = server.live().await;
            figures.ask(json!({"join": "server:figures", "from": "now"})).await;
            joined = figures.next().await["message"]["joined"].as_u64() >= Some(12);
        }
        publish(&server, "t", " { \"a\" : [1, 2] }\n").await
    };
    let (heard, offset) = tokio::join!(waiting, said);
    assert_eq!(offset, 1);
    let message = json!({"topic": "t", "epoch": epoch, "offset": 1, "socketid": "http", "message": {"a": [1, 2]}});
    assert_eq!(heard.json(), json!({"epoch": epoch, "offset": 1, "whole": true, "messages": [message]}));
    for number in 2..=6 {
        publish(&server, "t", &number.to_string()).await;
    }
    for (after, whole, offsets) in [
        (String::new(), false, vec![4, 5, 6]),
        (format!("&after={epoch}:2"), false, vec![4, 5, 6]),
        (format!("&after={epoch}:3"), true, vec![4, 5, 6]),
        (format!("&after={epoch}:5"), true, vec![6]),
        (format!("&after={epoch}:7"), false, vec![4, 5, 6]),
        ("&after=another:7".to_owned(), false, vec![4, 5, 6]),
    ] {
        let page = server.get(&format!("/poll?topic=t{after}")).await.json();
        assert_eq!((&page["whole"], &page["offset"]), (&json!(whole), &json!(6)), "{after}");
        let found: Vec<_> =
            page["messages"].as_array().unwrap().iter().map(|m| m["offset"].as_u64().unwrap()).collect();
        assert_eq!(found, offsets, "{after}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_has_its_status() -> Outcome {
    let server = Server::start(&[]);
    let long = "a".repeat(129);
    for (method, target, body, status) in [
        ("GET", "/health", "", 200),
        ("GET", "/nothing", "", 404),
        ("GET", "/chat/", "", 404),
        ("POST", "/chat", "", 405),
        ("GET", "/poll", "", 400),
        ("GET", "/poll?topic=", "", 400),
        ("GET", &format!("/poll?topic={long}"), "", 400),
        ("GET", "/poll?topic=t&after=", "", 400),
        ("GET", "/poll?topic=t&after=e", "", 400),
        ("GET", "/poll?topic=t&after=e:", "", 400),
        ("GET", "/poll?topic=t&after=:1", "", 400),
        ("GET", "/poll?topic=t&after=e:x", "", 400),
        ("GET", "/poll?topic=t&after=e:-1", "", 400),
        ("GET", "/poll?topic=t&after=a:b:1", "", 400),
        ("GET", "/poll?topic=t&after=e:99999999999999999999", "", 400),
        ("GET", "/events", "", 400),
        ("GET", "/events?topic=t&after=e", "", 400),
        ("POST", "/publish", "1", 400),
        ("POST", "/publish?topic=", "1", 400),
        ("POST", "/publish?topic=t", "", 400),
        ("POST", "/publish?topic=t", "{", 400),
        ("POST", "/publish?topic=t", "1 2", 400),
        ("POST", "/publish?topic=t", "\u{1}", 400),
        ("GET", "/publish?topic=t", "", 405),
        ("POST", "/publish?topic=auction:1", "1", 403),
        ("POST", "/publish?topic=auction%3A9", "1", 403),
        ("POST", "/publish?topic=server:figures", "1", 403),
        ("POST", "/publish?topic=t", &format!("\"{}\"", "a".repeat(64 << 10)), 413),
        ("GET", "/echo", "", 426),
        ("GET", "/live", "", 426),
    ] {
        let answer = server.http(method, target, &[], body).await;
        assert_eq!(answer.status, status, "{method} {target} {body:.20}: {}", answer.body);
    }
    assert_eq!(server.get("/poll?topic=t").await.json()["offset"], 0, "nothing was said");
    Ok(())
}

/// A stream of events as text, until it contains something.
struct Events {
    stream: TcpStream,
    text: String,
}

impl Events {
    async fn open(server: &Server, target: &str, headers: &str) -> Events {
        let mut stream = TcpStream::connect(&server.at).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", server.at);
        stream.write_all(request.as_bytes()).await.unwrap();
        Events { stream, text: String::new() }
    }

    async fn until(&mut self, part: &str) -> String {
        let read = async {
            while !self.text.contains(part) {
                let mut bytes = [0; 4096];
                let count = self.stream.read(&mut bytes).await.unwrap();
                assert_ne!(count, 0, "it has ended after {:?}", self.text);
                self.text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("no {part:?} in {:?}", self.text));
        // Without what frames the chunks: lines with nothing but hexadecimal digits.
        let chunk = |line: &&str| !line.trim_end_matches('\r').bytes().all(|byte| byte.is_ascii_hexdigit());
        self.text.lines().filter(|line| line.is_empty() || chunk(line)).collect::<Vec<_>>().join("\n")
    }
}

#[tokio::test]
async fn events_have_positions_and_tell_holes() -> Outcome {
    let server = Server::start(&["--retain", "2"]);
    let mut fresh = Events::open(&server, "/events?topic=t", "").await;
    let text = fresh.until("id: ").await;
    for field in ["content-type: text/event-stream", "cache-control: no-store", "x-accel-buffering: no"] {
        assert!(text.contains(field), "{field} in {text}");
    }
    let text = fresh.until(":0\n\n").await;
    let epoch = text.split_once("id: ").unwrap().1.split_once(':').unwrap().0.to_owned();
    assert!(!text.contains("data:"));
    publish(&server, "t", "\"a\\nb\"").await;
    let message = json!({"topic": "t", "epoch": epoch, "offset": 1, "socketid": "http", "message": "a\nb"});
    let text = fresh.until("a\\nb").await;
    let (_, data) = text.split_once(&format!("id: {epoch}:1\ndata: ")).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(data.lines().next().unwrap())?, message);

    for number in 2..=4 {
        publish(&server, "t", &format!("\"m{number}\"")).await;
    }
    for (query, header, first, hole, oldest) in [
        (String::new(), String::new(), 2, false, 3),
        (format!("&after={epoch}:3"), String::new(), 3, false, 4),
        (format!("&after={epoch}:1"), String::new(), 2, true, 3),
        (format!("&after={epoch}:9"), String::new(), 2, true, 3),
        ("&after=other:3".into(), String::new(), 2, true, 3),
        // The last id wins.
        (format!("&after={epoch}:1"), format!("Last-Event-ID: {epoch}:3\r\n"), 3, false, 4),
    ] {
        let mut events = Events::open(&server, &format!("/events?topic=t{query}"), &header).await;
        let text = events.until("\"m4\"").await;
        let (_, body) = text.split_once("\n\n").unwrap_or_else(|| panic!("{text:?}"));
        let mut blocks = body.trim_start().split("\n\n").filter(|block| !block.trim().is_empty());
        assert_eq!(blocks.next(), Some(&*format!("id: {epoch}:{first}")), "{query} {header}");
        if hole {
            let joined = blocks.next().unwrap();
            assert!(joined.starts_with("event: joined\n") && joined.contains("\"whole\":false"), "{joined}");
        }
        let block = blocks.next().unwrap();
        assert!(block.starts_with(&format!("id: {epoch}:{oldest}\ndata: {{")), "{query} {header}: {block}");
    }
    Ok(())
}

#[tokio::test]
async fn pages_of_other_sites_may_not_come() -> Outcome {
    let server = Server::start(&["--origin", "https://friend.example", "--origin", "http://other.example:81"]);
    let own = format!("http://{}", server.at);
    for (origin, allowed) in [
        (None, true),
        (Some(&*own), true),
        (Some("https://friend.example"), true),
        (Some("http://other.example:81"), true),
        (Some("http://friend.example"), false),
        (Some("http://evil.example"), false),
        (Some("null"), false),
        (Some(""), false),
    ] {
        for path in ["live", "echo"] {
            let mut request = ClientRequest::new(&format!("ws://{}/{path}", server.at))?;
            if let Some(origin) = origin {
                request = request.header("Origin", origin)?;
            }
            match Live::connect_with(request).await {
                Ok(_) => assert!(allowed, "{origin:?} at {path}"),
                Err(Error::Refused(response)) => assert_eq!((allowed, response.status), (false, 403), "{origin:?}"),
                Err(error) => return Err(error.into()),
            }
        }
        let headers: Vec<_> = origin.map(|origin| ("Origin", origin)).into_iter().collect();
        let answer = server.http("POST", "/publish?topic=t", &headers, "1").await;
        assert_eq!(answer.status, if allowed { 200 } else { 403 }, "{origin:?}");
        // Pages of a listed origin may also read the answer.
        let listed = origin.filter(|_| allowed).filter(|origin| *origin != own);
        assert_eq!(answer.field("access-control-allow-origin"), listed, "{origin:?}");
        let preflight = server.http("OPTIONS", "/publish?topic=t", &headers, "").await;
        assert_eq!((preflight.status, preflight.field("access-control-allow-origin")), (204, listed));
    }
    Ok(())
}

#[tokio::test]
async fn pages_come_from_nowhere_else() -> Outcome {
    let server = Server::start(&[]);
    for path in ["/", "/text", "/chat", "/auction", "/compare"] {
        let page = server.get(path).await;
        assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")), "{path}");
        assert!(page.field("content-security-policy").unwrap().starts_with("default-src 'none'"));
        for part in page.body.split("src=\"").skip(1).chain(page.body.split("stylesheet\" href=\"").skip(1)) {
            let (target, _) = part.split_once('"').unwrap();
            assert!(target.starts_with('/'), "{path} has {target}");
            assert_eq!(server.get(target).await.status, 200, "{path} has {target}");
        }
    }
    Ok(())
}
