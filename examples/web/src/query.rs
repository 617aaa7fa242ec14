//! What the requests for `/poll`, `/events` and `/publish` have in common: a topic and a position in the query, and errors
//! as text.

use axum::response::{IntoResponse, Response};
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use openline_live::{Start, Topic, TopicError};
use serde::Deserialize;

use crate::live::after;
use crate::message::Item;
use crate::site::Site;

/// The query.
#[derive(Deserialize)]
pub struct Query {
    topic: String,
    after: Option<String>,
}

/// The query as axum gives it.
pub type Queried = Result<axum::extract::Query<Query>, axum::extract::rejection::QueryRejection>;

/// An answer with a status and a sentence.
pub type Refused = (StatusCode, String);

/// The topic of a query, and where reading begins.
///
/// # Errors
///
/// What is wrong with it.
pub fn topic_and_start(site: &Site, query: Queried) -> Result<(Topic<Item>, Start), Refused> {
    let query = query.map_err(|error| refused(StatusCode::BAD_REQUEST, error.body_text()))?;
    let start = query.after.as_deref().map_or(Ok(Start::Oldest), position)?;
    Ok((topic(site, &query.topic)?, start))
}

/// A position in the form `EPOCH:OFFSET`.
///
/// # Errors
///
/// It has another form.
pub fn position(text: &str) -> Result<Start, Refused> {
    let position = text.split_once(':').filter(|(epoch, offset)| {
        !epoch.is_empty() && !offset.is_empty() && offset.bytes().all(|byte| byte.is_ascii_digit())
    });
    let position = position.and_then(|(epoch, offset)| Some(after(epoch, offset.parse().ok()?)));
    position.ok_or_else(|| refused(StatusCode::BAD_REQUEST, "a position is EPOCH:OFFSET".into()))
}

fn topic(site: &Site, name: &str) -> Result<Topic<Item>, Refused> {
    site.topic(name).map_err(|error| {
        let status = match error {
            TopicError::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        refused(status, error.to_string())
    })
}

/// The name of a topic in a query.
///
/// # Errors
///
/// There is none.
pub fn topic_name(query: Queried) -> Result<String, Refused> {
    let query = query.map_err(|error| refused(StatusCode::BAD_REQUEST, error.body_text()))?;
    Ok(query.0.topic)
}

/// A refusal, with its sentence.
#[must_use]
pub fn refused(status: StatusCode, mut why: String) -> Refused {
    why.push('\n');
    (status, why)
}

/// The answer, which pages of the listed origins may read.
pub fn shared(site: &Site, request: &HeaderMap, response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
    let origin = request.get(ORIGIN).filter(|origin| origin.to_str().is_ok_and(|text| site.origins().is_listed(text)));
    if let Some(origin) = origin {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    response
}
