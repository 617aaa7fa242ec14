//! The opening handshake, for crates that have none on a bare TcpStream.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Deflate;
use crate::Result;

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Answers the request, and agrees to permessage-deflate if that is wanted. Our client offers what is wanted, and sends
/// nothing behind the request.
pub async fn upgrade(io: &mut TcpStream, deflate: Option<Deflate>) -> Result<()> {
    let mut request = Vec::with_capacity(1024);
    while !request.ends_with(b"\r\n\r\n") {
        if io.read_buf(&mut request).await? == 0 {
            return Err("no request".into());
        }
    }
    let request = String::from_utf8(request)?;
    let key = field(&request, "sec-websocket-key").ok_or("no key")?;
    let accept = STANDARD.encode(Sha1::digest(format!("{key}{GUID}")));
    let extension = deflate.map(|deflate| format!("Sec-WebSocket-Extensions: {}\r\n", agreed(deflate)));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{}\r\n",
        extension.unwrap_or_default()
    );
    Ok(io.write_all(answer.as_bytes()).await?)
}

/// What the answer says, which is what our client offers.
pub fn agreed(deflate: Deflate) -> &'static str {
    if deflate.takeover {
        "permessage-deflate"
    } else {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    }
}

fn field<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    let mut fields = request.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
