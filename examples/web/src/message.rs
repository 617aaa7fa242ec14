//! One message, in its two forms: the payload that the hub keeps, and the JSON text that clients get. The text is made once
//! for each message and node, whatever the number of those who get it.
//!
//! ```text
//! payload: {"by":SOCKETID,"state":…} newline MESSAGE
//! text:    {"topic":T,"epoch":E,"offset":N,"socketid":SOCKETID,"message":MESSAGE}
//! ```
//!
//! The first line of the payload has what clients do not see: after a bid, how the lot stands.

use std::sync::Arc;

use bytes::Bytes;
use openline::Prepared;
use openline_live::Position;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What a subscriber gets. A clone shares it.
#[derive(Clone)]
pub struct Item(Arc<Inner>);

struct Inner {
    at: Position,
    text: Prepared,
    payload: Bytes,
}

/// The first line of a payload.
#[derive(Serialize, Deserialize)]
pub struct Head<'a> {
    /// The socket that has said it.
    #[serde(borrow)]
    pub by: std::borrow::Cow<'a, str>,
    /// How a lot stands after it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub state: Option<&'a RawValue>,
}

impl Item {
    /// The item of a payload. A payload that no node of this program has made has an empty `socketid` and the message null.
    #[must_use]
    pub fn new(topic: &str, at: Position, payload: &Bytes) -> Item {
        let (by, message) = split(payload).map_or_else(Default::default, |(head, message)| (head.by, message));
        let message = if message.is_empty() { "null" } else { message };
        let mut text = String::with_capacity(message.len() + topic.len() + by.len() + 100);
        let Position { epoch, offset } = at;
        text.push_str("{\"topic\":");
        text.push_str(&quote(topic));
        text.push_str(&format!(",\"epoch\":\"{epoch}\",\"offset\":{offset},\"socketid\":"));
        text.push_str(&quote(&by));
        text.push_str(",\"message\":");
        text.push_str(message);
        text.push('}');
        Item(Arc::new(Inner { at, text: Prepared::new(text.as_str()), payload: payload.clone() }))
    }

    /// Its place in its topic.
    #[must_use]
    pub fn at(&self) -> Position {
        self.0.at
    }

    /// What `/live` sends.
    #[must_use]
    pub fn prepared(&self) -> &Prepared {
        &self.0.text
    }

    /// The same as text. It has no line breaks.
    #[must_use]
    pub fn text(&self) -> &str {
        str::from_utf8(self.0.text.payload()).unwrap_or("null")
    }

    /// What is on the first line of its payload.
    #[must_use]
    pub fn head(&self) -> Option<Head<'_>> {
        split(&self.0.payload).map(|(head, _)| head)
    }
}

/// The payload of a message. `message` is JSON without line breaks, such as [`compact`] makes.
#[must_use]
pub fn payload(head: &Head<'_>, message: &str) -> Bytes {
    let mut payload = serde_json::to_string(head).unwrap_or_default();
    payload.push('\n');
    payload.push_str(message);
    payload.into()
}

fn split(payload: &[u8]) -> Option<(Head<'_>, &str)> {
    let (head, message) = str::from_utf8(payload).ok()?.split_once('\n')?;
    Some((serde_json::from_str(head).ok()?, message))
}

/// The same JSON without the white space between its tokens.
#[must_use]
pub fn compact(json: &RawValue) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let keep = |c: &char| {
        (quoted, escaped) = match (quoted, *c) {
            (true, '"') if !escaped => (false, false),
            (true, '\\') => (true, !escaped),
            (true, _) => (true, false),
            (false, c) => (c == '"', false),
        };
        quoted || !matches!(c, ' ' | '\t' | '\r' | '\n')
    };
    json.get().chars().filter(keep).collect()
}

/// A string as JSON.
#[must_use]
pub fn quote(text: &str) -> String {
    // A string is always JSON.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use openline_live::Epoch;

    #[test]
    fn compact_json_says_the_same() {
        for (json, expected) in [
            ("null", "null"),
            (" [ 1 ,\n 2 ] ", "[1,2]"),
            (r#"{ "a b" : "c \" d" , "e\\" : [ ] }"#, r#"{"a b":"c \" d","e\\":[]}"#),
            ("\"\\\\\" ", "\"\\\\\""),
            ("\" \\n é\t\"", "\" \\n é\t\""),
        ] {
            if let Ok(json) = serde_json::from_str::<&RawValue>(json) {
                assert_eq!(compact(json), expected);
                assert_eq!(
                    serde_json::from_str::<serde_json::Value>(json.get()).ok(),
                    serde_json::from_str::<serde_json::Value>(expected).ok()
                );
            } else {
                assert!(json.contains('\t'), "{json}");
            }
        }
    }

    #[test]
    fn clients_do_not_see_the_first_line() {
        let head = Head { by: "a\"b".into(), state: None };
        let payload = payload(&head, r#"{"a":1}"#);
        let at = Position { epoch: Epoch::from_bytes([1; 16]), offset: 7 };
        let item = Item::new("to\"pic", at, &payload);
        let text: serde_json::Value = serde_json::from_str(item.text()).unwrap();
        let expected = serde_json::json!({
            "topic": "to\"pic", "epoch": "01010101010101010101010101010101", "offset": 7, "socketid": "a\"b",
            "message": {"a": 1},
        });
        assert_eq!(text, expected);
    }

    #[test]
    fn a_foreign_payload_is_a_message_all_the_same() {
        let at = Position { epoch: Epoch::from_bytes([1; 16]), offset: 7 };
        for payload in [&b""[..], b"\n", b"{}", b"\xff\n1", b"{\"by\":1}\n\"\n"] {
            let text: serde_json::Value =
                serde_json::from_str(Item::new("t", at, &Bytes::from_static(payload)).text()).unwrap();
            assert_eq!(text["message"], serde_json::Value::Null, "{payload:?}");
        }
    }
}
