//! `POST /publish`: says the body, which is JSON, to a topic.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, CACHE_CONTROL, CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;

use crate::message::compact;
use crate::query::{Queried, Refused, refused, shared, topic_name};
use crate::say::{Refusal, Said, may_be_said_to, say};
use crate::site::Site;
use crate::upgrade::host;

/// `/publish?topic=T`.
pub async fn publish(State(site): State<Site>, query: Queried, request: Request) -> Response {
    let headers = request.headers().clone();
    let answer = answer(&site, query, request)
        .await
        .map(|body| ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body));
    shared(&site, &headers, answer)
}

/// What a browser asks before it posts JSON from a page of another origin.
pub async fn preflight(State(site): State<Site>, headers: HeaderMap) -> Response {
    let allowed = [(ACCESS_CONTROL_ALLOW_METHODS, "POST"), (ACCESS_CONTROL_ALLOW_HEADERS, "content-type")];
    shared(&site, &headers, (StatusCode::NO_CONTENT, allowed))
}

async fn answer(site: &Site, query: Queried, request: Request) -> Result<String, Refused> {
    let origin = request.headers().get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    if !site.origins().allow(origin, host(&request)) {
        return Err(refused(StatusCode::FORBIDDEN, "pages of this origin may not publish".into()));
    }
    let name = topic_name(query)?;
    if !may_be_said_to(&name) {
        return Err(refused(StatusCode::FORBIDDEN, "nobody can say something to this topic".into()));
    }
    let message = message(request.into_body()).await?;
    let topic = site.topic(&name).map_err(|error| told(&error.into()))?;
    let at = say(site, &topic, &Said { by: "http", message: &message, id: None }).await.map_err(|why| told(&why))?;
    Ok(format!("{{\"epoch\":\"{}\",\"offset\":{}}}", at.epoch, at.offset))
}

async fn message(body: Body) -> Result<String, Refused> {
    let body = to_bytes(body, MOST).await;
    let body = body.map_err(|_| refused(StatusCode::PAYLOAD_TOO_LARGE, "a message has 64 KiB at most".into()))?;
    let json = serde_json::from_slice::<&RawValue>(&body);
    json.map(compact).map_err(|error| refused(StatusCode::BAD_REQUEST, format!("the body is no JSON: {error}")))
}

fn told(refusal: &Refusal) -> Refused {
    let status = match refusal {
        Refusal::Wrong(_) => StatusCode::BAD_REQUEST,
        Refusal::Retry(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    refused(status, refusal.text().to_owned())
}

/// As for a message on `/live`.
const MOST: usize = 64 << 10;
