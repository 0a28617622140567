//! One layer as a list of assignments, checked against the reference before it is merged.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::reference::{Entry, Known};
use super::sources::{Flag, Sources};
use super::{Key, Origin, Problem, Problems, Reference};

/// The environment variables that set keys.
const PREFIX: &str = "TIDEMILL__";

/// A value that a layer gives to a key.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) key: Key,
    /// Never a table, unless an empty one.
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// The defaults; a broken one is found by a test.
pub(crate) fn defaults(text: &str, problems: &mut Problems) -> Vec<Assignment> {
    document(text, |_| Origin::Default, problems)
}

/// The file, with its paths made absolute.
pub(crate) fn file(path: &Path, problems: &mut Problems) -> Vec<Assignment> {
    let origin = |line| Origin::File { path: path.to_owned(), line };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(Problem::with_layer(origin(None), format!("cannot read the file: {error}")));
            return Vec::new();
        }
    };
    let mut assignments = document(&text, origin, problems);
    let base = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for assignment in &mut assignments {
        anchor(&assignment.key, &mut assignment.value, base.parent().unwrap_or(Path::new("/")));
    }
    assignments
}

/// The variables that start with `TIDEMILL__`.
pub(crate) fn environment(sources: &Sources, problems: &mut Problems) -> Vec<Assignment> {
    let mut assignments = Vec::new();
    for (name, text) in sources.environment.range(PREFIX.to_owned()..).take_while(|(name, _)| name.starts_with(PREFIX))
    {
        let names = name[PREFIX.len()..].split("__").map(str::to_lowercase);
        let key = names.fold(Key::default(), |key, name| key.child(&name));
        push(&mut assignments, key, text, Origin::Environment(name.clone()), problems);
    }
    assignments
}

/// The flags of the command line.
pub(crate) fn flags(flags: &[Flag], problems: &mut Problems) -> Vec<Assignment> {
    let mut assignments = Vec::new();
    for Flag { flag, key, value } in flags {
        let origin = Origin::Flag(flag.clone());
        match key.parse() {
            Ok(key) => push(&mut assignments, key, value, origin, problems),
            Err(message) => problems.push(Problem::with_layer(origin, message)),
        }
    }
    assignments
}

/// A value for one key, from whoever may ask a running server.
pub(crate) fn request(key: Key, text: &str, origin: Origin, problems: &mut Problems) -> Option<Assignment> {
    let mut assignments = Vec::new();
    push(&mut assignments, key, text, origin, problems);
    assignments.pop()
}

/// Adds a value that came as text, which the reference says how to read.
fn push(assignments: &mut Vec<Assignment>, key: Key, text: &str, origin: Origin, problems: &mut Problems) {
    let mut value = match Reference::get().find(&key) {
        Known::Entry(entry) => from_text(text, &entry.value),
        Known::Section | Known::No => Value::String(text.to_owned()),
    };
    if check(&key, &mut value, &origin, problems) {
        assignments.push(Assignment { key, value, origin });
    }
}

/// Text as a value of the type of `like`; what cannot be read stays text, and fails when it is decoded.
fn from_text(text: &str, like: &Value) -> Value {
    let parsed = || toml::from_str::<Table>(&format!("value = {text}")).ok()?.remove("value");
    match like {
        Value::String(_) => Value::String(text.to_owned()),
        Value::Array(_) => parsed().filter(Value::is_array).unwrap_or_else(|| {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }),
        _ => parsed().unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

/// The assignments of a TOML text.
fn document(text: &str, origin: impl Fn(Option<usize>) -> Origin, problems: &mut Problems) -> Vec<Assignment> {
    let line_at = |at: usize| text[..at].matches('\n').count() + 1;
    let (table, spans) = match (toml::from_str::<Table>(text), DeTable::parse(text)) {
        (Ok(table), Ok(spans)) => (table, spans),
        (Err(error), _) | (_, Err(error)) => {
            let line = error.span().map(|span| line_at(span.start));
            problems.push(Problem::with_layer(origin(line), format!("not TOML: {}", error.message())));
            return Vec::new();
        }
    };
    let mut starts = BTreeMap::new();
    find_starts(spans.get_ref(), &Key::default(), &mut starts);

    let mut assignments = Vec::new();
    let mut pending: Vec<(Key, Value)> = vec![(Key::default(), Value::Table(table))];
    while let Some((key, mut value)) = pending.pop() {
        match value {
            Value::Table(table) if !table.is_empty() => {
                pending.extend(table.into_iter().map(|(name, value)| (key.child(&name), value)));
            }
            _ => {
                let origin = origin(starts.get(&key).map(|at| line_at(*at)));
                if check(&key, &mut value, &origin, problems) {
                    assignments.push(Assignment { key, value, origin });
                }
            }
        }
    }
    assignments
}

/// Where each key is written, as an offset in bytes.
fn find_starts(table: &DeTable<'_>, above: &Key, starts: &mut BTreeMap<Key, usize>) {
    for (name, value) in table {
        let key = above.child(name.get_ref());
        if let DeValue::Table(inner) = value.get_ref() {
            find_starts(inner, &key, starts);
        }
        starts.insert(key, name.span().start);
    }
}

/// Reports what the reference does not know, and takes it out of `value`; false when nothing is left of it.
fn check(key: &Key, value: &mut Value, origin: &Origin, problems: &mut Problems) -> bool {
    let reference = Reference::get();
    let mut report = |message: String| {
        problems.push(Problem::with_key(key.clone(), Some(origin.clone()), message));
        false
    };
    match (reference.find(key), value) {
        (Known::No, _) => report(unknown(reference, key)),
        (Known::Section, Value::Table(table)) => {
            let names: Vec<String> = table.keys().cloned().collect();
            for name in names {
                if table.get_mut(&name).is_some_and(|value| !check(&key.child(&name), value, origin, problems)) {
                    table.remove(&name);
                }
            }
            true
        }
        (Known::Section, _) => report("this is a section, not a value: set the keys below it".to_owned()),
        (Known::Entry(_), Value::Array(items)) if reference.has_keys_below(&key.element(0)) => {
            let mut at = 0..;
            items.retain_mut(|item| check(&key.element(at.next().unwrap_or(0)), item, origin, problems));
            true
        }
        (Known::Entry(entry), Value::Integer(number)) if entry.minimum().is_some_and(|least| *number < least) => {
            report(format!("{number} is too small; {}", accepts(entry)))
        }
        (Known::Entry(_), _) => true,
    }
}

fn unknown(reference: &Reference, key: &Key) -> String {
    match reference.suggest(key).split_first() {
        None => "unknown key; `tidemill config show --defaults` lists them all".to_owned(),
        Some((best, rest)) => {
            let others: String = rest.iter().map(|other| format!(" or '{other}'")).collect();
            format!("unknown key; did you mean '{best}'{others}?")
        }
    }
}

/// The end of a message about a bad value.
pub(crate) fn accepts(entry: &Entry) -> String {
    format!("accepted: {}", entry.accepts)
}

/// Makes the relative paths of a value absolute: those of path keys, and of references to secret files.
fn anchor(key: &Key, value: &mut Value, base: &Path) {
    match value {
        Value::Table(table) => table.iter_mut().for_each(|(name, value)| anchor(&key.child(name), value, base)),
        Value::Array(items) if Reference::get().has_keys_below(&key.element(0)) => {
            items.iter_mut().enumerate().for_each(|(at, item)| anchor(&key.element(at), item, base));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| anchor(key, item, base)),
        Value::String(text) => {
            let Known::Entry(entry) = Reference::get().find(key) else { return };
            let is_url = text.contains("://");
            if entry.is_path() && !is_url {
                *text = base.join(&*text).to_string_lossy().into_owned();
            } else if let Some(path) = text.strip_prefix("file:").filter(|_| entry.is_secret()) {
                *text = format!("file:{}", base.join(path).display());
            }
        }
        _ => {}
    }
}
