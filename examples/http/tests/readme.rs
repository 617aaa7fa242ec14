//! The README's example for axum, which stands here word for word, runs.

// README: axum
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper_util::rt::TokioIo;
use openline::{Accept, Config, Server, tokio::WebSocket};

async fn echo(mut request: Request) -> Response {
    let asked = openline::Request::from_http(&request, None);
    let (response, upgrade) = match Server::default().answer(&asked, &Accept::default()) {
        Ok(accepted) => accepted,
        Err(refusal) => return refusal.response.to_http().unwrap().map(Body::from),
    };
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // The connection is ours once axum has sent the response.
        let Ok(io) = upgrading.await else { return };
        let mut socket = WebSocket::new(TokioIo::new(io), upgrade, Config::default(), &[]);
        while let Ok(Some(message)) = socket.recv().await {
            if socket.feed(message).await.is_err() {
                break;
            }
        }
    });
    response.to_http().unwrap().map(Body::from)
}
// README: end

#[test]
fn the_readme_shows_what_runs_here() {
    let (here, readme) = (include_str!("readme.rs"), include_str!("../../../README.md"));
    let (_, example) = here.split_once("// README: axum\n").unwrap();
    let (example, _) = example.split_once("// README: end\n").unwrap();
    assert!(readme.contains(&format!("```rust,ignore\n{example}```\n")), "README.md does not have this:\n{example}");
}

#[tokio::test]
async fn it_echoes() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    let app = axum::Router::new().route("/echo", axum::routing::any(echo));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut socket = openline::tokio::connect(&format!("ws://{at}/echo")).await?;
    socket.send("Hello").await?;
    assert_eq!(socket.recv().await?.unwrap().as_text(), Some("Hello"));
    socket.close(openline::CloseCode::NORMAL, "").await?;
    assert!(socket.closed().is_some_and(openline::Closed::is_clean));
    // Who does not ask for a WebSocket is told so.
    let refused = openline::tokio::connect(&format!("ws://{at}/")).await;
    assert!(matches!(refused, Err(openline::Error::Refused(response)) if response.status == 404));
    Ok(())
}
