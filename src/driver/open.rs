//! Opening handshakes as both adapters go through them: bytes come, until there is an
//! upgrade, and perhaps bytes behind it. What waits for bytes holds no buffer.

use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use super::Error;
use crate::entropy::Seed;
use crate::error::HandshakeError;
use crate::handshake::{ClientHandshake, ClientRequest, HandshakeConfig, ServerHandshake};
use crate::time::Time;
use crate::upgrade::Upgrade;

/// A client that waits for the answer to its request.
#[derive(Debug)]
pub(crate) struct Calling {
    pub(crate) machine: ClientHandshake,
}

impl Calling {
    pub(crate) fn new(request: &ClientRequest, config: &Arc<HandshakeConfig>, begun: Time) -> Result<Calling, Error> {
        let machine = ClientHandshake::new(request.clone(), Arc::clone(config), Seed::from_os()?, begun);
        Ok(Calling { machine })
    }

    /// These bytes have been read; none at the end. If that was all, there is an upgrade,
    /// and what came behind it.
    pub(crate) fn receive(&mut self, mut input: &[u8]) -> Result<Option<(Upgrade, Vec<u8>)>, Error> {
        if input.is_empty() {
            let ended = self.machine.handle_eof();
            return ended.map(|()| None).map_err(|error| self.failure(error));
        }
        match self.machine.receive(&mut input) {
            Ok(upgrade) => Ok(upgrade.map(|upgrade| (upgrade, input.to_vec()))),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// The deadline may have come.
    pub(crate) fn handle_timeout(&mut self, now: Time) -> Result<(), Error> {
        self.machine.handle_timeout(now).map_err(|error| self.failure(error))
    }

    /// The error, with the server's answer if it has one.
    fn failure(&mut self, error: HandshakeError) -> Error {
        match (error, self.machine.response()) {
            (HandshakeError::Refused { .. }, Some(response)) => Error::Refused(response.clone().into()),
            _ => error.into(),
        }
    }
}

/// A server that waits for a request, and then for the application's decision.
#[derive(Debug)]
pub(crate) struct Answering {
    pub(crate) machine: ServerHandshake,
    /// What came behind the request.
    pub(crate) leftover: Vec<u8>,
}

impl Answering {
    pub(crate) fn new(config: &Arc<HandshakeConfig>, begun: Time) -> Answering {
        let machine = ServerHandshake::new(Arc::clone(config), begun);
        Answering { machine, leftover: Vec::new() }
    }

    /// These bytes have been read; none at the end. Whether there is a request now. If it
    /// was refused, the answer waits.
    pub(crate) fn receive(&mut self, mut input: &[u8]) -> Result<bool, HandshakeError> {
        if input.is_empty() {
            return self.machine.handle_eof().map(|()| false);
        }
        let complete = self.machine.receive(&mut input)?.is_some();
        if complete {
            self.leftover = input.to_vec();
        }
        Ok(complete)
    }
}

/// What one read of a head can bring; most are shorter.
pub(crate) const HEAD_READ: usize = 2048;

/// How much more a client that was refused may say before it is cut off, in reads and
/// in time. Closing a socket with unread bytes in it would destroy what it has sent.
pub(crate) const LINGER_READS: usize = 64;
pub(crate) const LINGER: Duration = Duration::from_secs(2);
