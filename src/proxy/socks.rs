//! RFC 1928 and RFC 1929: SOCKS5, as a client that asks for a TCP connection.
//!
//! ```text
//! Method ──no authentication──────────────────────► Reply ──► the tunnel is open
//!    └─────name and password──► Authentication ──────┘
//! ```
//!
//! Every answer has a length that is known after a few bytes, so no answer is longer than 262 bytes.

#![expect(clippy::arithmetic_side_effects, reason = "lengths of one byte and a constant")]

use alloc::vec::Vec;
use core::net::IpAddr;
use core::{fmt, mem};

use crate::error::ProxyError;
use crate::handshake::{Uri, percent_decode};

/// A client that waits for an answer of its proxy.
pub(super) struct Socks {
    /// What it waits for.
    awaited: Awaited,
    /// The part of that which has come.
    answer: Vec<u8>,
    /// The message of RFC 1929 with name and password, until it is sent.
    authentication: Vec<u8>,
    /// The request of RFC 1928 §4, until it is sent. `None` if the server's name is too long for one.
    request: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
enum Awaited {
    /// RFC 1928 §3: the choice of a way of authentication.
    Method,
    /// RFC 1929 §2: whether name and password are accepted.
    Authentication,
    /// RFC 1928 §6: whether the proxy has connected.
    Reply,
}

impl Socks {
    /// A client that has appended its greeting to `out`.
    pub(super) fn new(userinfo: Option<&str>, uri: &Uri, address: Option<IpAddr>, out: &mut Vec<u8>) -> Socks {
        // RFC 1928 §3: the version, how many methods, the methods.
        out.extend_from_slice(if userinfo.is_some() {
            &[VERSION, 2, NO_AUTH, PASSWORD]
        } else {
            &[VERSION, 1, NO_AUTH]
        });
        let authentication = userinfo.and_then(authentication).unwrap_or_default();
        let address = address.or_else(|| uri.host().parse().ok());
        let request = request(uri, address);
        Socks { awaited: Awaited::Method, answer: Vec::new(), authentication, request }
    }

    /// As [`Tunnel::receive`](super::Tunnel::receive). What is to be sent is appended to `out`.
    pub(super) fn receive(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, ProxyError> {
        loop {
            let needed = self.needed()?;
            if self.answer.len() < needed {
                let (taken, rest) = input.split_at(input.len().min(needed - self.answer.len()));
                self.answer.extend_from_slice(taken);
                *input = rest;
                if taken.is_empty() {
                    return Ok(false);
                }
                continue;
            }
            let answer = mem::take(&mut self.answer);
            let expected = if matches!(self.awaited, Awaited::Authentication) { 1 } else { VERSION };
            let code = match answer[..] {
                [version, code, ..] if version == expected => code,
                _ => return Err(ProxyError::Malformed),
            };
            self.awaited = match (self.awaited, code) {
                (Awaited::Method, PASSWORD) if !self.authentication.is_empty() => {
                    out.append(&mut self.authentication);
                    Awaited::Authentication
                }
                (Awaited::Method, NO_AUTH) | (Awaited::Authentication, 0) => {
                    out.append(self.request.as_mut().ok_or(ProxyError::NameTooLong)?);
                    Awaited::Reply
                }
                (Awaited::Method, _) => return Err(ProxyError::NoMethod),
                (Awaited::Authentication, _) => return Err(ProxyError::NotAuthorized),
                (Awaited::Reply, 0) => return Ok(true),
                (Awaited::Reply, reply) => return Err(ProxyError::Failed { reply }),
            };
        }
    }

    /// How long the awaited answer is, as far as can be told by now.
    fn needed(&self) -> Result<usize, ProxyError> {
        Ok(match (self.awaited, &self.answer[..]) {
            (Awaited::Method | Awaited::Authentication, _) => 2,
            // RFC 1928 §6: version, reply, a reserved byte, the address and the port. Many proxies send nothing
            // behind the reply if they failed.
            (Awaited::Reply, [_, reply, ..]) if *reply != 0 => 2,
            (Awaited::Reply, [_, _, _, 1, ..]) => 4 + 4 + 2,
            (Awaited::Reply, [_, _, _, 4, ..]) => 4 + 16 + 2,
            (Awaited::Reply, [_, _, _, 3, len, ..]) => 4 + 1 + usize::from(*len) + 2,
            (Awaited::Reply, [_, _, _, 3]) => 5,
            (Awaited::Reply, [_, _, _, _, ..]) => return Err(ProxyError::Malformed),
            (Awaited::Reply, [_, _, ..]) => 4,
            (Awaited::Reply, _) => 2,
        })
    }
}

/// `Debug` shows no password.
impl fmt::Debug for Socks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socks").field("awaited", &self.awaited).finish_non_exhaustive()
    }
}

/// Whether this userinfo can be said in RFC 1929.
pub(super) fn fits(userinfo: &str) -> bool {
    authentication(userinfo).is_some()
}

/// RFC 1929 §2: the version, the name and the password, each behind its length, which is 1 to 255. A password may be
/// empty: other programs send such ones.
fn authentication(userinfo: &str) -> Option<Vec<u8>> {
    let (name, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let (name, password) = (percent_decode(name), percent_decode(password));
    let mut out = Vec::from([1, u8::try_from(name.len()).ok().filter(|len| *len > 0)?]);
    out.extend_from_slice(&name);
    out.push(u8::try_from(password.len()).ok()?);
    out.extend_from_slice(&password);
    Some(out)
}

/// RFC 1928 §4: version, command CONNECT, a reserved byte, the address and the port.
fn request(uri: &Uri, address: Option<IpAddr>) -> Option<Vec<u8>> {
    let mut out = Vec::from([VERSION, 1, 0]);
    match address {
        Some(IpAddr::V4(address)) => {
            out.push(1);
            out.extend_from_slice(&address.octets());
        }
        Some(IpAddr::V6(address)) => {
            out.push(4);
            out.extend_from_slice(&address.octets());
        }
        None => {
            out.extend_from_slice(&[3, u8::try_from(uri.host().len()).ok()?]);
            out.extend_from_slice(uri.host().as_bytes());
        }
    }
    out.extend_from_slice(&uri.port().to_be_bytes());
    Some(out)
}

const VERSION: u8 = 5;

/// RFC 1928 §3: no authentication.
const NO_AUTH: u8 = 0;

/// RFC 1928 §3: authentication by name and password.
const PASSWORD: u8 = 2;
