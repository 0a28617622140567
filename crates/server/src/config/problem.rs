//! What is wrong with a configuration, in words that name the key, the place and the way out.

use std::fmt;

use super::{Key, Origin};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The key, unless the layer as a whole cannot be read.
    pub key: Option<Key>,
    /// The layer that holds it.
    pub origin: Option<Origin>,
    /// What is wrong, and what is accepted.
    pub message: String,
}

impl Problem {
    /// A problem with the value of `key`.
    pub(crate) fn with_key(key: Key, origin: Option<Origin>, message: impl Into<String>) -> Self {
        Self { key: Some(key), origin, message: message.into() }
    }

    /// A problem with a layer as a whole.
    pub(crate) fn with_layer(origin: Origin, message: impl Into<String>) -> Self {
        Self { key: None, origin: Some(origin), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong, one line each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Puts them in the order in which a reader meets them: layer by layer, line by line.
    pub(crate) fn sort(&mut self) {
        self.0.sort_by(|a, b| (&a.origin, &a.key).cmp(&(&b.origin, &b.key)));
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
