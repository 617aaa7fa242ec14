//! RFC 7692 §7.1: negotiates permessage-deflate. It reads header fields and gives parameters; the version
//! of HTTP does not matter.

#![expect(clippy::arithmetic_side_effects, reason = "the patterns have the digits that fit")]

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::grammar::{Extension, Value, extensions};
use crate::deflate::{Deflate, DeflateContext};
use crate::error::HandshakeError;
use crate::http::Headers;

/// Negotiation, for an opening handshake that other code makes. A [`Connection`](crate::Connection) that
/// makes the handshake calls these by itself.
impl Deflate {
    /// The server's part (§5.1): accepts the first of the client's offers that can be accepted. Returns
    /// what is agreed, for [`Agreement::deflate`], and the value of the answer's Sec-WebSocket-Extensions;
    /// `None` if there is no such offer. It skips other extensions, and offers with parameters that are
    /// unknown, repeated or invalid.
    ///
    /// [`Agreement::deflate`]: crate::Agreement::deflate
    ///
    /// ```
    /// use openline::{Deflate, Headers};
    ///
    /// let mut request = Headers::new();
    /// request.append("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")?;
    /// let (agreed, answer) = Deflate::default().accept(&request).unwrap();
    /// assert_eq!(answer, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    /// assert_eq!(agreed, Deflate::default());
    /// # Ok::<(), openline::HandshakeError>(())
    /// ```
    #[must_use]
    pub fn accept(&self, request: &Headers) -> Option<(Deflate, String)> {
        // §9.1: if any element breaks the grammar, the whole list is invalid.
        if extensions(request).any(|offer| offer.is_err()) {
            return None;
        }
        let offer = extensions(request).flatten().filter(|offer| offer.name == NAME).find_map(Params::parse)?;
        let takeover = |ours: DeflateContext, theirs: bool| ours.takeover && !theirs;
        let mut agreed = *self;
        // §7.1.2.1: the answer's window is the offered one or a smaller one.
        agreed.send = DeflateContext {
            takeover: takeover(self.send, offer.server_no_context_takeover),
            window_bits: self.send.bits().min(offer.server_max_window_bits.unwrap_or(DeflateContext::MOST_BITS)),
        };
        // §7.1.2.2: only a client that offered this parameter can be told to use a smaller window.
        let limit = match offer.client_max_window_bits {
            None => DeflateContext::MOST_BITS,
            Some(hint) => self.receive.bits().min(hint.unwrap_or(DeflateContext::MOST_BITS)),
        };
        agreed.receive =
            DeflateContext { takeover: takeover(self.receive, offer.client_no_context_takeover), window_bits: limit };
        let answer = Params {
            server_no_context_takeover: !agreed.send.takeover,
            client_no_context_takeover: !agreed.receive.takeover,
            server_max_window_bits: match offer.server_max_window_bits {
                None if agreed.send.window_bits == DeflateContext::MOST_BITS => None,
                _ => Some(agreed.send.window_bits),
            },
            client_max_window_bits: (limit < DeflateContext::MOST_BITS).then_some(Some(limit)),
        };
        Some((agreed, answer.write()))
    }

    /// The client's part: the value of the request's Sec-WebSocket-Extensions that makes these offers, the
    /// best one first.
    ///
    /// ```
    /// use openline::Deflate;
    ///
    /// let mut takeover = Deflate::default();
    /// takeover.send.takeover = true;
    /// takeover.receive.takeover = true;
    /// assert_eq!(Deflate::offer(&[takeover]), "permessage-deflate; client_max_window_bits");
    /// ```
    #[must_use]
    pub fn offer(offers: &[Deflate]) -> String {
        let offers: Vec<_> = offers.iter().map(|offer| Params::offer(offer).write()).collect();
        offers.join(", ")
    }

    /// The client's part: what the answer to these offers agrees to. `None` if the answer has no
    /// extension.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::ExtensionNotOffered`] for another extension, or for any extension if there was no
    /// offer; [`HandshakeError::DeflateInvalid`] for parameters that accept none of the offers. After an
    /// error the client must fail the connection (§7.1).
    pub fn confirm(offers: &[Deflate], response: &Headers) -> Result<Option<Deflate>, HandshakeError> {
        if extensions(response).any(|chosen| chosen.is_err()) {
            return Err(HandshakeError::ExtensionNotOffered);
        }
        let mut chosen = extensions(response).flatten();
        let answer = match (chosen.next(), chosen.next(), chosen.next()) {
            (None, ..) => return Ok(None),
            (Some(answer), None, _) if answer.name == NAME && !offers.is_empty() => answer,
            // RFC 7692 §5: an answer names an extension at most once.
            (Some(first), Some(second), None) if first.name == NAME && second.name == NAME => {
                return Err(HandshakeError::DeflateInvalid);
            }
            _ => return Err(HandshakeError::ExtensionNotOffered),
        };
        let answer = Params::parse(answer).ok_or(HandshakeError::DeflateInvalid)?;
        let agreed = offers.iter().find_map(|offer| answer.accepts(offer));
        agreed.map(Some).ok_or(HandshakeError::DeflateInvalid)
    }
}

const NAME: &str = "permessage-deflate";

/// The parameters of one offer or answer. `Some(None)` is a maximum without a value.
#[derive(Debug, Default)]
struct Params {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<Option<u8>>,
}

impl Params {
    /// §7.1: `None` if a parameter is unknown, stands there twice, or has an invalid value.
    fn parse(extension: Extension<'_>) -> Option<Params> {
        let mut params = Params::default();
        for (name, value) in extension.params() {
            let repeated = match name {
                "server_no_context_takeover" if value.is_none() => {
                    core::mem::replace(&mut params.server_no_context_takeover, true)
                }
                "client_no_context_takeover" if value.is_none() => {
                    core::mem::replace(&mut params.client_no_context_takeover, true)
                }
                "server_max_window_bits" => params.server_max_window_bits.replace(bits(value?)?).is_some(),
                "client_max_window_bits" => {
                    let value = match value {
                        Some(value) => Some(bits(value)?),
                        None => None,
                    };
                    params.client_max_window_bits.replace(value).is_some()
                }
                _ => return None,
            };
            if repeated {
                return None;
            }
        }
        Some(params)
    }

    /// The parameters by which a client offers this.
    fn offer(wanted: &Deflate) -> Params {
        let limit = |context: DeflateContext| (context.bits() < DeflateContext::MOST_BITS).then_some(context.bits());
        Params {
            server_no_context_takeover: !wanted.receive.takeover,
            client_no_context_takeover: !wanted.send.takeover,
            server_max_window_bits: limit(wanted.receive),
            client_max_window_bits: Some(limit(wanted.send)),
        }
    }

    /// What is agreed if this answer accepts that offer.
    fn accepts(&self, offer: &Deflate) -> Option<Deflate> {
        // §7.1.1.1: an answer to an offer with this parameter must have it too.
        if !offer.receive.takeover && !self.server_no_context_takeover {
            return None;
        }
        // §7.1.2.1: the answer has "the same or smaller value" if the offer had one.
        let window = self.server_max_window_bits.unwrap_or(DeflateContext::MOST_BITS);
        if window > offer.receive.bits() {
            return None;
        }
        // §7.1.2.2: in an answer this parameter has a value.
        let limit = match self.client_max_window_bits {
            Some(limit) => limit?,
            None => DeflateContext::MOST_BITS,
        };
        Some(Deflate {
            send: DeflateContext {
                takeover: offer.send.takeover && !self.client_no_context_takeover,
                window_bits: offer.send.bits().min(limit),
            },
            receive: DeflateContext { takeover: !self.server_no_context_takeover, window_bits: window },
            ..*offer
        })
    }

    fn write(&self) -> String {
        let mut out = String::from(NAME);
        if self.server_no_context_takeover {
            out.push_str("; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            out.push_str("; client_no_context_takeover");
        }
        // Writing to a `String` cannot fail.
        if let Some(bits) = self.server_max_window_bits {
            let _ = write!(out, "; server_max_window_bits={bits}");
        }
        match self.client_max_window_bits {
            Some(Some(bits)) => {
                let _ = write!(out, "; client_max_window_bits={bits}");
            }
            Some(None) => out.push_str("; client_max_window_bits"),
            None => {}
        }
        out
    }
}

/// §7.1.2: "a decimal integer value without leading zeroes between 8 to 15".
fn bits(value: Value<'_>) -> Option<u8> {
    let mut digits = value.bytes();
    match (digits.next()?, digits.next(), digits.next()) {
        (digit @ (b'8' | b'9'), None, _) => Some(digit - b'0'),
        (b'1', Some(digit @ b'0'..=b'5'), None) => Some(10 + digit - b'0'),
        _ => None,
    }
}
