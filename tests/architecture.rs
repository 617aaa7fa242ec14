//! Who may know whom (DESIGN, "Layout"): reads the paths in `src` and fails on any
//! arrow that is not drawn here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Everyone in the core may use them, and they use each other only, without cycles. `opening` is what
/// an opening handshake is to a connection, so that neither of the two knows the other.
const WORDS: [&str; 10] =
    ["role", "time", "code", "error", "http", "entropy", "deflate", "upgrade", "buffer", "opening"];

/// Whom the modules of the core that are no words may know besides the words. A module that is
/// missing here and below has not been drawn, and fails.
const ARROWS: [(&str, &[&str]); 7] = [
    ("frame", &[]),
    ("message", &["frame"]),
    ("connection", &["message", "frame"]),
    ("handshake", &[]),
    ("proxy", &["handshake"]),
    ("open", &["connection", "handshake", "proxy"]),
    ("driver", &["connection", "message"]),
];

/// They stand outside: what they use is what any other adapter could, the names that the crate has at
/// its root, and the driver.
const RIM: [&str; 2] = ["net", "tokio"];

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

/// The first names of all paths behind this prefix, groups in braces included.
fn names(code: &str, prefix: &str) -> BTreeSet<String> {
    fn name(path: &str) -> String {
        path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    }
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let path = &code[at + prefix.len()..];
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

/// Whom this code knows.
fn known(code: &str) -> BTreeSet<String> {
    names(code, "crate::")
}

/// The names of things that the crate exports at its root, in the code of `lib`. `pub use code::CloseCode;`
/// makes one, and so does each name of a group.
fn exported(lib: &str) -> BTreeSet<String> {
    let uses = lib.split(';').filter_map(|item| item.split_once("pub use ").map(|(_, path)| path));
    uses.flat_map(|path| {
        let (_, last) = path.rsplit_once("::{").or_else(|| path.rsplit_once("::")).unwrap_or(("", path));
        last.trim_end_matches('}').split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()
    })
    .collect()
}

/// Whether `module` may know this name of the root.
fn allowed(module: &str, to: &str, exported: &BTreeSet<String>) -> Option<bool> {
    if module == to {
        return Some(true);
    }
    if RIM.contains(&module) {
        return Some(to == "driver" || exported.contains(to));
    }
    let arrows = ARROWS.iter().find(|(from, _)| *from == module).map(|(_, to)| *to);
    let arrows = if WORDS.contains(&module) { &[] } else { arrows? };
    Some(WORDS.contains(&to) || arrows.contains(&to))
}

#[test]
fn no_arrow_that_is_not_drawn() {
    let mut wrong = vec![];
    let sources = sources();
    let exported = exported(&sources.iter().find(|source| source.module == "lib").unwrap().code());
    for source in sources.iter().filter(|source| !FRONT.contains(&&source.module[..])) {
        if allowed(&source.module, "role", &exported).is_none() {
            wrong.push(format!("{}: the module is not drawn", source.path.display()));
            continue;
        }
        for to in known(&source.code()) {
            if allowed(&source.module, &to, &exported) != Some(true) {
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

/// An arrow that nothing follows is not drawn either.
#[test]
fn every_arrow_is_followed() {
    let mut drawn: Vec<_> = ARROWS.iter().flat_map(|(from, to)| to.iter().map(move |to| (*from, *to))).collect();
    for source in sources() {
        let known = known(&source.code());
        drawn.retain(|(from, to)| *from != source.module || !known.contains(*to));
    }
    assert!(drawn.is_empty(), "{drawn:?}");
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
        // Where chance comes in: the seed that the adapters get for their clients, by the client's word.
        let seed = source.module == "entropy";
        let excused = |word: &str| match word {
            "std::io" => seed || source.module == "open",
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

/// What comes after rustls 0.23 changes one file.
#[test]
fn one_file_knows_rustls() {
    for source in sources().iter().filter(|source| source.code().contains("rustls::")) {
        let within = source.path.to_string_lossy().replace('\\', "/");
        assert!(within.ends_with("src/driver/tls.rs") || within.ends_with("src/driver/tls/tests.rs"), "{within}");
    }
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
}

#[test]
fn exports_and_arrows_are_read() {
    let lib = "pub mod net;\nmod code;\npub use code::CloseCode;\n#[cfg(x)]\npub use a::b::{C, D};\nuse e::F;";
    let exported = exported(lib);
    assert_eq!(exported.iter().map(|name| &name[..]).collect::<Vec<_>>(), ["C", "CloseCode", "D"]);
    for (module, to, expected) in [
        ("net", "CloseCode", Some(true)),
        ("net", "driver", Some(true)),
        ("net", "net", Some(true)),
        ("net", "tokio", Some(false)),
        ("net", "code", Some(false)),
        ("net", "F", Some(false)),
        ("connection", "opening", Some(true)),
        ("connection", "handshake", Some(false)),
        ("handshake", "connection", Some(false)),
        ("connection", "CloseCode", Some(false)),
        ("opening", "handshake", Some(false)),
        ("open", "connection", Some(true)),
        ("unheard_of", "role", None),
    ] {
        assert_eq!(allowed(module, to, &exported), expected, "{module}: {to}");
    }
}
