//! All layers in one, with the layer that set each value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use toml::{Table, Value};

use super::decode::{self, DecodeError};
use super::key::Segment;
use super::layer::{self, Assignment};
use super::reference::Known;
use super::{Config, DEFAULTS, Document, Key, Problem, Problems, Reference, Sources, ambient, secrets, validate};

/// Which layer set a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The built-in `config/default.toml`.
    Default,
    /// A configuration file.
    File {
        /// Its path.
        path: PathBuf,
        /// The line of the key, from 1.
        line: Option<usize>,
    },
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
    /// Somebody who asked the running server.
    Request(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Request(user) => write!(f, "request of {user}"),
        }
    }
}

/// The merged values. References to secrets are not resolved yet.
#[derive(Clone, Default)]
pub struct Effective {
    values: Table,
    origins: BTreeMap<Key, Origin>,
}

impl Effective {
    /// Reads and merges all layers; what is wrong with them is left out of the values and reported.
    pub fn read(sources: &Sources) -> (Self, Problems) {
        let mut problems = Problems::default();
        let mut layers = vec![layer::defaults(DEFAULTS, &mut problems)];
        layers.extend(sources.file.as_deref().map(|path| layer::file(path, &mut problems)));
        layers.push(layer::environment(sources, &mut problems));
        layers.push(layer::flags(&sources.flags, &mut problems));

        let mut effective = Self::default();
        for assignment in layers.into_iter().flatten() {
            effective.assign(assignment);
        }
        ambient::fill(&mut effective, sources);
        problems.sort();
        (effective, problems)
    }

    /// The value or the section of a key.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        let mut segments = key.segments().iter();
        let Some(Segment::Name(first)) = segments.next() else { return None };
        segments.try_fold(self.values.get(first)?, |value, segment| match segment {
            Segment::Name(name) => value.get(name),
            Segment::Index(index) => value.get(index),
        })
    }

    /// The layer that set a key.
    pub fn origin(&self, key: &Key) -> Option<&Origin> {
        self.origins.get(&key.leaf())
    }

    /// All values with their layer, secrets masked, in the order of the keys.
    pub fn entries(&self) -> impl Iterator<Item = (&Key, Value, &Origin)> {
        let entry = |(key, origin)| self.get(key).map(|value| (key, secrets::mask(key, value), origin));
        self.origins.iter().filter_map(entry)
    }

    /// Decodes and validates; every bad value is reported, and the default stands in for it while the rest is read.
    pub fn decode(&self, sources: &Sources, problems: &mut Problems) -> Option<Config> {
        let found = problems.0.len();
        let mut values = Self::default();
        for (key, origin) in &self.origins {
            // What is below a section that a layer left empty is under its own keys.
            let is_alone = |value: &&Value| value.as_table().is_none_or(Table::is_empty);
            if let Some(value) = self.get(key).filter(is_alone) {
                let value = secrets::resolve(key, value, sources, problems);
                values.assign(Assignment { key: key.clone(), value, origin: origin.clone() });
            }
        }
        let config = loop {
            match decode::decode::<Document>(values.values.clone()) {
                Ok(document) => break Some(document.into_config(self.clone())),
                Err(error) => {
                    let key = error.key();
                    problems.push(self.explain(error));
                    if !values.discard(&key) {
                        break None;
                    }
                }
            }
        };
        problems.0[found..].iter_mut().for_each(|problem| self.place(problem));
        if let Some(config) = &config {
            validate::validate(config, self, problems);
        }
        config
    }

    /// A problem of decoding, with what is accepted and without what is secret.
    pub(super) fn explain(&self, error: DecodeError) -> Problem {
        let key = error.key();
        let message = match Reference::get().find(&key) {
            Known::Entry(entry) if entry.is_secret() => layer::accepts(entry),
            Known::Entry(entry) => {
                let value = self.get(&key).and_then(Value::as_str).filter(|text| !error.to_string().contains(text));
                let named = value.map(|text| format!("'{text}': ")).unwrap_or_default();
                format!("{named}{error}; {}", layer::accepts(entry))
            }
            Known::Section | Known::No => error.to_string(),
        };
        Problem::with_key(key, None, message)
    }

    fn place(&self, problem: &mut Problem) {
        let origin = problem.key.as_ref().and_then(|key| self.origin(key).or_else(|| self.origin_below(key)));
        problem.origin = problem.origin.take().or_else(|| origin.cloned());
    }

    /// The layer of the first key in a section.
    fn origin_below(&self, section: &Key) -> Option<&Origin> {
        self.origins.iter().find(|(key, _)| key.is_within(section)).map(|(_, origin)| origin)
    }

    /// Sets a value unless one is there.
    pub(crate) fn fill(&mut self, key: &Key, value: Value, origin: Origin) {
        if self.get(key).is_none() {
            self.assign(Assignment { key: key.clone(), value, origin });
        }
    }

    pub(super) fn assign(&mut self, Assignment { key, value, origin }: Assignment) {
        let Some((Segment::Name(last), above)) = key.segments().split_last() else { return };
        let mut table = &mut self.values;
        for segment in above {
            let Segment::Name(name) = segment else { return };
            let inner = table.entry(name.clone()).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = inner else { return };
            table = inner;
        }
        if value.is_table() {
            table.entry(last.clone()).or_insert(value);
        } else {
            table.insert(last.clone(), value);
        }
        self.origins.insert(key, origin);
    }

    /// Puts the default back in the place of a bad value, or takes it out; false when that changes nothing.
    fn discard(&mut self, key: &Key) -> bool {
        let key = key.leaf();
        let default = Reference::get().entries.iter().find(|entry| entry.is_default && entry.key == key);
        if let Some(entry) = default {
            let is_new = self.get(&key) != Some(&entry.value);
            self.assign(Assignment { key, value: entry.value.clone(), origin: Origin::Default });
            return is_new;
        }
        let Some((Segment::Name(last), above)) = key.segments().split_last() else { return false };
        let above: Option<&mut Table> = above.iter().try_fold(&mut self.values, |table, segment| match segment {
            Segment::Name(name) => table.get_mut(name)?.as_table_mut(),
            Segment::Index(_) => None,
        });
        above.is_some_and(|table| table.remove(last).is_some())
    }
}

/// The values may hold secrets.
impl fmt::Debug for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effective").field("origins", &self.origins).finish_non_exhaustive()
    }
}
