//! Where the layers come from: the process hands them over once, tests make their own.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The defaults and the manual in one.
pub const DEFAULTS: &str = include_str!("../../../../config/default.toml");

/// The layers above the defaults, unread.
#[derive(Clone, Default)]
pub struct Sources {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// All environment variables.
    pub environment: BTreeMap<String, String>,
    /// Flags that set a key, in the order of the command line.
    pub flags: Vec<Flag>,
}

/// A flag that sets a key.
#[derive(Debug, Clone)]
pub struct Flag {
    /// How the user wrote it, such as `--http`.
    pub flag: String,
    /// The key, as text.
    pub key: String,
    /// The value, as text.
    pub value: String,
}

impl Sources {
    /// The environment of this process, with the file that `--config` named; else the one in `TIDEMILL_CONFIG`.
    pub fn from_process(file: Option<PathBuf>) -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let environment: BTreeMap<String, String> = std::env::vars_os().filter_map(utf8).collect();
        let file =
            file.or_else(|| environment.get("TIDEMILL_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
        Self { file, environment, flags: Vec::new() }
    }

    /// Adds a flag: `sources.flag("--http", "http.listen", "127.0.0.1:0")`.
    #[must_use]
    pub fn flag(mut self, flag: impl Into<String>, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.flags.push(Flag { flag: flag.into(), key: key.into(), value: value.into() });
        self
    }
}

/// The environment may hold secrets.
impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("file", &self.file).finish_non_exhaustive()
    }
}
