//! A message's number and time, in what a server says. It looks for them as bytes: a parser of JSON would cost more than all
//! else that a client does.

use memchr::memmem;

use crate::Result;

/// The n-th message, counted from 1, and when it was sent: nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) n: u64,
    pub(crate) at: u64,
}

/// The JSON that is published: about as long as a line of a chat.
pub(crate) fn to_publish(heard: Heard) -> String {
    format!("{{\"n\":{},\"at\":{},\"text\":\"{TEXT}\"}}", heard.n, heard.at)
}

/// Calls `heard` for each message in this text, in its order: one on `/live` and `/events`, any number on `/poll`.
pub(crate) fn each(mut text: &str, mut heard: impl FnMut(Heard) -> Result<()>) -> Result<u64> {
    let mut count = 0;
    while let Some(found) = memmem::find(text.as_bytes(), BEGIN) {
        text = &text[found + BEGIN.len()..];
        let (n, rest) = number(text).ok_or("a message without its number")?;
        let (at, rest) = rest.strip_prefix(",\"at\":").and_then(number).ok_or("a message without its time")?;
        heard(Heard { n, at })?;
        count += 1;
        text = rest;
    }
    Ok(count)
}

/// The position that an answer of `/poll` ends with, in the form `EPOCH:OFFSET`.
pub(crate) fn position(answer: &str) -> Result<String> {
    let parse = || {
        let (epoch, rest) = answer.strip_prefix("{\"epoch\":\"")?.split_once('"')?;
        let (offset, _) = number(rest.strip_prefix(",\"offset\":")?)?;
        Some(format!("{epoch}:{offset}"))
    };
    parse().ok_or_else(|| format!("no answer of /poll: {answer:.80?}").into())
}

fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

const BEGIN: &[u8] = b"\"message\":{\"n\":";
const TEXT: &str = "the quick brown fox jumps over the lazy dog, again and again";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_one_and_many() {
        let all = |text: &str| {
            let mut all = Vec::new();
            let count = each(text, |heard| {
                all.push(heard);
                Ok(())
            });
            assert_eq!(count?, all.len() as u64);
            Result::Ok(all)
        };
        let one = |heard| format!("{{\"topic\":\"t\",\"offset\":9,\"message\":{}}}", to_publish(heard));
        let (first, second) = (Heard { n: 1, at: 5 }, Heard { n: 12, at: u64::MAX });
        assert_eq!(all("{\"hello\":\"x\"}").unwrap(), []);
        assert_eq!(all(&one(first)).unwrap(), [first]);
        assert_eq!(all(&format!("[{},{}]", one(first), one(second))).unwrap(), [first, second]);
        assert!(all("\"message\":{\"n\":x").is_err());
        assert!(all("\"message\":{\"n\":1,\"x\":2").is_err());
        assert!(all("\"message\":{\"n\":99999999999999999999,\"at\":2").is_err());
    }

    #[test]
    fn positions() {
        assert_eq!(position("{\"epoch\":\"ab\",\"offset\":12,\"whole\":true,\"messages\":[]}").unwrap(), "ab:12");
        assert!(position("{}").is_err());
        assert!(position("{\"epoch\":\"ab\",\"offset\":x}").is_err());
    }
}
