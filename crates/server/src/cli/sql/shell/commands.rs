//! The commands of the prompt: one row each. To add one, add a row.

use clap::ValueEnum;

use crate::cli::sql::output::Format;

/// What a row does with its arguments.
enum Action {
    /// Runs SQL: the text at the index of the number of arguments. `$1` is the first argument as it is, `'$1'` as a
    /// string literal.
    Sql(&'static [&'static str]),
    Use,
    Help,
    Quit,
    Timing,
    Expanded,
    Format,
    Output,
    Include,
}

struct Row {
    name: &'static str,
    argument: &'static str,
    help: &'static str,
    action: Action,
}

const fn row(name: &'static str, argument: &'static str, help: &'static str, action: Action) -> Row {
    Row { name, argument, help, action }
}

const USE: [&str; 2] = ["SET catalog = '$1'", "SET catalog = '$1'; SET schema = '$2'"];
const QUERIES: &str = "SELECT id, state, principal, sql FROM system.queries \
     WHERE state NOT IN ('finished', 'failed', 'cancelled') ORDER BY id";

#[rustfmt::skip] // One row is one line, as a table wants it.
const ROWS: &[Row] = &[
    row("\\?", "", "list these commands", Action::Help),
    row("\\q", "", "leave", Action::Quit),
    row("\\d", "[TABLE]", "list tables and views, or describe one", Action::Sql(&["SHOW TABLES", "DESCRIBE $1"])),
    row("\\dt", "[SCHEMA]", "list tables and views of a schema, or of CATALOG.SCHEMA", Action::Sql(&["SHOW TABLES", "SHOW TABLES FROM $1"])),
    row("\\dn", "[CATALOG]", "list schemas", Action::Sql(&["SHOW SCHEMAS", "SHOW SCHEMAS FROM $1"])),
    row("\\l", "", "list catalogs", Action::Sql(&["SHOW CATALOGS"])),
    row("\\df", "[PATTERN]", "list functions", Action::Sql(&["SHOW FUNCTIONS", "SHOW FUNCTIONS LIKE '$1'"])),
    row("\\c", "[CATALOG[.SCHEMA]]", "show or change the catalog and schema of plain names", Action::Use),
    row("\\set", "[NAME] [VALUE]", "show or change settings", Action::Sql(&["SHOW ALL", "SHOW $1", "SET $1 = '$2'"])),
    row("\\queries", "", "list the queries that have not ended", Action::Sql(&[QUERIES])),
    row("\\timing", "[on|off]", "show how long statements take", Action::Timing),
    row("\\x", "[on|off]", "show one column a line", Action::Expanded),
    row("\\f", "FORMAT", "show results as table, csv, json, ndjson, markdown, parquet or arrow", Action::Format),
    row("\\o", "[FILE]", "write results to a file, or to the terminal again", Action::Output),
    row("\\i", "FILE", "run a script", Action::Include),
];

/// A command with its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// Run this SQL.
    Run(String),
    /// Resolve names here from now on.
    Use {
        catalog: &'a str,
        schema: Option<&'a str>,
    },
    Help,
    Quit,
    Timing(Flag),
    Expanded(Flag),
    Format(Format),
    /// Write to this file, or to the terminal.
    Output(Option<&'a str>),
    /// Run this script.
    Include(&'a str),
}

/// What happens to a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    On,
    Off,
    Toggle,
}

impl<'a> Command<'a> {
    /// Reads a line that begins with a backslash. The error is for the user.
    pub(super) fn parse(line: &'a str) -> Result<Self, String> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let row = ROWS
            .iter()
            .find(|row| row.name == name)
            .ok_or_else(|| format!("unknown command '{name}'; \\? lists the commands"))?;
        let usage = || format!("usage: {} {}", row.name, row.argument);
        let path = (!rest.is_empty()).then_some(rest);
        Ok(match &row.action {
            Action::Sql(texts) => {
                let arguments = arguments(rest, row);
                Self::Run(fill(texts.get(arguments.len()).ok_or_else(usage)?, &arguments))
            }
            Action::Use => match *arguments(rest, row) {
                [] => Self::Run("SHOW catalog; SHOW schema".to_owned()),
                [catalog] => Self::Use { catalog: bare(catalog), schema: None },
                [catalog, schema, ..] => Self::Use { catalog: bare(catalog), schema: Some(bare(schema)) },
            },
            Action::Help => Self::Help,
            Action::Quit => Self::Quit,
            Action::Timing => Self::Timing(Flag::parse(rest).ok_or_else(usage)?),
            Action::Expanded => Self::Expanded(Flag::parse(rest).ok_or_else(usage)?),
            Action::Format => Self::Format(Format::from_str(rest, true).map_err(|_| usage())?),
            Action::Output => Self::Output(path),
            Action::Include => Self::Include(path.ok_or_else(usage)?),
        })
    }
}

/// The last argument that the row knows takes the rest of the line, so that values may hold blanks.
fn arguments<'a>(rest: &'a str, row: &Row) -> Vec<&'a str> {
    let most = row.argument.split_whitespace().count().max(1);
    let (most, dotted) = if row.argument.contains("[.") { (2, true) } else { (most, false) };
    let parts = rest.splitn(most, |c: char| c.is_whitespace() || (dotted && c == '.'));
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn fill(text: &str, arguments: &[&str]) -> String {
    let mut sql = text.to_owned();
    for (index, argument) in arguments.iter().enumerate() {
        sql = sql.replace(&format!("'${}'", index + 1), &format!("'{}'", bare(argument).replace('\'', "''")));
        sql = sql.replace(&format!("${}", index + 1), argument);
    }
    sql
}

/// The argument without quotes around it.
fn bare(argument: &str) -> &str {
    argument.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(argument)
}

/// The SQL that makes names resolve there.
pub(super) fn use_place(catalog: &str, schema: Option<&str>) -> String {
    match schema {
        None => fill(USE[0], &[catalog]),
        Some(schema) => fill(USE[1], &[catalog, schema]),
    }
}

impl Flag {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "" => Some(Self::Toggle),
            "on" => Some(Self::On),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

/// The arguments of a command as the help writes them, such as `[TABLE]`.
pub(super) fn arguments_of(name: &str) -> Option<&'static str> {
    ROWS.iter().find(|row| row.name == name).map(|row| row.argument)
}

/// The names of all commands.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}

/// The list of all commands.
pub(super) fn help() -> String {
    let line = |row: &Row| format!("  {:<26} {}", format!("{} {}", row.name, row.argument), row.help);
    ROWS.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(line: &str) -> String {
        match Command::parse(line) {
            Ok(Command::Run(sql)) => sql,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn arguments_choose_and_fill_the_sql() {
        assert_eq!(sql("\\d"), "SHOW TABLES");
        assert_eq!(sql("\\d demo.public.orders ;"), "DESCRIBE demo.public.orders");
        assert_eq!(sql("\\df it's%"), "SHOW FUNCTIONS LIKE 'it''s%'");
        assert_eq!(sql("\\c"), "SHOW catalog; SHOW schema");
        for line in ["\\c demo.public", "\\c demo public", "\\c 'demo'.public;"] {
            assert_eq!(Command::parse(line), Ok(Command::Use { catalog: "demo", schema: Some("public") }), "{line}");
        }
        assert_eq!(use_place("demo", Some("public")), "SET catalog = 'demo'; SET schema = 'public'");
        assert_eq!(use_place("it's", None), "SET catalog = 'it''s'");
        assert_eq!(sql("\\set time_zone"), "SHOW time_zone");
        assert_eq!(sql("\\set   time_zone  Europe/Berlin"), "SET time_zone = 'Europe/Berlin'");
        assert_eq!(sql("\\set a 'b c'"), "SET a = 'b c'");
    }

    #[test]
    fn switches_toggle_or_take_a_word() {
        assert_eq!(Command::parse("\\x"), Ok(Command::Expanded(Flag::Toggle)));
        assert_eq!(Command::parse("\\timing off"), Ok(Command::Timing(Flag::Off)));
        assert_eq!(Command::parse("\\f NDJSON"), Ok(Command::Format(Format::Ndjson)));
        assert_eq!(Command::parse("\\o"), Ok(Command::Output(None)));
        assert_eq!(Command::parse("\\i my script.sql"), Ok(Command::Include("my script.sql")));
    }

    #[test]
    fn mistakes_name_the_way_out() {
        for (line, message) in [
            ("\\nope", "unknown command '\\nope'; \\? lists the commands"),
            ("\\i", "usage: \\i FILE"),
            ("\\x maybe", "usage: \\x [on|off]"),
            ("\\f xml", "usage: \\f FORMAT"),
            ("\\l x", "usage: \\l "),
        ] {
            assert_eq!(Command::parse(line), Err(message.to_owned()));
        }
    }

    #[test]
    fn every_command_is_in_the_help() {
        let help = help();
        for name in names() {
            assert!(help.contains(&format!("  {name} ")), "{name}");
        }
    }
}
