//! The examples as programs: where they are, and a server that is ended with its test.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The executable of an example. Cargo builds the examples for `cargo test`, but not for `cargo test --tests`, and
/// never says where; so they are built here once more, in the profile and with the features of this test, which
/// takes no time if they are there.
pub(crate) fn example(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        // This test lies in <target>/<profile>/deps.
        let test = env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let target = profile.parent().unwrap();
        let features = [
            ("deflate", cfg!(feature = "deflate")),
            ("http", cfg!(feature = "http")),
            ("proxy-env", cfg!(feature = "proxy-env")),
            ("rustls", cfg!(feature = "rustls")),
            ("rustls-no-provider", cfg!(feature = "rustls-no-provider")),
            ("simd", cfg!(feature = "simd")),
            ("simdutf8", cfg!(feature = "simdutf8")),
            ("std", cfg!(feature = "std")),
            ("tokio", cfg!(feature = "tokio")),
        ];
        let features: Vec<&str> = features.iter().filter(|(_, on)| *on).map(|(feature, _)| *feature).collect();
        let name = profile.file_name().unwrap().to_str().unwrap();
        let status = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet", "--examples", "--no-default-features"])
            .args(["--features", &features.join(",")])
            .args(["--profile", if name == "debug" { "dev" } else { name }])
            .arg("--target-dir")
            .arg(target)
            .status();
        assert!(status.expect("cargo can be started").success(), "the examples do not compile");
        profile.join("examples")
    });
    directory.join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// A server, which ends with this.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Starts a server that prints its address once it listens. Returns the address too.
    pub(crate) fn start(command: &mut Command) -> (Running, String) {
        let mut server = Running(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("listening on ").expect(&line).to_owned();
        (server, url)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
