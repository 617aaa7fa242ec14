//! The result of an opening handshake. It is all that a connection knows of a handshake, so other code (hyper,
//! HTTP/2, a proxy) can make the handshake too.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::entropy::{Entropy, Seed};
use crate::role::Role;

/// What both ends agreed on during the opening handshake.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreement {
    /// The subprotocol in use (RFC 6455 §1.9), if one was chosen.
    pub subprotocol: Option<String>,
    /// The parameters of permessage-deflate (RFC 7692), if it was agreed on.
    #[cfg(feature = "deflate")]
    pub deflate: Option<Deflate>,
}

/// A subprotocol is at times used to carry a token, so only its length is shown.
impl fmt::Debug for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Agreement");
        match &self.subprotocol {
            Some(name) => shown.field("subprotocol", &format_args!("{} bytes", name.len())),
            None => shown.field("subprotocol", &None::<()>),
        };
        #[cfg(feature = "deflate")]
        shown.field("deflate", &self.deflate);
        shown.finish()
    }
}

/// A completed opening handshake: everything that a
/// [`Connection`](crate::Connection) has to know of it.
///
/// A connection that begins with the opening handshake makes its own, see
/// [`Connection::client`](crate::Connection::client) and
/// [`Connection::server`](crate::Connection::server). When other code has
/// parsed the HTTP (hyper, axum, an HTTP/2 stream), the rules of the handshake are still here:
/// [`Server::answer`](crate::Server::answer) judges the request as a value, and
/// [`PendingUpgrade::confirm`](crate::PendingUpgrade::confirm) the response. And when other code
/// has done the handshake altogether, make one by hand:
///
/// ```
/// use openline::{Agreement, Config, Connection, Time, Upgrade};
///
/// let mut agreement = Agreement::default();
/// agreement.subprotocol = Some("chat".into());
/// let connection = Connection::new(Upgrade::server(agreement), Config::default(), Time::ZERO);
/// assert_eq!(connection.agreement().subprotocol.as_deref(), Some("chat"));
/// ```
#[derive(Debug)]
pub struct Upgrade {
    pub(crate) agreement: Agreement,
    /// The source of the masking keys in a client; a server does not mask (§5.1). It is boxed, so that a server's
    /// connection does not need 300 bytes for it.
    pub(crate) entropy: Option<Box<Entropy>>,
}

impl Upgrade {
    /// The server's end of a handshake that other code has made.
    #[must_use]
    pub fn server(agreement: Agreement) -> Upgrade {
        Upgrade { agreement, entropy: None }
    }

    /// The client's end of a handshake that other code has made. [`Seed`] says where the seed must come from.
    #[must_use]
    pub fn client(agreement: Agreement, seed: impl Into<Seed>) -> Upgrade {
        Upgrade::client_with(agreement, Box::new(Entropy::new(seed.into())))
    }

    /// As [`client`](Self::client), going on with a generator already in use.
    pub(crate) fn client_with(agreement: Agreement, entropy: Box<Entropy>) -> Upgrade {
        Upgrade { agreement, entropy: Some(entropy) }
    }

    /// Which end this is.
    #[must_use]
    pub fn role(&self) -> Role {
        if self.entropy.is_some() { Role::Client } else { Role::Server }
    }

    /// What was agreed.
    #[must_use]
    pub fn agreement(&self) -> &Agreement {
        &self.agreement
    }
}
