//! RFC 9110 §5: header fields. The names in a `Headers` are always tokens, and the values have no control
//! characters.

#![expect(clippy::arithmetic_side_effects, reason = "positions in a list that is not empty")]

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::error::HandshakeError;

/// Header fields, in order. The case of the letters in a name does not matter.
///
/// `Debug` shows the names and only the lengths of the values, since many values are secret.
///
/// ```
/// use openline::Headers;
///
/// let mut headers = Headers::new();
/// headers.append("Set-Cookie", "a=1")?;
/// headers.append("set-cookie", "b=2")?;
/// assert_eq!(headers.get("SET-COOKIE"), Some("a=1"));
/// assert_eq!(headers.get_all("Set-Cookie").count(), 2);
/// assert!(headers.append("X", "a\r\nInjected: yes").is_err());
/// # Ok::<(), openline::HandshakeError>(())
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    /// The names and values, at the ranges in `fields`. For a received message this is its whole head, so that
    /// no field needs memory of its own.
    bytes: Vec<u8>,
    fields: Vec<Field>,
}

/// Where the name and the value of a field lie.
pub(crate) type Field = (Range<usize>, Range<usize>);

impl Headers {
    /// No fields.
    #[must_use]
    pub fn new() -> Headers {
        Headers::default()
    }

    /// No fields, but memory for this many fields and for this many bytes of names and values.
    pub(crate) fn with_capacity(fields: usize, bytes: usize) -> Headers {
        Headers { bytes: Vec::with_capacity(bytes), fields: Vec::with_capacity(fields) }
    }

    /// The fields at these places in `bytes`, which are known to be valid.
    pub(crate) fn parsed(bytes: Vec<u8>, fields: Vec<Field>) -> Headers {
        Headers { bytes, fields }
    }

    /// Adds a field after the others. Whitespace around the value is removed.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::HeaderNameInvalid`] or [`HandshakeError::HeaderValueInvalid`].
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), HandshakeError> {
        let value = value.as_ref();
        if !is_token(name.as_bytes()) {
            return Err(HandshakeError::HeaderNameInvalid);
        }
        // RFC 9110 §5.5: a value with CR, LF or NUL could end the field and begin another.
        if value.iter().any(|&byte| is_control(byte)) {
            return Err(HandshakeError::HeaderValueInvalid);
        }
        self.push(name.as_bytes(), value.trim_ascii());
        Ok(())
    }

    /// As [`append`](Self::append), for a name and a value that are always valid.
    pub(crate) fn set(&mut self, name: &'static str, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        debug_assert!(is_token(name.as_bytes()) && !value.iter().any(|&byte| is_control(byte)));
        self.push(name.as_bytes(), value);
    }

    /// Adds all fields of `others`, in their order.
    pub(crate) fn extend(&mut self, others: &Headers) {
        others.raw().for_each(|(name, value)| self.push(name, value));
    }

    /// Adds a field that is known to be valid.
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.fields.push((start..middle, middle..self.bytes.len()));
    }

    /// As [`append`](Self::append), but removes all other fields of this name.
    #[expect(clippy::indexing_slicing, reason = "the ranges of all fields lie in `bytes`")]
    pub(crate) fn replace(&mut self, name: &str, value: &str) -> Result<(), HandshakeError> {
        self.append(name, value)?;
        let others = self.fields.len() - 1;
        let mut at = 0;
        self.fields.retain(|(other, _)| {
            at += 1;
            at > others || !self.bytes[other.clone()].eq_ignore_ascii_case(name.as_bytes())
        });
        Ok(())
    }

    /// The value of the first field of this name, if it is UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next().and_then(|value| core::str::from_utf8(value).ok())
    }

    /// The values of all fields of this name, in order.
    #[expect(clippy::indexing_slicing, reason = "the ranges of all fields lie in `bytes`")]
    pub fn get_all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        // Most names differ in their length already, and those that are equal are mostly written alike.
        let is_it = move |other: &Range<usize>| {
            other.len() == name.len() && {
                let other = &self.bytes[other.clone()];
                other == name.as_bytes() || other.eq_ignore_ascii_case(name.as_bytes())
            }
        };
        self.fields.iter().filter(move |(other, _)| is_it(other)).map(|(_, value)| &self.bytes[value.clone()])
    }

    /// Whether there is a field of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get_all(name).next().is_some()
    }

    /// All fields, as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.raw().map(|(name, value)| (core::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// All fields, with the names as bytes. To make a `str` of each name, which is checked again, takes time.
    #[expect(clippy::indexing_slicing, reason = "the ranges of all fields lie in `bytes`")]
    pub(crate) fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (&self.bytes[name.clone()], &self.bytes[value.clone()]))
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The value of the field of this name, if there is exactly one.
    pub(crate) fn only(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.get_all(name);
        let only = values.next();
        if values.next().is_some() { None } else { only }
    }

    /// The elements of the list that all fields of this name make together (RFC 9110 §5.3). Empty elements are
    /// skipped (§5.6.1).
    pub(crate) fn list<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.get_all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty())
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Headers) -> bool {
        self.len() == other.len()
            && self.iter().zip(other.iter()).all(|(a, b)| a.0.eq_ignore_ascii_case(b.0) && a.1 == b.1)
    }
}

impl Eq for Headers {}

/// `Debug` hides every value: cookies, passwords and tokens come under too many names to list them.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.iter() {
            map.entry(&name, &format_args!("{} bytes", value.len()));
        }
        map.finish()
    }
}

/// RFC 9110 §5.6.2: a token is one or more of these characters.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_tchar(byte))
}

#[expect(clippy::indexing_slicing, reason = "the table has a place for each byte")]
pub(crate) fn is_tchar(byte: u8) -> bool {
    TCHARS[usize::from(byte)]
}

/// RFC 9110 §5.6.2: which bytes are `tchar`. A table, since each byte of each header's name is looked up.
#[expect(clippy::indexing_slicing, reason = "the table has a place for each byte")]
static TCHARS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    loop {
        let other = matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        );
        table[byte as usize] = byte.is_ascii_alphanumeric() || other;
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

/// RFC 9110 §5.5: whether this is a control character, which a field value, or any line of a head, may not have.
pub(crate) fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_lengths() {
        let mut headers = Headers::new();
        for (name, value) in [("Host", "secret"), ("X-Token", ""), ("COOKIE", "secret=1")] {
            headers.append(name, value).unwrap();
        }
        let shown = r#"{"Host": 6 bytes, "X-Token": 0 bytes, "COOKIE": 8 bytes}"#;
        assert_eq!(std::format!("{headers:?}"), shown);
    }

    #[test]
    fn lists_run_over_several_lines() {
        let mut headers = Headers::new();
        headers.append("Connection", " keep-alive ,, Upgrade ,").unwrap();
        headers.append("Host", "x").unwrap();
        headers.append("connection", "TE").unwrap();
        let list: Vec<_> = headers.list("CONNECTION").collect();
        assert_eq!(list, [&b"keep-alive"[..], b"Upgrade", b"TE"]);
    }

    #[test]
    fn fields_are_taken_over_in_order() {
        let mut headers = Headers::new();
        headers.set("A", "1");
        let mut more = Headers::new();
        more.append("B", " 2 ").unwrap();
        more.append("a", "3").unwrap();
        headers.extend(&more);
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("A", &b"1"[..]), ("B", b"2"), ("a", b"3")]);
    }
}
