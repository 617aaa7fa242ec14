//! The publisher goes by the clock and waits for no answer; an answer that is not 200, or that is missing, is a failure.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;

#[test]
fn it_does_not_wait_for_answers() {
    let (output, bodies) = run(|stream, bodies| {
        // Whoever waits for the first answer never sends the second message.
        while bodies.len() < 5 {
            bodies.push(request(stream));
        }
        for _ in 0..5 {
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        }
    });
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("{\"published\":5,"), "{output:?}");
    let time = |body: &str| body.split("\"at\":").nth(1).unwrap().split(',').next().unwrap().parse::<u64>().unwrap();
    for (body, n) in bodies.iter().zip(1..) {
        assert!(body.starts_with(&format!("{{\"n\":{n},\"at\":")), "{body}");
    }
    assert!(bodies.windows(2).all(|pair| time(&pair[0]) <= time(&pair[1])), "{bodies:?}");
}

#[test]
fn a_refusal_or_a_missing_answer_is_a_failure() {
    for (answer, told) in [
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", "not published: 503"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "has answered 1 of 5"),
    ] {
        let (output, _) = run(|stream, bodies| {
            while bodies.len() < 5 {
                bodies.push(request(stream));
            }
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        });
        assert!(!output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(told), "{output:?}");
    }
}

/// Five messages to a server that does this with its one connection, and the bodies that it has read.
fn run(serve: impl FnOnce(&mut BufReader<TcpStream>, &mut Vec<String>) + Send) -> (Output, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap().to_string();
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, mut bodies) = (BufReader::new(listener.accept().unwrap().0), Vec::new());
            serve(&mut stream, &mut bodies);
            bodies
        });
        let output = Command::new(env!("CARGO_BIN_EXE_doors"))
            .args(["publish", "--to", &to, "--count", "5", "--seconds", "0.05", "--seed", "1", "--offset", "0"])
            .output()
            .unwrap();
        (output, server.join().unwrap())
    })
}

/// The body of the next request.
fn request(stream: &mut BufReader<TcpStream>) -> String {
    let mut length = 0;
    loop {
        let mut line = String::new();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0, "no request");
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}
