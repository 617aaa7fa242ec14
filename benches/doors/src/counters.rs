//! How many TCP segments a network namespace has received and sent (RFC 4022, `tcpInSegs` and `tcpOutSegs`): acknowledgements
//! count, and so does each part of what the kernel sends in one piece.

use std::fs;

use crate::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segments {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) resent: u64,
}

impl Segments {
    /// Of the namespace that this process is in.
    pub(crate) fn now() -> Result<Segments> {
        Segments::parse(&fs::read_to_string("/proc/self/net/snmp")?)
            .ok_or_else(|| "no Tcp in /proc/self/net/snmp".into())
    }

    pub(crate) fn since(self, before: Segments) -> Segments {
        Segments {
            received: self.received - before.received,
            sent: self.sent - before.sent,
            resent: self.resent - before.resent,
        }
    }

    /// Two lines, of names and of values.
    fn parse(text: &str) -> Option<Segments> {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let (names, values) = (lines.next()?, lines.next()?);
        let value = |wanted| {
            let mut both = names.split(' ').zip(values.split(' '));
            both.find(|both| both.0 == wanted)?.1.parse().ok()
        };
        Some(Segments { received: value("InSegs")?, sent: value("OutSegs")?, resent: value("RetransSegs")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table() {
        let text = "Ip: A B\nIp: 1 2\nTcp: RtoMin MaxConn InSegs OutSegs RetransSegs\nTcp: 200 -1 31 42 5\n";
        let before = Segments::parse(text).unwrap();
        assert_eq!(before, Segments { received: 31, sent: 42, resent: 5 });
        let now = Segments { received: 33, sent: 45, resent: 5 };
        assert_eq!(now.since(before), Segments { received: 2, sent: 3, resent: 0 });
        assert_eq!(Segments::parse("Tcp: InSegs\nTcp: 1\n"), None);
        assert!(Segments::now().is_ok());
    }
}
