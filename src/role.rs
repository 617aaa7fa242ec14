//! Which end of the line we are. Knows nothing else.

/// Which end of the connection this is.
///
/// The two ends differ in three rules only: a client masks every frame it
/// sends and a server none (RFC 6455 §5.1), and the server is the first to
/// close the TCP connection (§7.1.1).
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
