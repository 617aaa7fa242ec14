//! `run` has tests of its own, in its own language.

use std::process::Command;

#[test]
fn what_run_makes_of_measurements() {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/test_run.py");
    let output = Command::new("python3").arg(tests).output().expect("python3 is there, as `run` needs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
