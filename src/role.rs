//! The two ends of a connection.

/// Which end of the connection this is.
///
/// The two ends differ in these rules only: the client sends the opening request and the server answers it (RFC 6455
/// §4); the client masks every frame it sends, and the server none (§5.1); the server closes the TCP connection
/// first (§7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that sent the opening request.
    Client,
    /// The end that answered it.
    Server,
}

impl Role {
    /// The role of the other end.
    #[must_use]
    pub const fn peer(self) -> Role {
        match self {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        }
    }

    /// Whether frames *sent* in this role are masked (§5.1).
    #[must_use]
    pub const fn masks(self) -> bool {
        matches!(self, Role::Client)
    }
}
