//! The rules of the house that neither Cargo nor clippy can hold. A new exception goes into the lists here, with a reason.

use std::fs;
use std::path::{Path, PathBuf};

/// Net lines of a source file: what is above its inline `mod tests`.
const MAX_LINES: usize = 500;

/// Files that are longer today, with the length they must not pass. The list only shrinks.
const LONG_FILES: &[(&str, usize)] = &[];

/// Files with a function that clippy's `too_many_lines` (70) was told to let pass. The list only shrinks.
const LONG_FUNCTIONS: &[&str] = &[];

/// Which folder must not name which path. Cargo holds the direction between crates; this holds the rest.
const LAYERS: &[(&str, &[&str])] = &[
    // The engine is the product without any protocol.
    (
        "crates/engine/src",
        &["axum::", "hyper::", "tonic::", "arrow_flight::", "pgwire::", "rustls::", "clap::", "ballista"],
    ),
    // Doors know the session, the stream and the error; no SQL engine, no command line, no cluster.
    ("crates/frontend/src", &["datafusion::", "clap::", "ballista", "rusqlite::"]),
    // Doors do not know each other.
    ("crates/frontend/src/http", &["crate::flight_sql", "crate::postgres", "tonic::", "arrow_flight::", "pgwire::"]),
    ("crates/frontend/src/flight_sql", &["crate::http", "crate::postgres", "axum::", "pgwire::"]),
    ("crates/frontend/src/postgres", &["crate::http", "crate::flight_sql", "axum::", "tonic::", "arrow_flight::"]),
    // Only the server reads the environment; what it read comes down as a typed configuration.
    ("crates/engine/src", &["std::env::"]),
    ("crates/frontend/src", &["std::env::"]),
    ("crates/cluster/src", &["std::env::", "axum::", "pgwire::", "clap::"]),
];

/// Where files are opened outside the server: what keeps data on disk, the output of a worker's tasks, and TLS files.
const FILE_USERS: &[&str] = &[
    "crates/cluster/src/transport/tls.rs",
    "crates/cluster/src/worker/work_dir.rs",
    "crates/engine/src/catalog",
    "crates/engine/src/data_dir.rs",
    "crates/engine/src/engine",
    "crates/engine/src/query/history",
    "crates/engine/src/results",
    "crates/engine/src/run",
    "crates/engine/src/storage",
    "crates/frontend/src/listen/tls",
];

/// Which crate of ours may depend on which.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("crates/engine", &[]),
    ("crates/frontend", &["tidemill-engine"]),
    ("crates/cluster", &["tidemill-engine"]),
    ("crates/server", &["tidemill-engine", "tidemill-frontend", "tidemill-cluster"]),
];

/// Notes to oneself do not belong into a product; they are split here so that this file passes.
const BANNED_WORDS: &[&str] = &[concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X:"), concat!("HA", "CK:")];

/// Names that say nothing about what a module is for.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc", "mod"];

#[test]
fn no_module_names_what_lies_above_it() {
    let mut offences = Vec::new();
    for (folder, forbidden) in LAYERS {
        for file in sources_below(folder) {
            offences.extend(file.lines_with(forbidden));
        }
    }
    for file in ["crates/cluster/src", "crates/engine/src", "crates/frontend/src"].into_iter().flat_map(sources_below) {
        if !FILE_USERS.iter().any(|folder| file.path.starts_with(folder)) {
            offences.extend(file.lines_with(&["std::fs::", "use std::fs", "tokio::fs::", "use tokio::fs"]));
        }
    }
    none(&offences, "crates/README.md says which layer may know what");
}

#[test]
fn dependencies_point_one_way_and_have_one_version() {
    let mut offences = Vec::new();
    for (folder, allowed) in DEPENDENCIES {
        let manifest = format!("{folder}/Cargo.toml");
        let Ok(text) = fs::read_to_string(root().join(&manifest)) else { continue };
        let dependencies = text.split_once("\n[dependencies]\n").map_or("", |(_, rest)| rest);
        for line in dependencies.lines().filter(|line| line.contains('=')) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if name.starts_with("tidemill-") && !allowed.contains(&name) {
                offences.push(format!("{manifest}: {name}"));
            }
            if !line.contains("workspace = true") {
                offences.push(format!("{manifest}: {line} (versions and features belong into the root Cargo.toml)"));
            }
        }
    }
    none(&offences, "server -> {frontend, cluster} -> engine");
}

#[test]
fn files_and_functions_stay_small() {
    let mut offences = Vec::new();
    for file in all_sources() {
        let (lines, tolerated) = (file.product.lines().count(), find(LONG_FILES, &file.path));
        match tolerated {
            None if lines > MAX_LINES => offences.push(format!("{}: {lines} lines, of {MAX_LINES}", file.path)),
            Some(limit) if lines > limit => offences.push(format!("{}: {lines} lines, grown from {limit}", file.path)),
            Some(_) if lines <= MAX_LINES => offences.push(format!("{}: take it off LONG_FILES", file.path)),
            _ => {}
        }
        let has_long_function = file.product.contains(concat!("clippy::too_many", "_lines"));
        match (has_long_function, LONG_FUNCTIONS.contains(&file.path.as_str())) {
            (true, false) => offences.push(format!("{}: a function longer than a screen", file.path)),
            (false, true) => offences.push(format!("{}: take it off LONG_FUNCTIONS", file.path)),
            _ => {}
        }
    }
    let listed = LONG_FILES.iter().map(|(path, _)| path).chain(LONG_FUNCTIONS);
    offences.extend(listed.filter(|path| !root().join(path).exists()).map(|path| format!("{path}: is gone")));
    none(&offences, "a file is one idea, a function fits a screen: split them");
}

#[test]
fn modules_have_a_name_and_a_head() {
    let mut offences = Vec::new();
    for file in all_sources() {
        let stem = Path::new(&file.path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if EMPTY_NAMES.contains(&stem) {
            offences.push(format!("{}: a name that says nothing", file.path));
        }
        if !is_of_tests(Path::new(&file.path)) && !file.text.starts_with("//! ") {
            offences.push(format!("{}: no `//!` line that says what it is for", file.path));
        }
    }
    none(&offences, "a module is named after what it holds, and its first line says what for");
}

#[test]
fn no_notes_to_oneself() {
    let mut offences = Vec::new();
    for folder in ["crates", "tests", "config", "examples", ".ci"] {
        for path in files_below(&root().join(folder)) {
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let file = Source { path: relative(&path), product: text.clone(), text };
            offences.extend(file.lines_with(BANNED_WORDS));
        }
    }
    none(&offences, "do it, or leave it");
}

#[test]
fn every_sql_test_is_where_the_harness_looks() {
    let is_stray = |path: &PathBuf| extension(path) == "slt" && !relative(path).starts_with("tests/sql/");
    let strays: Vec<String> = files_below(&root()).iter().filter(|path| is_stray(path)).map(|p| relative(p)).collect();
    none(&strays, "the harness runs all of tests/sql and nothing else");
}

#[test]
fn every_example_is_of_a_kind_that_is_run() {
    let harness = fs::read_to_string(root().join("tests/clients/test_examples.py")).unwrap_or_default();
    let is_unknown = |path: &PathBuf| {
        let path = relative(path);
        let folder = path.split('/').nth(1).unwrap_or_default();
        !path.ends_with("README.md")
            && !harness.contains(&format!("files(\"{folder}\", \"{}\")", extension(Path::new(&path))))
    };
    let examples = files_below(&root().join("examples"));
    let unknown: Vec<String> = examples.iter().filter(|path| is_unknown(path)).map(|path| relative(path)).collect();
    none(&unknown, "tests/clients/test_examples.py runs examples by folder and extension");
}

/// A Rust file.
struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
    /// The text without its inline `mod tests`.
    product: String,
}

impl Source {
    /// The product lines, comments aside, that name one of `words`.
    fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let names = |line: &str| words.iter().find(|word| mentions(line, word)).copied();
        let lines = self.product.lines().enumerate();
        lines.filter_map(|(at, line)| names(line).map(|word| format!("{}:{}: {word}", self.path, at + 1))).collect()
    }
}

/// Whether `line` holds `word` and not as the end of a longer one.
fn mentions(line: &str, word: &str) -> bool {
    let starts_word = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| starts_word(at))
}

fn all_sources() -> Vec<Source> {
    ["crates", "tests"].into_iter().flat_map(sources_below).collect()
}

/// The Rust files below a folder; files of tests alone have no product lines.
fn sources_below(folder: &str) -> Vec<Source> {
    let paths = files_below(&root().join(folder)).into_iter().filter(|path| extension(path) == "rs");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let path = relative(&path);
        let is_test = is_of_tests(Path::new(&path));
        let inline = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        let product = if is_test { String::new() } else { text[..inline].to_owned() };
        Source { path, text, product }
    };
    paths.map(read).collect()
}

/// Whether a path lies in a module `tests` of a crate; the package `tests` is held to the rules.
fn is_of_tests(path: &Path) -> bool {
    path.iter().any(|part| part == "tests.rs") || path.iter().skip(1).any(|part| part == "tests")
}

/// Every file below a folder, without what tools leave behind; none when there is no such folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    const SKIPPED: [&str; 5] = [".git", "target", "node_modules", "__pycache__", ".venv"];
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some(name) if path.is_dir() && !SKIPPED.contains(&name) => folders.push(path),
                Some(_) if path.is_file() => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

fn find(list: &[(&str, usize)], path: &str) -> Option<usize> {
    list.iter().find(|(listed, _)| *listed == path).map(|(_, limit)| *limit)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

#[track_caller]
fn none(offences: &[String], rule: &str) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}
