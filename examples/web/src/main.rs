//! The server as a program; see [`HELP`].

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use openline_live::{Redis, Snapshot};
use openline_web_example::options::{HELP, Options};
use openline_web_example::origins::Origins;
use openline_web_example::serve::serve;
use openline_web_example::site::Site;
use openline_web_example::tls;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => run(options).await,
        Ok(None) => {
            print!("{HELP}");
            Ok(())
        }
        Err(error) => Err(error.into()),
    };
    result.map_or_else(
        |error| {
            eprintln!("web: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

async fn run(options: Options) -> Result<(), Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let tls = if options.tls {
        let (acceptor, ca) = tls::self_made()?;
        options.ca_out.as_ref().map_or(Ok(()), |file| std::fs::write(file, ca))?;
        Some(acceptor)
    } else {
        None
    };
    let listener = TcpListener::bind(&options.listen).await.map_err(|error| format!("{}: {error}", options.listen))?;
    let (origins, snapshot) = (Origins::new(options.origins), options.snapshot.as_deref());
    let site = match &options.redis {
        Some(url) => Site::shared(Redis::connect(url).await?, options.retain, origins)?,
        None => Site::local(options.retain, origins, snapshot.map(take_up).transpose()?.flatten().as_ref())?,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    println!("listening on {scheme}://{}", listener.local_addr()?);

    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::select! {
        () = serve(&site, listener, tls, stop) => {}
        () = site.run() => {}
    }
    // Those who were here and have not come back elsewhere by now are seen to go, and not only when the node's lease ends.
    if site.hub().sign_off(SIGN_OFF).await.is_err() {
        eprintln!("web: the engine is away, so other servers see ours go a little later");
    }
    let snapshot = options.snapshot.filter(|_| options.redis.is_none());
    snapshot.map_or(Ok(()), |file| save(&site, &file))
}

/// The snapshot in this file, if there is one. The file goes: if the server is killed later, positions that it has given out
/// since must not come again for other messages.
fn take_up(file: &Path) -> Result<Option<Snapshot>, Failure> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let bytes = match std::fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| named(&error))?,
    };
    let snapshot = Snapshot::from_bytes(&bytes).map_err(|error| named(&error))?;
    std::fs::remove_file(file).map_err(|error| named(&error))?;
    Ok(Some(snapshot))
}

/// Whoever reads the file sees all of it or nothing.
fn save(site: &Site, file: &Path) -> Result<(), Failure> {
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".new");
    let written = std::fs::write(&unfinished, site.hub().snapshot().to_bytes());
    written
        .and_then(|()| std::fs::rename(&unfinished, file))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(())
}

/// How long the engine may take to hear that this server goes.
const SIGN_OFF: Duration = Duration::from_secs(3);
