//! The examples as programs: what they print, how they end, and what they say to a wrong command line.

#[path = "common/program.rs"]
mod program;

use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(feature = "std")]
use program::Running;
use program::example;

/// An example that is built with the features of this test, and the options that its `--help` must name.
fn examples() -> Vec<(&'static str, &'static [&'static str])> {
    let server = &["--listen", "--max-message-size", "--subprotocols", "--origin", "--handshake-timeout", "--deflate"];
    let mut all: Vec<(&str, &[&str])> = vec![("sans_io", &[])];
    if cfg!(feature = "std") {
        all.push(("echo_server_std", server));
        all.push(("epoll_server", server));
        all.push(("epoll_server", &["--threads", "--broadcast"]));
    }
    if cfg!(feature = "tokio") {
        all.push(("echo_server", server));
        all.push(("echo_server", &["--threads"]));
        all.push(("guarded_server", &[]));
        all.push(("tls_server", server));
        all.push(("tls_server", &["--ca-out"]));
        all.push(("chat", &["--listen"]));
        all.push(("autobahn_client", &["--impl", "ws://HOST:PORT"]));
        all.push(("echo_client", &["URL", "--impl", "--deflate", "--fragment"]));
        all.push((
            "client",
            &["URL", "--subprotocol", "--header", "--proxy", "--ca", "--ping-interval", "--linger", "--deflate"],
        ));
    }
    all
}

/// Runs an example to its end. Its standard input stays open, and says nothing.
fn run(name: &str, arguments: &[&str]) -> Output {
    run_typing(name, arguments, |_| {})
}

/// The same; `typing` writes to its standard input, which stays open after that.
fn run_typing(name: &str, arguments: &[&str], typing: impl FnOnce(&mut std::process::ChildStdin) + Send) -> Output {
    /// No program here waits for anything. This is for one that hangs.
    const PATIENCE: Duration = Duration::from_secs(60);

    let mut child = Command::new(example(name))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let begun = Instant::now();
    let (ended, input) = thread::scope(|scope| {
        let typist = scope.spawn(move || {
            typing(&mut input);
            input
        });
        let ended = loop {
            if child.try_wait().unwrap().is_some() {
                break true;
            }
            if begun.elapsed() > PATIENCE {
                child.kill().unwrap();
                break false;
            }
            thread::sleep(Duration::from_millis(10));
        };
        (ended, typist.join().unwrap())
    });
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert!(ended, "{name} {arguments:?} was still running, after {output:?}");
    output
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn help_names_every_option() {
    for (name, options) in examples() {
        for help in ["--help", "-h"] {
            let output = run(name, &[help]);
            assert_eq!(output.status.code(), Some(0), "{name} {help}");
            assert!(out(&output).starts_with(&format!("usage: {name} ")), "{name} {help}: {}", out(&output));
            for option in options.iter().chain(&["-h, --help"]) {
                // Each stands at the head of a line of its own, but for what goes without a name.
                let listed = if option.starts_with('-') { format!("\n  {option}") } else { format!(" {option}\n") };
                assert!(out(&output).contains(&listed), "{name} {help} does not name {option}: {}", out(&output));
            }
            assert_eq!(err(&output), "", "{name} {help}");
        }
    }
}

#[test]
fn an_argument_that_is_not_known_is_named() {
    for (name, _) in examples() {
        let output = run(name, &["--colour"]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert_eq!(out(&output), "", "{name}");
        let complaint = format!("{name}: invalid option '--colour'\nusage: {name} ");
        assert!(err(&output).starts_with(&complaint), "{name}: {}", err(&output));
    }
    assert!(err(&run("sans_io", &["x"])).starts_with("sans_io: unexpected argument \"x\"\n"));
}

#[cfg(feature = "std")]
#[test]
fn a_value_that_is_missing_or_wrong_is_named() {
    let complains = |name: &str, arguments: &[&str], complaint: &str| {
        let output = run(name, arguments);
        assert_eq!(output.status.code(), Some(2), "{name} {arguments:?}");
        assert_eq!(err(&output).lines().next(), Some(&*format!("{name}: {complaint}")), "{name} {arguments:?}");
    };
    for server in ["echo_server_std", "epoll_server"] {
        complains(server, &["--listen"], "missing argument for option '--listen'");
        complains(server, &["--deflate", "much"], "--deflate takes takeover, alone or off, not \"much\"");
        complains(server, &["--handshake-timeout", "-1"], "--handshake-timeout takes a number of seconds, not \"-1\"");
        complains(server, &["--max-message-size", "1k"], "--max-message-size takes a number of bytes, not \"1k\"");
    }
    complains("echo_server_std", &["--threads", "2"], "invalid option '--threads'");
    complains("epoll_server", &["--threads", "0"], "--threads takes a number of threads, not \"0\"");
    let two: [&[&str]; 2] = [&["--threads", "2", "--broadcast"], &["--broadcast", "--threads", "2"]];
    for arguments in two {
        complains("epoll_server", arguments, "--broadcast needs one thread");
    }
    if cfg!(feature = "tokio") {
        complains("echo_server", &["--threads", "two"], "--threads takes a number of threads, not \"two\"");
        complains("autobahn_client", &["--impl", "mio", "ws://a"], "--impl takes tokio or std, not \"mio\"");
        complains("echo_client", &["--fragment", "0", "ws://a"], "--fragment takes a number of bytes, not \"0\"");
        complains("echo_client", &["ws://a", "ws://b"], "unexpected argument \"ws://b\"");
        for client in ["autobahn_client", "echo_client", "client"] {
            complains(client, &[], "no URL");
        }
        complains("client", &["ws://a", "--header", "Cookie"], "--header takes 'NAME: VALUE'");
        let complaint = "--proxy: invalid scheme in the URI, at byte 0";
        complains("client", &["--proxy", "https://me:secret@proxy", "ws://a"], complaint);
        complains("client", &["--linger", "soon", "ws://a"], "--linger takes a number of seconds, not \"soon\"");
    }
}

/// Starts a server that prints its address once it listens. Returns the address too.
#[cfg(feature = "std")]
fn start(name: &str, arguments: &[&str]) -> (Running, String) {
    let mut command = Command::new(example(name));
    Running::start(command.args(["--listen", "127.0.0.1:0"]).args(arguments))
}

/// Each server sends messages back, many connections at once.
#[cfg(feature = "std")]
#[test]
fn the_servers_echo() {
    let one: &[&str] = &["--subprotocols", "echo"];
    let two: &[&str] = &["--subprotocols", "echo", "--threads", "2"];
    let servers = [("echo_server_std", one), ("epoll_server", one), ("epoll_server", two), ("echo_server", two)];
    for (name, arguments) in &servers[..if cfg!(feature = "tokio") { 4 } else { 3 }] {
        let (mut server, url) = start(name, arguments);
        let mut sockets: Vec<_> = (0..20)
            .map(|_| {
                let request = openline::ClientRequest::new(&url).unwrap().subprotocol("echo").unwrap();
                openline::net::connect_with(&openline::Client::new(request)).unwrap()
            })
            .collect();
        for (i, socket) in sockets.iter_mut().enumerate() {
            assert_eq!(socket.agreement().subprotocol.as_deref(), Some("echo"), "{name}");
            socket.send(format!("{i}")).unwrap();
            socket.send(vec![i as u8; 100_000]).unwrap();
        }
        for (i, mut socket) in sockets.into_iter().enumerate() {
            assert_eq!(socket.recv().unwrap().unwrap().as_text(), Some(&*i.to_string()), "{name}");
            assert_eq!(socket.recv().unwrap().unwrap().as_bytes(), vec![i as u8; 100_000], "{name}");
            socket.close(openline::CloseCode::NORMAL, "").unwrap();
            assert!(socket.closed().is_some_and(openline::Closed::is_clean), "{name}");
        }
        assert!(server.0.try_wait().unwrap().is_none(), "{name} goes on");
    }
}

/// All clients of a server hear all that is said, in one order; also one that has pipelined much and closed.
#[cfg(feature = "std")]
fn all_hear_what_is_said(name: &str, arguments: &[&str]) {
    const CLIENTS: usize = 5;
    const EACH: usize = 40;
    let (mut server, url) = start(name, arguments);
    let mut sockets: Vec<_> = (0..CLIENTS).map(|_| openline::net::connect(&url).unwrap()).collect();
    // Who has heard itself is in the room.
    for (i, socket) in sockets.iter_mut().enumerate() {
        socket.send(format!("client {i}")).unwrap();
        while socket.recv().unwrap().unwrap().as_text() != Some(&*format!("client {i}")) {}
    }
    for (i, socket) in sockets.iter_mut().enumerate() {
        (0..EACH).for_each(|n| socket.feed(format!("{i} says {n}")).unwrap());
        socket.flush().unwrap();
    }
    let heard: Vec<Vec<String>> = sockets
        .iter_mut()
        .map(|socket| {
            let mut heard = vec![];
            while heard.len() < CLIENTS * EACH {
                let text = socket.recv().unwrap().unwrap().as_text().unwrap().to_owned();
                heard.extend(text.contains(" says ").then_some(text));
            }
            heard
        })
        .collect();
    assert!(heard.iter().all(|one| *one == heard[0]), "all hear the same");
    for i in 0..CLIENTS {
        let own: Vec<_> = heard[0].iter().filter(|text| text.starts_with(&format!("{i} "))).cloned().collect();
        assert_eq!(own, (0..EACH).map(|n| format!("{i} says {n}")).collect::<Vec<_>>());
    }
    for mut socket in sockets {
        socket.close(openline::CloseCode::NORMAL, "").unwrap();
        assert!(socket.closed().is_some_and(openline::Closed::is_clean));
    }
    assert!(server.0.try_wait().unwrap().is_none(), "it goes on");
}

#[cfg(feature = "tokio")]
#[test]
fn all_hear_what_is_said_in_the_chat() {
    all_hear_what_is_said("chat", &[]);
}

#[cfg(feature = "std")]
#[test]
fn all_hear_what_is_broadcast_over_epoll() {
    all_hear_what_is_said("epoll_server", &["--broadcast"]);
}

/// One that reads nothing is let go, and costs the others nothing: they hear all.
#[cfg(feature = "std")]
#[test]
fn who_does_not_read_a_broadcast_is_let_go() {
    use openline::CloseCode;

    let (mut server, url) = start("epoll_server", &["--broadcast", "--deflate", "off"]);
    let connect = || openline::net::connect(&url).unwrap();
    let (mut deaf, mut speaker, mut listener) = (connect(), connect(), connect());
    // 32 MB are more than both sockets hold.
    for n in 0..500u32 {
        speaker.send([&n.to_be_bytes()[..], &[0; 64 * 1024]].concat()).unwrap();
        for hears in [&mut speaker, &mut listener] {
            assert_eq!(hears.recv().unwrap().unwrap().as_bytes()[..4], n.to_be_bytes());
        }
    }
    let mut heard = 0u32;
    while let Some(message) = deaf.recv().unwrap() {
        assert_eq!(message.as_bytes()[..4], heard.to_be_bytes(), "no hole before the end");
        heard += 1;
    }
    assert!(heard < 500, "{heard}");
    assert!(deaf.closed().is_some_and(|closed| closed.code == CloseCode::TRY_AGAIN_LATER), "{:?}", deaf.closed());
    assert!(server.0.try_wait().unwrap().is_none(), "it goes on");
}

/// An hour goes by in memory, with a Ping from each end every 25 s.
#[test]
fn an_hour_goes_by_without_io() {
    let output = run("sans_io", &[]);
    assert!(output.status.success(), "{output:?}");
    for said in [
        "server: GET /chat from Some(\"example.com\")\n",
        "an hour later: the client has got 143 Pongs, the server 144\n",
        "client: Some(Closed(CloseCode(1000 (normal closure)), reason of 0 bytes, Clean))\n",
    ] {
        assert!(out(&output).contains(said), "{said}: {}", out(&output));
    }
}

/// The client in a terminal at which nobody presses a key, or somebody does not stop to.
#[cfg(feature = "tokio")]
mod client {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use openline::CloseCode;
    use openline::net::WebSocket;

    use super::*;

    /// Runs the client against a server for one connection, with arguments before and behind the URL.
    fn talk(
        serve: impl FnOnce(TcpStream) + Send + 'static,
        before: &[&str],
        behind: &[&str],
        typed: &'static [u8],
    ) -> Output {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("ws://{}/", listener.local_addr().unwrap());
        let serving = thread::spawn(move || serve(listener.accept().unwrap().0));
        let output =
            run_typing("client", &[before, &[&*uri], behind].concat(), |input| input.write_all(typed).unwrap());
        serving.join().unwrap();
        output
    }

    fn accept(stream: TcpStream) -> WebSocket<TcpStream> {
        openline::net::accept(stream).unwrap()
    }

    fn says(output: &Output, said: &str, status: i32) {
        assert_eq!((out(output), output.status.code()), (said, Some(status)), "{output:?}");
    }

    #[test]
    fn ends_when_the_server_closes_though_the_input_goes_on() {
        let output = talk(|stream| accept(stream).close(CloseCode::NORMAL, "").unwrap(), &[], &[], b"");
        says(&output, "close:1000\n", 0);
        assert_eq!(err(&output), "");
    }

    #[test]
    fn ends_when_the_server_closes_in_the_middle_of_a_line() {
        let serve = |stream| {
            let mut socket = accept(stream);
            assert_eq!(socket.recv().unwrap().unwrap().as_text(), Some("a line"));
            socket.send("Grüße").unwrap();
            socket.send(&[0u8, 0xab, 0xff]).unwrap();
            socket.close(CloseCode::new(4000), "").unwrap();
        };
        says(
            &talk(serve, &[], &["--deflate", "off"], b"a line\nhalf a li"),
            "text:Grüße\nbinary:00abff\nclose:4000\n",
            0,
        );
    }

    #[test]
    fn ends_when_the_server_closes_though_lines_never_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("ws://{}/", listener.local_addr().unwrap());
        let serving = thread::spawn(move || {
            let mut socket = accept(listener.accept().unwrap().0);
            for _ in 0..1000 {
                assert_eq!(socket.recv().unwrap().unwrap().as_text(), Some("y"));
            }
            socket.close(CloseCode::NORMAL, "").unwrap();
        });
        // Until the client is gone.
        let output = run_typing("client", &[&uri], |input| while input.write_all(b"y\n").is_ok() {});
        serving.join().unwrap();
        says(&output, "close:1000\n", 0);
    }

    /// What it says if it cannot connect: a word on standard output, a sentence on standard error.
    fn fails(output: &Output, word: &str, sentence: &str) {
        says(output, &format!("error:{word}\n"), 1);
        assert_eq!(err(output).trim_end(), sentence);
    }

    /// Reads a head, and answers this.
    fn answering(answer: &'static str) -> impl FnOnce(TcpStream) {
        move |mut stream| {
            let mut head = vec![];
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            let _ = stream.read_to_end(&mut head);
        }
    }

    #[test]
    fn says_where_a_redirect_leads() {
        let answer = "HTTP/1.1 302 Found\r\nLocation: wss://example.com/new\r\nContent-Length: 0\r\n\r\n";
        let output = talk(answering(answer), &[], &[], b"");
        fails(&output, "refused", "server refused with status 302; Location: wss://example.com/new");
    }

    #[test]
    fn says_what_a_proxy_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let answer = "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n";
        let serving = thread::spawn(move || answering(answer)(listener.accept().unwrap().0));
        let output = run("client", &["--proxy", &proxy, "ws://example.com/"]);
        serving.join().unwrap();
        fails(&output, "proxy", "proxy refused with status 407; Proxy-Authenticate: Basic realm=\"x\"");
    }

    /// Nothing is connected then: nobody listens there.
    #[test]
    fn says_what_is_wrong_with_a_file_of_certificates() {
        for url in ["wss://127.0.0.1:1/", "ws://127.0.0.1:1/"] {
            let output = run("client", &["--ca", "no/such/file.pem", url]);
            says(&output, "error:ca\n", 1);
            assert!(err(&output).starts_with("no/such/file.pem: "), "{}", err(&output));
            let empty = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
            let output = run("client", &["--ca", empty, url]);
            fails(&output, "ca", &format!("{empty}: there is no certificate in it"));
        }
    }

    #[test]
    fn ends_when_the_server_breaks_the_protocol() {
        let serve = |stream| {
            drop(accept(TcpStream::try_clone(&stream).unwrap()));
            let mut stream = stream;
            // §5.1: a server must not mask.
            stream.write_all(&[0x81, 0x80, 1, 2, 3, 4]).unwrap();
            stream.read_to_end(&mut vec![]).unwrap();
        };
        let output = talk(serve, &[], &[], b"");
        says(&output, "error:protocol\n", 1);
        assert_eq!(err(&output).lines().count(), 1, "{}", err(&output));
    }

    #[test]
    fn ends_when_it_is_refused() {
        let serve = |mut stream: TcpStream| {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
            stream.read_to_end(&mut vec![]).unwrap();
        };
        let output = talk(serve, &[], &[], b"");
        says(&output, "error:refused\n", 1);
        assert_eq!(err(&output).lines().count(), 1, "{}", err(&output));
    }

    #[test]
    fn options_go_before_and_behind_the_url() {
        let serve = |mut stream: TcpStream| {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            assert!(head.contains("\r\nsec-websocket-protocol: a, b\r\n"), "{head}");
            assert!(head.contains("\r\nx-colour: blue\r\n"), "{head}");
            assert!(!head.contains("permessage-deflate"), "{head}");
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
            stream.read_to_end(&mut vec![]).unwrap();
        };
        let behind = ["--header", "X-Colour: blue", "--subprotocol=b", "--deflate", "off"];
        let before = ["--linger", "0.5", "--subprotocol", "a"];
        says(&talk(serve, &before, &behind, b""), "error:refused\n", 1);
    }
}
