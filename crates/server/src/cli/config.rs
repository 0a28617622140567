//! `tidemill config`: what the configuration is, whether it holds, and what a key means.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tidemill_engine::auth::{Secret, hash_password};

use crate::app;
use crate::config::{DEFAULTS, Effective, Entry, Key, Origin, Reference, Sources, load};

/// Exit code of a configuration that does not hold.
pub const EXIT_BAD_CONFIG: u8 = 2;

/// Where the configuration comes from; the same flags on every command that needs it.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Configuration file (TOML); `tidemill config show --defaults` prints every key. Default: $TIDEMILL_CONFIG
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder for history and spooled results (server.data_dir)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Set one configuration key, such as `--set memory.limit=4GiB`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
}

impl ConfigArgs {
    /// The layers that these flags and the environment name.
    pub fn sources(&self) -> Sources {
        let mut sources = Sources::from_process(self.config.clone());
        if let Some(data_dir) = &self.data_dir {
            sources = sources.flag("--data-dir", "server.data_dir", data_dir);
        }
        for (key, value) in &self.set {
            sources = sources.flag("--set", key, value);
        }
        sources
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write the key, '=' and the value, such as memory.limit=4GiB")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Commands about the configuration.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Print the configuration in effect as TOML, with the layer that set each value; secrets are masked
    Show {
        /// Print the defaults with their documentation instead
        #[arg(long)]
        defaults: bool,
        /// Where the configuration comes from.
        #[command(flatten)]
        from: ConfigArgs,
    },
    /// Check the configuration and list every problem; exits with 2 when there is one
    Check {
        /// Where the configuration comes from.
        #[command(flatten)]
        from: ConfigArgs,
    },
    /// Explain a key or a section: meaning, accepted values, default, value in effect and who set it
    Explain {
        /// The key, such as `memory.limit`
        key: String,
        /// Where the configuration comes from.
        #[command(flatten)]
        from: ConfigArgs,
    },
    /// Read a password from standard input and print its hash for auth.users
    HashPassword,
}

impl ConfigCommand {
    /// Runs the command and returns the exit code of the process.
    ///
    /// # Errors
    /// When `out` cannot be written, `input` cannot be read, or there is nothing to show: the configuration does not hold.
    pub fn run(&self, input: impl BufRead, mut out: impl Write) -> anyhow::Result<u8> {
        match self {
            Self::Show { defaults: true, .. } => out.write_all(DEFAULTS.as_bytes())?,
            Self::Show { defaults: false, from } => return show(&from.sources(), &mut out),
            Self::Check { from } => return check(&from.sources(), &mut out),
            Self::Explain { key, from } => return explain(key, &from.sources(), &mut out),
            Self::HashPassword => return hash(input, &mut out),
        }
        Ok(0)
    }
}

fn show(sources: &Sources, out: &mut impl Write) -> anyhow::Result<u8> {
    let (effective, problems) = Effective::read(sources);
    // Not among the output, which may be on its way into a file.
    anyhow::ensure!(problems.is_empty(), problems);
    let mut entries: Vec<_> =
        effective.entries().map(|(key, value, origin)| (key.parent(), key, value, origin)).collect();
    entries.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let mut section = Key::default();
    for (parent, key, value, origin) in entries {
        if value.is_table() {
            continue;
        }
        if parent != section {
            writeln!(out, "{}[{parent}]", if section == Key::default() { "" } else { "\n" })?;
            section = parent;
        }
        write!(out, "{} = {value}", key.name())?;
        match origin {
            Origin::Default => writeln!(out)?,
            origin => writeln!(out, "  # {origin}")?,
        }
    }
    Ok(0)
}

fn check(sources: &Sources, out: &mut impl Write) -> anyhow::Result<u8> {
    match load(sources).and_then(|config| app::tls(&config)) {
        Ok(_) => {
            writeln!(out, "the configuration holds")?;
            Ok(0)
        }
        Err(problems) => {
            writeln!(out, "{problems}")?;
            Ok(EXIT_BAD_CONFIG)
        }
    }
}

fn explain(text: &str, sources: &Sources, out: &mut impl Write) -> anyhow::Result<u8> {
    let reference = Reference::get();
    let key = match text.parse::<Key>() {
        Ok(key) => key,
        Err(message) => {
            writeln!(out, "{message}")?;
            return Ok(EXIT_BAD_CONFIG);
        }
    };
    let (effective, _) = Effective::read(sources);
    match reference.within(&key).as_slice() {
        [] => {
            let near = reference.suggest(&key).iter().map(|near| format!("'{near}'")).collect::<Vec<_>>().join(" or ");
            let hint = if near.is_empty() { String::new() } else { format!("; did you mean {near}?") };
            writeln!(out, "unknown key '{key}'{hint}")?;
            return Ok(EXIT_BAD_CONFIG);
        }
        [entry] => explain_entry(&key, entry, &effective, out)?,
        entries => {
            for entry in entries {
                writeln!(out, "{}\n    {}", entry.key, entry.doc)?;
            }
        }
    }
    Ok(0)
}

fn explain_entry(key: &Key, entry: &Entry, effective: &Effective, out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(out, "{key}\n    {}\n", entry.doc)?;
    writeln!(out, "accepts   {}", entry.accepts)?;
    let standard = if entry.is_default { "default " } else { "example " };
    writeln!(out, "{standard}  {}", entry.value)?;
    match effective.entries().find(|(known, ..)| *known == key) {
        Some((_, value, origin)) => writeln!(out, "value     {value}\nset by    {origin}")?,
        None => writeln!(out, "value     not set")?,
    }
    writeln!(out, "variable  {}", key.variable())?;
    Ok(())
}

fn hash(mut input: impl BufRead, out: &mut impl Write) -> anyhow::Result<u8> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let password = line.trim_end_matches(['\n', '\r']);
    anyhow::ensure!(
        !password.is_empty(),
        "no password: write it to standard input, as in `tidemill config hash-password < file`"
    );
    writeln!(out, "{}", hash_password(&Secret::new(password))?.expose())?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &ConfigCommand, input: &str) -> (u8, String) {
        let mut out = Vec::new();
        let code = command.run(input.as_bytes(), &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    fn set(assignments: &[&str]) -> ConfigArgs {
        let set = assignments.iter().map(|text| assignment(text).unwrap()).collect();
        ConfigArgs { data_dir: Some("/data".to_owned()), set, config: None }
    }

    #[test]
    fn what_is_shown_is_a_configuration_again() {
        let from = set(&["memory.limit=4GiB", "settings.time_zone=UTC"]);
        let (code, shown) = run(&ConfigCommand::Show { defaults: false, from }, "");
        assert_eq!(code, 0);
        assert!(shown.contains("limit = \"4GiB\"  # flag --set\n"), "{shown}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), shown).unwrap();
        let from = ConfigArgs { config: Some(file.path().to_owned()), ..ConfigArgs::default() };
        assert_eq!(run(&ConfigCommand::Check { from }, ""), (0, "the configuration holds\n".to_owned()));
    }

    #[test]
    fn a_broken_configuration_is_told_by_the_exit_code() {
        let (code, problems) = run(&ConfigCommand::Check { from: set(&["memory.limit=much", "nonsense=1"]) }, "");
        assert_eq!((code, problems.lines().count()), (EXIT_BAD_CONFIG, 2), "{problems}");
    }

    #[test]
    fn a_key_is_explained_and_an_unknown_one_suggests() {
        let explain = |key: &str| {
            run(&ConfigCommand::Explain { key: key.to_owned(), from: set(&["admission.max_running=7"]) }, "")
        };
        let (code, text) = explain("admission.max_running");
        assert_eq!(code, 0);
        for part in [
            "Queries that run at once",
            "default   16",
            "value     7",
            "flag --set",
            "TIDEMILL__ADMISSION__MAX_RUNNING",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(explain("admission").1.contains("admission.queue_timeout"));
        assert!(explain("auth.users.role").1.contains("admin, writer or reader"));
        assert_eq!(
            explain("admission.max_runing"),
            (EXIT_BAD_CONFIG, "unknown key 'admission.max_runing'; did you mean 'admission.max_running'?\n".to_owned())
        );
    }

    #[test]
    fn a_hash_opens_for_its_password() {
        let (code, hash) = run(&ConfigCommand::HashPassword, "correct horse\n");
        assert_eq!(code, 0);
        assert!(hash.starts_with("$argon2id$") && !hash.contains("horse"), "{hash}");
        assert!(ConfigCommand::HashPassword.run("\n".as_bytes(), Vec::new()).is_err());
    }
}
