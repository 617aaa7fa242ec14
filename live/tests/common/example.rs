//! The programs of `examples`, as processes.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Killed when it is dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program of this example, which cargo has built for `cargo test`, or builds here.
pub fn build(example: &str, features: &str) -> PathBuf {
    // This test lies in <target>/<profile>/deps.
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let name = match profile.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        name => name,
    };
    let built = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--example", example, "--features", features, "--profile", name, "--target-dir"])
        .arg(profile.parent().unwrap())
        .status();
    assert!(built.unwrap().success());
    profile.join("examples").join(format!("{example}{}", env::consts::EXE_SUFFIX))
}

/// Starts a server that prints its address first.
pub fn start(program: PathBuf, arguments: &[&str]) -> (Running, String) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut server = Running(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (server, line.trim_end().strip_prefix("listening on ").unwrap().to_owned())
}
