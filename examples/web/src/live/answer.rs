//! What the server says on `/live`: one JSON object for each message.

use std::sync::Arc;

use openline::Prepared;
use openline_live::Position;
use serde_json::json;

use crate::message::quote;

/// The first message.
pub(super) fn hello(socket: &str) -> Prepared {
    text(&json!({ "hello": socket }))
}

/// A join begins.
pub(crate) fn joined_text(topic: &str, at: Position, whole: bool) -> String {
    json!({ "joined": topic, "epoch": at.epoch.to_string(), "offset": at.offset, "whole": whole }).to_string()
}

pub(super) fn joined(topic: &str, at: Position, whole: bool) -> Prepared {
    Prepared::new(joined_text(topic, at, whole).as_str())
}

/// Messages are gone.
pub(crate) fn missed_text(topic: &str, count: u64) -> String {
    json!({ "missed": topic, "count": count }).to_string()
}

pub(super) fn missed(topic: &str, count: u64) -> Prepared {
    Prepared::new(missed_text(topic, count).as_str())
}

pub(super) fn left(topic: &str) -> Prepared {
    text(&json!({ "left": topic }))
}

pub(super) fn left_by_lag(topic: &str) -> Prepared {
    text(&json!({ "left": topic, "reason": "lag" }))
}

pub(super) fn said(topic: &str, id: Option<&str>, at: Position) -> Prepared {
    let mut answer = json!({ "said": topic, "epoch": at.epoch.to_string(), "offset": at.offset });
    if let Some(id) = id {
        answer["id"] = id.into();
    }
    text(&answer)
}

/// `verdict` is `accepted` or `refused`; `lot` is JSON, as the client has written it.
pub(super) fn bid(verdict: &str, lot: &str, price: u64, id: Option<&str>, over: bool) -> Prepared {
    let mut answer = format!("{{\"{verdict}\":{lot},\"price\":{price}");
    if let Some(id) = id {
        answer.push_str(",\"id\":");
        answer.push_str(&quote(id));
    }
    if over {
        answer.push_str(",\"reason\":\"over\"");
    }
    answer.push('}');
    Prepared::new(answer.as_str())
}

/// Who is here, and how many beside them.
pub(super) fn here(topic: &str, names: &[Arc<str>], more: usize) -> Prepared {
    let mut answer = json!({ "presence": topic, "here": list(names) });
    if more > 0 {
        answer["more"] = more.into();
    }
    text(&answer)
}

/// Who has come and gone. What is empty is left out.
pub(super) fn changed(topic: &str, joined: &[Arc<str>], gone: &[Arc<str>]) -> Prepared {
    let mut answer = json!({ "presence": topic });
    for (member, names) in [("joined", joined), ("gone", gone)] {
        if !names.is_empty() {
            answer[member] = list(names);
        }
    }
    text(&answer)
}

fn list(names: &[Arc<str>]) -> serde_json::Value {
    names.iter().map(|name| &**name).collect()
}

/// `about` are members of what it answers, with values in JSON.
pub(super) fn error(about: &[(&str, &str)], why: &str, retry: bool) -> Prepared {
    let mut answer = format!("{{\"error\":{}", quote(why));
    for (name, value) in about {
        answer.push_str(&format!(",\"{name}\":{value}"));
    }
    if retry {
        answer.push_str(",\"retry\":true");
    }
    answer.push('}');
    Prepared::new(answer.as_str())
}

fn text(json: &serde_json::Value) -> Prepared {
    Prepared::new(json.to_string().as_str())
}
