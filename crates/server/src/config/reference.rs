//! Every key there is, read from the comments of `config/default.toml`: the manual is the schema.

use std::sync::LazyLock;

use toml::Value;

use super::key::{Key, Segment};
use super::sources::DEFAULTS;

/// All keys, in the order of the file.
#[derive(Debug)]
pub struct Reference {
    /// Keys that hold a value.
    pub entries: Vec<Entry>,
    /// Sections and what they are for.
    pub sections: Vec<(Key, String)>,
}

/// One key and what the manual says about it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key; names in capitals stand for any name, index 0 for any element.
    pub key: Key,
    /// What it means.
    pub doc: String,
    /// What it accepts, without the final full stop.
    pub accepts: String,
    /// The default, or an example where there is none.
    pub value: Value,
    /// Whether `value` is a default.
    pub is_default: bool,
}

/// What is known about a key.
#[derive(Debug)]
pub(crate) enum Known<'a> {
    /// It holds a value.
    Entry(&'a Entry),
    /// Keys lie below it.
    Section,
    /// There is no such key.
    No,
}

impl Entry {
    /// Whether the value must not be seen.
    pub(crate) fn is_secret(&self) -> bool {
        self.accepts.starts_with("a secret")
    }

    /// Whether relative values are paths, relative to the file they are written in.
    pub(crate) fn is_path(&self) -> bool {
        self.accepts.starts_with("a path") || self.accepts.starts_with("a location")
    }

    /// The least number accepted.
    pub(crate) fn minimum(&self) -> Option<i64> {
        self.accepts.split_once("at least ").and_then(|(_, number)| number.parse().ok())
    }
}

impl Reference {
    /// The reference of this server.
    pub fn get() -> &'static Self {
        static REFERENCE: LazyLock<Reference> = LazyLock::new(|| Reference::parse(DEFAULTS));
        &REFERENCE
    }

    /// What is known about `key`.
    pub(crate) fn find(&self, key: &Key) -> Known<'_> {
        if let Some(entry) = self.entries.iter().find(|entry| stands_for(&entry.key, key)) {
            return Known::Entry(entry);
        }
        if self.has_keys_below(key) { Known::Section } else { Known::No }
    }

    /// Whether `key` is a section, or an array of tables.
    pub(crate) fn has_keys_below(&self, key: &Key) -> bool {
        let length = key.segments().len();
        let above = |pattern: &Key| -> Key { pattern.segments().iter().take(length).cloned().collect() };
        let declared = self.sections.iter().any(|(section, _)| stands_for(section, key));
        declared || self.entries.iter().any(|e| e.key.segments().len() > length && stands_for(&above(&e.key), key))
    }

    /// The entries of a section and below it, or the one entry of a key; array indices may be left out.
    pub(crate) fn within<'a>(&'a self, key: &Key) -> Vec<&'a Entry> {
        let plain = |key: &Key| -> Vec<Segment> {
            key.segments().iter().filter(|segment| matches!(segment, Segment::Name(_))).cloned().collect()
        };
        let wanted = plain(key);
        let covers = |entry: &&Entry| {
            let names = plain(&entry.key);
            names.len() >= wanted.len()
                && names.iter().zip(&wanted).all(|(pattern, name)| segment_stands_for(pattern, name))
        };
        self.entries.iter().filter(covers).collect()
    }

    /// Keys that the user may have meant by `key`: a key of the same name elsewhere, or one spelt alike.
    pub(crate) fn suggest(&self, key: &Key) -> Vec<String> {
        let (text, name) = (key.to_string(), key.name());
        let distance = |entry: &Entry| {
            let spelling = strsim::damerau_levenshtein(&text, &entry.key.to_string());
            if entry.key.name() == name { spelling.min(1) } else { spelling }
        };
        let reach = (text.chars().count() / 4).max(2);
        let mut near: Vec<(usize, &Key)> = self.entries.iter().map(|entry| (distance(entry), &entry.key)).collect();
        near.retain(|(distance, _)| *distance <= reach);
        near.sort();
        // Next to a slip of one letter, a key that shares half of its letters is noise.
        let best = near.first().map_or(0, |(distance, _)| *distance);
        near.retain(|(distance, _)| *distance <= 2 * best);
        near.iter().take(3).map(|(_, key)| key.to_string()).collect()
    }

    /// Reads a commented TOML file that keeps each value on one line; see the head of `config/default.toml`.
    fn parse(text: &str) -> Self {
        let mut reference = Self { entries: Vec::new(), sections: Vec::new() };
        let (mut section, mut doc) = (Key::default(), Vec::new());
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                doc.push(comment);
                continue;
            }
            let is_default = !line.starts_with('#');
            let content = line.trim_start_matches('#');
            if let Some(key) = header(content) {
                reference.sections.push((key.clone(), doc.join(" ")));
                section = key;
            } else if let Some((name, value)) = assignment(content) {
                let key = section.child(&name);
                reference.entries.push(Entry::new(key, &std::mem::take(&mut doc), value, is_default));
            }
            doc.clear();
        }
        reference
    }
}

impl Entry {
    fn new(key: Key, comment: &[&str], value: Value, is_default: bool) -> Self {
        let split = comment.iter().position(|line| line.starts_with("Accepts: ")).unwrap_or(comment.len());
        let (doc, accepts) = (comment[..split].join(" "), comment[split..].join(" "));
        let accepts = accepts.trim_start_matches("Accepts: ").trim_end_matches('.').to_owned();
        Self { key, doc, accepts, value, is_default }
    }
}

fn header(line: &str) -> Option<Key> {
    if let Some(name) = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
        return name.parse::<Key>().ok().map(|key| key.element(0));
    }
    line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).and_then(|name| name.parse().ok())
}

fn assignment(line: &str) -> Option<(String, Value)> {
    let table = toml::from_str::<toml::Table>(line).ok()?;
    table.into_iter().next()
}

/// Whether `key` is what `pattern` describes.
fn stands_for(pattern: &Key, key: &Key) -> bool {
    let (pattern, key) = (pattern.segments(), key.segments());
    pattern.len() == key.len() && pattern.iter().zip(key).all(|(pattern, segment)| segment_stands_for(pattern, segment))
}

fn segment_stands_for(pattern: &Segment, segment: &Segment) -> bool {
    match (pattern, segment) {
        (Segment::Name(pattern), Segment::Name(name)) => is_placeholder(pattern) || pattern == name,
        (Segment::Index(_), Segment::Index(_)) => true,
        _ => false,
    }
}

/// Whether a name of the reference, such as `CATALOG`, stands for any name.
fn is_placeholder(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_uppercase())
}
