//! The name of a value: `storage.s3.region`, `auth.users[0].role`, `catalogs."my lake".schemas.sales.location`.

use std::fmt;
use std::str::FromStr;

use toml::Value;

/// The path from the root of the configuration to a value or a section.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<Segment>);

/// One step of a [`Key`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Segment {
    /// An entry of a table.
    Name(String),
    /// An element of an array.
    Index(usize),
}

impl Key {
    /// The key one table entry below this one.
    pub(crate) fn child(&self, name: &str) -> Self {
        self.below(Segment::Name(name.to_owned()))
    }

    /// The key one array element below this one.
    pub(crate) fn element(&self, index: usize) -> Self {
        self.below(Segment::Index(index))
    }

    fn below(&self, segment: Segment) -> Self {
        Self(self.0.iter().cloned().chain([segment]).collect())
    }

    /// The section that holds this key.
    pub(crate) fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    /// The last name, as a file writes it.
    pub(crate) fn name(&self) -> String {
        Self(self.0.last().cloned().into_iter().collect()).to_string()
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The part above the first array: layers replace arrays as a whole.
    pub(crate) fn leaf(&self) -> Self {
        Self(self.0.iter().take_while(|segment| matches!(segment, Segment::Name(_))).cloned().collect())
    }

    /// Whether this is `other` or lies below it.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The environment variable that sets this key.
    pub(crate) fn variable(&self) -> String {
        let names = self.0.iter().filter_map(|segment| match segment {
            Segment::Name(name) => Some(name.to_uppercase()),
            Segment::Index(_) => None,
        });
        std::iter::once("TIDEMILL".to_owned()).chain(names).collect::<Vec<_>>().join("__")
    }
}

impl FromIterator<Segment> for Key {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl FromStr for Key {
    type Err = String;

    /// Reads a dotted key by TOML's rules: names with dots or blanks in them are quoted.
    fn from_str(text: &str) -> Result<Self, String> {
        let fail =
            || format!("'{text}' is not a key: write names with dots between them, such as admission.max_running");
        let mut key = Self::default();
        let mut value =
            toml::from_str::<toml::Table>(&format!("{text} = true")).map(Value::Table).map_err(|_| fail())?;
        while let Value::Table(table) = value {
            let mut entries = table.into_iter();
            let (Some((name, inner)), None) = (entries.next(), entries.next()) else { return Err(fail()) };
            key = key.child(&name);
            value = inner;
        }
        if value == Value::Boolean(true) { Ok(key) } else { Err(fail()) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Name(name) => {
                    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                    f.write_str(if at == 0 { "" } else { "." })?;
                    if !name.is_empty() && name.chars().all(bare) {
                        f.write_str(name)?;
                    } else {
                        write!(f, "{}", Value::String(name.clone()))?;
                    }
                }
            }
        }
        Ok(())
    }
}
