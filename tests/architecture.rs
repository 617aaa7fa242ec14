//! Who may know whom (DESIGN, "Layout"): reads the paths in `src` and fails on any
//! arrow that is not drawn here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Everyone may use them, and they use each other only, without cycles.
const WORDS: [&str; 9] = ["role", "time", "code", "error", "http", "entropy", "deflate", "upgrade", "buffer"];

/// Whom the modules that are no words may know besides the words. A module that is
/// missing here has not been drawn, and fails.
const ARROWS: [(&str, &[&str]); 7] = [
    ("frame", &[]),
    ("message", &["frame"]),
    ("connection", &["message", "frame"]),
    ("handshake", &[]),
    ("driver", &["connection", "handshake", "message", "frame"]),
    ("net", &["driver", "connection", "handshake", "message"]),
    ("tokio", &["driver", "connection", "handshake", "message"]),
];

/// The front door and the manual know everything, and do nothing.
const FRONT: [&str; 2] = ["lib", "manual"];

/// Where sockets, clocks and dice are.
const ADAPTERS: [&str; 3] = ["driver", "net", "tokio"];

/// A source file: its module below the root, its path, its text.
struct Source {
    module: String,
    path: PathBuf,
    text: String,
}

impl Source {
    /// The code without comments and without the tests at the foot.
    fn code(&self) -> String {
        let code = self.text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
        code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
    }
}

fn sources() -> Vec<Source> {
    fn walk(dir: &Path, root: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let first = path.strip_prefix(root).unwrap().iter().next().unwrap().to_str().unwrap();
                let module = first.trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { module, path, text });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = vec![];
    walk(&root, &root, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "the sources have been found");
    found
}

/// The first names of all paths that begin with `crate::`, groups in braces included.
fn known(code: &str) -> BTreeSet<String> {
    fn name(path: &str) -> String {
        path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    }
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let path = &code[at + "crate::".len()..];
        let Some(group) = path.strip_prefix('{') else {
            names.insert(name(path));
            continue;
        };
        let (mut depth, mut begins) = (0, true);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && !c.is_whitespace() => {
                    names.insert(name(&group[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn allowed(module: &str) -> Option<Vec<&'static str>> {
    let arrows = ARROWS.iter().find(|(from, _)| *from == module).map(|(_, to)| to.to_vec());
    let mut to = if WORDS.contains(&module) { vec![] } else { arrows? };
    to.extend(WORDS);
    Some(to)
}

#[test]
fn no_arrow_that_is_not_drawn() {
    let mut wrong = vec![];
    for source in sources().iter().filter(|source| !FRONT.contains(&&source.module[..])) {
        let Some(allowed) = allowed(&source.module) else {
            wrong.push(format!("{}: the module is not drawn", source.path.display()));
            continue;
        };
        for to in known(&source.code()) {
            if to != source.module && !allowed.contains(&&to[..]) {
                wrong.push(format!("{}: crate::{to}", source.path.display()));
            }
        }
        // The two ways round a `crate::` path.
        if source.code().contains("super::super") || source.code().contains("use openline") {
            wrong.push(format!("{}: a path over two floors", source.path.display()));
        }
        let at_the_root = source.path.parent().unwrap().ends_with("src");
        if at_the_root && source.code().contains("super::") {
            wrong.push(format!("{}: `super` is the front door", source.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_cycle_among_the_words() {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources().iter().filter(|source| WORDS.contains(&&source.module[..])) {
        let mut to = known(&source.code());
        to.remove(&source.module);
        arrows.entry(source.module.clone()).or_default().extend(to);
    }
    // Take away whoever knows nobody that is left, until nobody is.
    while let Some(free) = arrows.iter().find(|(_, to)| !to.iter().any(|to| arrows.contains_key(to))) {
        let free = free.0.clone();
        arrows.remove(&free);
    }
    assert!(arrows.is_empty(), "{arrows:?}");
}

#[test]
fn bytes_time_and_chance_are_inputs() {
    let outside = ["Instant", "SystemTime", "std::net", "std::io", "std::thread::", "thread_rng", "OsRng", "SysRng"];
    let mut wrong = vec![];
    for source in sources().iter().filter(|source| !ADAPTERS.contains(&&source.module[..])) {
        // The transport's own failures, which the adapters return, are the one word that knows it.
        let transport = source.path.ends_with("error/transport.rs");
        // Where chance comes in: the seed that the adapters get for their clients.
        let seed = source.module == "entropy";
        let excused = |word: &str| match word {
            "std::io" => transport || seed,
            "SysRng" => seed,
            _ => false,
        };
        for word in outside.iter().filter(|word| !excused(word)) {
            if source.code().contains(word) {
                wrong.push(format!("{}: {word}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_two_ideas() {
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(lines <= 500, "{}: {lines} lines", source.path.display());
    }
}

#[test]
fn every_file_begins_with_its_promise() {
    for source in sources() {
        assert!(source.text.starts_with("//! "), "{}", source.path.display());
    }
}

/// The test of the test: what counts as knowing somebody.
#[test]
fn paths_are_found() {
    let found = known(
        "use crate::frame::{Header, Opcode};\nuse crate::{code::CloseCode, error::{A, B}, time};\ncrate::net::go()",
    );
    assert_eq!(found.iter().map(|name| &name[..]).collect::<Vec<_>>(), ["code", "error", "frame", "net", "time"]);
    let source = |text: &str| Source { module: "frame".into(), path: PathBuf::new(), text: text.into() };
    let text = "//! [`crate::net`]\nuse crate::code; // crate::tokio\n#[cfg(test)]\nmod tests {\n use crate::net;\n}";
    assert_eq!(known(&source(text).code()).into_iter().collect::<Vec<_>>(), ["code"]);
    assert_eq!(allowed("unheard_of"), None);
}
