//! Who may know whom: each module uses only those before it, and none has a clock, a socket, a thread or a runtime.

use std::fs;
use std::path::Path;

/// From words to the front door. A module that is missing here has not been drawn, and fails.
const ORDER: &[&str] = &[
    "sync",
    "position",
    "limits",
    "delivery",
    "error",
    "slab",
    "keyed",
    "id",
    "backplane",
    "store",
    "memory",
    "round",
    "interest",
    "engine",
    "phase",
    "clock",
    "redis",
    "bell",
    "log",
    "nodes",
    "unsaid",
    "told",
    "roster",
    "remote",
    "turns",
    "shared",
    "topic",
    "join",
    "presence",
    "follow",
    "watch",
    "stall",
    "cursor",
    "aside",
    "subscriber",
    "watching",
    "snapshot",
    "hub",
    "attend",
    "run",
    "leave",
    "pump",
    "verdict",
    "backoff",
    "positions",
    "outbox",
    "event",
    "standing",
    "persistent",
    "client",
    "lib",
];

/// What knows tokio: the way to an engine and what runs it, an engine, and the ways out to a socket.
const RUNTIME: &[&str] = &[
    "store",
    "memory",
    "engine",
    "clock",
    "redis",
    "attend",
    "run",
    "leave",
    "stall",
    "pump",
    "standing",
    "persistent",
];

/// Name, text, and the code without comments and without the tests at the foot.
fn sources() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut directories = vec![root];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { sources.push(path) }
        }
    }
    sources.retain(|path| path.extension().unwrap() == "rs");
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
        let code = code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
        // Files in a directory are parts of the module that has its name.
        let parent = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let name = if parent == "src" { path.file_stem().unwrap().to_str().unwrap() } else { parent };
        (name.to_owned(), text, code)
    };
    sources.iter().map(read).collect()
}

#[test]
fn each_module_uses_only_those_before_it() {
    let sources = sources();
    let names: std::collections::BTreeSet<_> = sources.iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), ORDER.len());
    for (name, _, code) in sources {
        let at = ORDER.iter().position(|module| **module == name).unwrap_or_else(|| panic!("{name} is not drawn"));
        for (found, _) in code.match_indices("crate::") {
            let used: String = code[found + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            assert!(ORDER[..at].contains(&&used[..]), "{name} uses {used}");
        }
    }
}

#[test]
fn time_comes_in_and_nothing_runs_by_itself() {
    for (name, _, code) in sources().into_iter().filter(|(name, ..)| !RUNTIME.contains(&&name[..])) {
        for outside in ["Instant", "SystemTime", "std::net", "std::io::", "std::thread", "tokio::", "unsafe"] {
            assert!(!code.contains(outside), "{name}: {outside}");
        }
    }
}

#[test]
fn no_file_holds_two_ideas() {
    for (name, text, _) in sources() {
        assert!(text.lines().count() <= 400, "{name}");
    }
}
