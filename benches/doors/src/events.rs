//! Reads server-sent events (WHATWG HTML §9.2.6) from bytes that come in any pieces. The server under test ends its lines
//! with LF; a CR is refused.

use memchr::{memchr, memmem};

use crate::Result;

/// One event, or a comment, which has neither id nor data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) kind: Option<&'a str>,
    pub(crate) data: Option<&'a str>,
}

#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The beginning of an event whose end has not come.
    unfinished: Vec<u8>,
}

impl Reader {
    /// Calls `heard` for each event that ends in these bytes.
    pub(crate) fn read(&mut self, bytes: &[u8], mut heard: impl FnMut(&Event<'_>) -> Result<()>) -> Result<()> {
        if memchr(b'\r', bytes).is_some() {
            return Err("a CR in the events".into());
        }
        // The empty line may have begun in an earlier piece.
        let mut look = self.unfinished.len().saturating_sub(1);
        self.unfinished.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(found) = memmem::find(&self.unfinished[look..], b"\n\n") {
            let end = look + found;
            heard(&parse(str::from_utf8(&self.unfinished[from..end])?)?)?;
            from = end + 2;
            look = from;
        }
        self.unfinished.drain(..from);
        if self.unfinished.is_empty() {
            // Thousands of clients wait: none keeps what it does not need.
            self.unfinished = Vec::new();
        }
        Ok(())
    }
}

fn parse(block: &str) -> Result<Event<'_>> {
    let mut event = Event::default();
    for line in block.split('\n') {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no field of an event: {line:?}"))?;
        let value = value.strip_prefix(' ').unwrap_or(value);
        let field = match name {
            "" => continue,
            "id" => &mut event.id,
            "event" => &mut event.kind,
            "data" => &mut event.data,
            _ => return Err(format!("an unknown field of an event: {name:?}").into()),
        };
        if field.replace(value).is_some() {
            return Err(format!("an event with {name:?} twice").into());
        }
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<String>> {
        let (mut reader, mut events) = (Reader::default(), Vec::new());
        for piece in pieces {
            reader.read(piece, |event| {
                events.push(format!("{event:?}"));
                Ok(())
            })?;
        }
        assert!(reader.unfinished.is_empty());
        Ok(events)
    }

    #[test]
    fn events_and_comments_in_any_pieces() {
        let text = b"id: e:0\n\n:\n\nid: e:1\ndata: {\"a\": \"b:c\"}\n\nevent: missed\ndata:x\n\n: hello\n\ndata: \n\n";
        let event = |id, kind, data| format!("{:?}", Event { id, kind, data });
        let expected = vec![
            event(Some("e:0"), None, None),
            event(None, None, None),
            event(Some("e:1"), None, Some("{\"a\": \"b:c\"}")),
            event(None, Some("missed"), Some("x")),
            event(None, None, None),
            event(None, None, Some("")),
        ];
        assert_eq!(read([&text[..]].into_iter()).unwrap(), expected);
        for size in 1..text.len() {
            assert_eq!(read(text.chunks(size)).unwrap(), expected, "pieces of {size}");
        }
    }

    #[test]
    fn a_long_event() {
        let long = "x".repeat(200_000);
        let text = format!("data: {long}\n\n");
        for size in [1000, 4096, text.len()] {
            let events = read(text.as_bytes().chunks(size)).unwrap();
            assert_eq!(events, [format!("{:?}", Event { data: Some(&long), ..Event::default() })]);
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for text in ["data: a\r\n\r\n", "data\n\n", "retry: 1\n\n", "data: a\ndata: b\n\n", "\n\n"] {
            assert!(read([text.as_bytes()].into_iter()).is_err(), "{text:?}");
        }
    }
}
