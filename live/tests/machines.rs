//! The example `machines` on two machines with one Redis: what is said at one is heard at the other, and a client comes
//! back at whichever of them is left.

use example::{build, start};
use openline::net::{Stream, WebSocket, connect};

#[path = "common/example.rs"]
mod example;
#[allow(dead_code, reason = "written for tests of the engine alone")]
#[path = "redis/server.rs"]
mod server;

fn hear(socket: &mut WebSocket<Stream>) -> String {
    socket.recv().unwrap().expect("a message").as_text().unwrap().to_owned()
}

/// Says a text, and gives its position.
fn say(socket: &mut WebSocket<Stream>, text: &str) -> String {
    socket.send(format!("say room - - {text}")).unwrap();
    let answer = hear(socket);
    answer.strip_prefix("said ").unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn two_machines_are_one_site() {
    let Some(redis) = server::Server::start(&[]).await else { return };
    let program = build("machines", "pump,redis");
    let (london, london_url) = start(program.clone(), &["127.0.0.1:0", &redis.url()]);
    let (_tokyo, tokyo_url) = start(program, &["127.0.0.1:0", &redis.url()]);
    let (mut speaker, mut reader) = (connect(&tokyo_url).unwrap(), connect(&london_url).unwrap());
    reader.send("join room now leave").unwrap();
    assert!(hear(&mut reader).starts_with("joined room "));
    let first = say(&mut speaker, "rain");
    assert_eq!(hear(&mut reader), format!("message room {first} rain"));
    // Its machine dies, and so the client goes to the other one.
    drop((london, reader));
    let (second, third) = (say(&mut speaker, "snow"), say(&mut speaker, "sun"));
    let mut reader = connect(&tokyo_url).unwrap();
    reader.send(format!("join room {first} leave")).unwrap();
    assert_eq!(hear(&mut reader), format!("joined room {third} true"), "nothing is gone");
    assert_eq!(hear(&mut reader), format!("message room {second} snow"));
    assert_eq!(hear(&mut reader), format!("message room {third} sun"));
}
