//! `live/live.js` against a server that does what a test says: see `client/live.mjs`. Here Node runs it.

use std::process::Command;

#[test]
fn live_js_keeps_its_promises() {
    if std::env::var_os("OPENLINE_NO_NODE").is_some() {
        return;
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/live.mjs");
    let output = Command::new("node").args(["--test", file]).output().unwrap_or_else(|error| {
        panic!("node: {error}. Install Node 20, or set OPENLINE_NO_NODE to leave this test out")
    });
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("\n# fail 0\n"), "{told}");
}
