//! A measurement that goes wrong ends without a figure: the client as a process, against servers that lie, on loopback.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;

/// What a server makes of the client's key, which is RFC 6455's example.
const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A scenario's client against a server whose every connection echoes, masks off, but for what `spoil` does to the
/// answer number `n` of a connection. `None`: it hangs up instead.
fn measured(scenario: &str, spoil: fn(usize, Vec<u8>) -> Option<Vec<u8>>) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    // It ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || serve(stream, spoil));
        }
    });
    let pid = std::process::id().to_string();
    Command::new(env!("CARGO_BIN_EXE_peers"))
        .args(["load", scenario, "--port", &port, "--pid", &pid, "--seconds", "0.2", "--warmup", "0.05"])
        .args(["--rate", "2000"])
        .output()
        .unwrap()
}

/// Ends when the client does.
fn serve(mut stream: TcpStream, spoil: fn(usize, Vec<u8>) -> Option<Vec<u8>>) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(byte(&mut stream)?);
    }
    stream.write_all(ANSWER.as_bytes()).ok()?;
    for number in 0.. {
        let (first, len) = (byte(&mut stream)?, usize::from(byte(&mut stream)? & 127));
        assert!(len < 126, "the scenarios here have short messages");
        let mut rest = vec![0; 4 + len];
        stream.read_exact(&mut rest).ok()?;
        let (key, payload) = rest.split_at(4);
        let plain = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        let answer = [first, len as u8].into_iter().chain(plain).collect();
        stream.write_all(&spoil(number, answer)?).ok()?;
    }
    None
}

fn byte(stream: &mut TcpStream) -> Option<u8> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    Some(byte[0])
}

fn refused(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "no figure");
    said
}

#[test]
fn an_honest_server_has_its_figures() {
    for (scenario, figures) in [("s1", &["cpu_us"][..]), ("s5", &["p50_us"]), ("l1", &["cpu_us", "p99_us", "max_us"])] {
        let output = measured(scenario, |_, answer| Some(answer));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let line = String::from_utf8(output.stdout).unwrap();
        for figure in figures {
            assert!(line.contains(&format!("\"{figure}\": ")), "{scenario}: {line}");
        }
    }
}

#[test]
fn a_wrong_byte_leaves_no_figure() {
    for scenario in ["s1", "l1"] {
        let output = measured(scenario, |number, mut answer| {
            *answer.last_mut().unwrap() ^= u8::from(number == 7);
            Some(answer)
        });
        assert!(refused(&output).contains("another than was sent"));
    }
}

#[test]
fn an_answer_too_many_leaves_no_figure() {
    // The same message again is another than was to come, and so is found either way.
    let output = measured("l1", |number, answer| Some(if number == 7 { answer.repeat(2) } else { answer }));
    refused(&output);
}

#[test]
fn a_server_that_hangs_up_leaves_no_figure() {
    for scenario in ["s1", "l1"] {
        let output = measured(scenario, |number, answer| (number < 7).then_some(answer));
        refused(&output);
    }
}
