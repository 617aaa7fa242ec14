//! Two ends that talk in memory: the whole protocol, from the opening handshake to
//! the closing one, without a socket, a clock or a runtime. Whoever embeds the core
//! in networking code of their own replaces the two `carry` functions.

#[path = "support/args.rs"]
mod args;

use std::error::Error;

use openline::{
    Accept, ClientHandshake, ClientRequest, CloseCode, Config, Connection, Event, HandshakeConfig, ServerHandshake,
    Time,
};

const HELP: &str = "usage: sans_io [--help]

Lets a client and a server talk in memory, and prints what each of them is told.

options:
  -h, --help  print this
";

fn main() -> Result<(), Box<dyn Error>> {
    args::none(HELP);
    // Time and chance are inputs. Outside of examples the seed comes from the
    // operating system, and the time from a monotonic clock.
    let now = Time::ZERO;
    let seed = [7; 32];

    // The opening handshake: a request, an answer, and an `Upgrade` at each end.
    let request = ClientRequest::new("ws://example.com/chat")?.subprotocol("chat")?;
    let mut calling = ClientHandshake::new(request, HandshakeConfig::default(), seed, now);
    let mut handshake = HandshakeConfig::default();
    handshake.subprotocols = vec!["chat".into()];
    let mut answering = ServerHandshake::new(handshake, now);

    let wire = calling.poll_transmit().unwrap_or_default().to_vec();
    calling.handle_transmitted(wire.len());
    let request = answering.receive(&mut &wire[..])?.expect("the request came whole");
    println!("server: {} {} from {:?}", request.method, request.path(), request.host());
    let mut server = Connection::new(answering.accept(Accept::default())?, Config::default(), now);

    let wire = answering.poll_transmit().unwrap_or_default().to_vec();
    answering.handle_transmitted(wire.len());
    let upgrade = calling.receive(&mut &wire[..])?.expect("the answer came whole");
    println!("client: agreed on {:?}", upgrade.agreement().subprotocol);
    let mut client = Connection::new(upgrade, Config::default(), now);

    // Either side may speak first, and at any time.
    client.send("Hello")?;
    client.send(&[1, 2, 3])?;
    server.ping(b"are you there?", now)?;
    client.close(CloseCode::NORMAL, "that was all", now)?;
    while carry("server", &mut client, &mut server, now)? | carry("client", &mut server, &mut client, now)? {}

    // The server goes first; then the client has nothing to wait for.
    assert!(server.poll_shutdown());
    client.handle_eof(now);
    server.handle_eof(now);
    println!("client: {:?}", client.closed());
    println!("server: {:?}", server.closed());
    Ok(())
}

/// Carries what one end has to say to the other, which echoes messages. False: it
/// had nothing to say.
fn carry(name: &str, from: &mut Connection, to: &mut Connection, now: Time) -> Result<bool, Box<dyn Error>> {
    let mut wire: Vec<u8> = from.transmits().flatten().copied().collect();
    from.handle_transmitted(wire.len(), now);

    let mut input = &mut wire[..];
    let any = !input.is_empty();
    while let Some(event) = to.receive(&mut input, now)? {
        println!("{name}: {event:?}");
        // The event borrows from `wire`, so the connection is free to answer.
        if let (Event::Message(message), true) = (event, name == "server" && to.has_room()) {
            // Refused once the client has said goodbye, which is as it should be.
            let _ = to.send(message);
        }
    }
    Ok(any)
}
