//! The opening handshake of one end as a dialogue: bytes in, a verdict, a decision, bytes out. It is
//! a connection behind it, and all goes through its public methods.

#![allow(dead_code, reason = "every test binary uses a part of this")]

use std::sync::Arc;

use openline::{
    Accept, Cause, Client, ClientRequest, Connection, Event, Fault, HandshakeConfig, HandshakeError, Request, Response,
    Role, Server, State, Time,
};

/// What the nonces and masking keys of all clients here are drawn from.
pub(crate) const SEED: [u8; 32] = [7; 32];

/// A connection from its first byte on, at the beginning of time.
#[derive(Debug)]
pub(crate) struct Opening(pub(crate) Connection);

impl Opening {
    pub(crate) fn server(config: impl Into<Arc<HandshakeConfig>>) -> Opening {
        Opening(Connection::server(&Server::default().handshake(config), Time::ZERO))
    }

    pub(crate) fn client(request: ClientRequest, config: impl Into<Arc<HandshakeConfig>>) -> Opening {
        Opening(Connection::client(&Client::new(request).handshake(config), SEED, Time::ZERO))
    }

    /// Gives it bytes, which it takes off the front of `input`. True: a request is there to be decided
    /// on, or the server has agreed. What is left of `input` then comes behind the handshake.
    pub(crate) fn give(&mut self, input: &mut &[u8]) -> Result<bool, HandshakeError> {
        let mut bytes = input.to_vec();
        let mut rest = &mut bytes[..];
        let outcome = self.0.receive(&mut rest, Time::ZERO).map(|event| event.map(Event::into_owned));
        *input = &input[input.len() - rest.len()..];
        self.verdict(outcome)
    }

    /// As [`give`](Self::give), by the method for bytes that may not be changed.
    pub(crate) fn give_copied(&mut self, input: &mut &[u8]) -> Result<bool, HandshakeError> {
        let outcome = self.0.receive_copied(input, Time::ZERO);
        self.verdict(outcome)
    }

    fn verdict(&self, outcome: Result<Option<Event<'static>>, Fault>) -> Result<bool, HandshakeError> {
        let state = (self.0.role(), self.0.state(), self.0.request().is_some());
        match outcome {
            Ok(None) => Ok(false),
            Ok(Some(Event::Request)) => {
                assert_eq!(state, (Role::Server, State::Opening, true));
                Ok(true)
            }
            Ok(Some(Event::Opened)) => {
                assert_eq!(state, (Role::Client, State::Open, false));
                Ok(true)
            }
            Ok(Some(other)) => panic!("no part of an opening handshake: {other:?}"),
            Err(Fault::Opening(error)) => {
                assert!(matches!(state, (_, State::Closing | State::Closed, false)), "{state:?}");
                Err(error)
            }
            Err(other) => panic!("no fault of an opening handshake: {other:?}"),
        }
    }

    pub(crate) fn request(&self) -> &Request {
        self.0.request().expect("a request waits")
    }

    pub(crate) fn accept(&mut self, answer: Accept) -> Result<(), HandshakeError> {
        self.0.accept(answer, Time::ZERO)
    }

    pub(crate) fn reject(&mut self, response: Response) -> Result<(), HandshakeError> {
        self.0.reject(response, Time::ZERO)
    }

    pub(crate) fn response(&self) -> Option<&Response> {
        self.0.response()
    }

    /// All that waits to be sent.
    pub(crate) fn sent(&self) -> Vec<u8> {
        self.0.transmits().flatten().copied().collect()
    }

    pub(crate) fn said(&self) -> String {
        String::from_utf8(self.sent()).unwrap()
    }

    /// The transport takes all that waits.
    pub(crate) fn take(&mut self, now: Time) -> Vec<u8> {
        let sent = self.sent();
        self.0.handle_transmitted(sent.len(), now);
        sent
    }

    pub(crate) fn until(&self) -> Option<Time> {
        self.0.wants().and_then(|wants| wants.until)
    }

    /// Why it has failed, once it is closed.
    pub(crate) fn failure(&self) -> Option<HandshakeError> {
        match self.0.closed()?.cause {
            Cause::Opening(error) => Some(error),
            other => panic!("it did not end in the opening handshake: {other:?}"),
        }
    }
}

/// §1.2, §4.1: the fields of a request in order, without Host.
pub(crate) const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// The bytes of a request in order, with these fields besides.
pub(crate) fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n")
}

/// The Sec-WebSocket-Accept that the clients here wait for, as a server of ours makes it.
pub(crate) fn accept_key() -> String {
    let client = Opening::client(ClientRequest::new("ws://example.com/").unwrap(), HandshakeConfig::default());
    let mut server = Opening::server(HandshakeConfig::default());
    assert_eq!(server.give(&mut &client.sent()[..]), Ok(true));
    server.accept(Accept::default()).unwrap();
    let answer = server.said();
    answer.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Accept: ")).unwrap().to_owned()
}
