//! What the line editor asks while the user types: is the input complete, and how could this word go on.

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};
use tidemill_engine::session::setting_names;

use super::commands;
use super::names::Names;
use crate::cli::sql::script::Script;

/// Beyond this many, a list of candidates helps nobody.
const MAX_CANDIDATES: usize = 200;

/// Tables of a statement whose columns are offered.
const MAX_TABLES: usize = 4;

const KEYWORDS: &str = "\
    ALL ALTER ANALYZE AND AS ASC BETWEEN BY CASE CAST COLUMNS COPY CREATE CROSS CURRENT DEALLOCATE DELETE DESC \
    DESCRIBE DISTINCT DROP ELSE END EXCEPT EXECUTE EXISTS EXPLAIN EXTERNAL FALSE FILTER FIRST FOLLOWING FROM \
    FULL FUNCTIONS GROUP HAVING ILIKE IN INNER INSERT INTERSECT INTERVAL INTO IS JOIN KILL LAST LATERAL LEFT \
    LIKE LIMIT LOCATION NATURAL NOT NULL NULLS OFFSET ON OPTIONS OR ORDER OUTER OVER PARTITION PARTITIONED \
    PRECEDING PREPARE QUALIFY QUERY RANGE RECURSIVE REPLACE RESET RIGHT ROW ROWS SCHEMA SCHEMAS SELECT SET \
    SHOW STORED TABLE TABLES TEMPORARY THEN TO TRUE UNBOUNDED UNION UNNEST UPDATE USING VALUES VIEW WHEN WHERE \
    WINDOW WITH";

/// The editor's helper.
#[derive(Debug)]
pub(super) struct Prompt {
    names: Names,
}

impl Prompt {
    /// A helper that completes these names.
    pub(super) fn new(names: Names) -> Self {
        Self { names }
    }

    /// A statement has run: names may have come and gone.
    pub(super) fn forget(&self) {
        self.names.forget();
    }

    /// What may follow a command.
    fn arguments(&self, command: &str) -> Vec<String> {
        match commands::arguments_of(command) {
            Some("[TABLE]") => self.names.tables().to_vec(),
            Some("[SCHEMA]") => self.names.schemas().to_vec(),
            Some("[CATALOG]") => self.names.catalogs().to_vec(),
            Some("[CATALOG[.SCHEMA]]") => [&self.names.catalogs()[..], &self.names.schemas()[..]].concat(),
            Some("[PATTERN]") => self.names.functions().to_vec(),
            Some("[NAME] [VALUE]") => words(setting_names()),
            Some("[on|off]") => words(["on", "off"]),
            Some("FORMAT") => words(["table", "csv", "json", "ndjson", "markdown", "parquet", "arrow"]),
            _ => Vec::new(),
        }
    }

    /// Candidates for a word of a statement, best kind first, without repetitions.
    fn candidates(&self, statement: &str, word: &str) -> Vec<String> {
        let tables = self.names.tables();
        if let Some((table, _)) = word.rsplit_once('.')
            && tables.iter().any(|name| name == table)
        {
            let columns = self.names.columns(table);
            return matching(columns.iter().map(|column| format!("{table}.{column}")), word);
        }
        let mentioned = statement
            .split(|c: char| !is_name(c))
            .filter(|text| tables.iter().any(|name| name == text))
            .take(MAX_TABLES);
        let columns: Vec<_> = mentioned.map(|table| self.names.columns(table)).collect();
        let functions = self.names.functions();
        let upper = word.chars().next().is_some_and(char::is_uppercase);
        let keywords = KEYWORDS.split(' ').map(|keyword| match upper {
            true => keyword.to_owned(),
            false => keyword.to_lowercase(),
        });
        let names = columns.iter().flat_map(|list| list.iter()).chain(tables.iter()).chain(functions.iter());
        matching(names.cloned().chain(keywords), word)
    }
}

/// Words of a list that the program itself knows.
fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

/// The candidates that begin with this word, whatever their case. An empty word asks for an overview: names without a dot.
fn matching(candidates: impl Iterator<Item = String>, word: &str) -> Vec<String> {
    let word = word.to_lowercase();
    let mut found: Vec<String> = Vec::new();
    for candidate in candidates {
        let is_wanted = !(word.is_empty() && candidate.contains('.'));
        if is_wanted && candidate.to_lowercase().starts_with(&word) && !found.contains(&candidate) {
            found.push(candidate);
            if found.len() == MAX_CANDIDATES {
                break;
            }
        }
    }
    found
}

/// Where the word under the cursor begins.
fn word_start(line: &str) -> usize {
    line.char_indices().rev().find(|&(_, c)| !is_name(c)).map_or(0, |(index, c)| index + c.len_utf8())
}

impl Completer for Prompt {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..pos];
        let pairs =
            |texts: Vec<String>| texts.into_iter().map(|text| Pair { display: text.clone(), replacement: text });
        let start = word_start(before);
        if before.starts_with('\\') {
            return match before.split_once(char::is_whitespace) {
                None => Ok((0, pairs(matching(commands::names().map(str::to_owned), before)).collect())),
                Some(("\\i" | "\\o", _)) => FilenameCompleter::new().complete_path(line, pos),
                Some((command, _)) => {
                    let candidates = self.arguments(command).into_iter();
                    Ok((start, pairs(matching(candidates, &before[start..])).collect()))
                }
            };
        }
        // An empty word would offer everything there is.
        if start == pos {
            return Ok((pos, Vec::new()));
        }
        Ok((start, pairs(self.candidates(line, &before[start..])).collect()))
    }
}

impl Validator for Prompt {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        let complete = input.trim_start().starts_with('\\') || Script::parse(input).is_runnable();
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Hinter for Prompt {
    type Hint = String;
}

impl Highlighter for Prompt {}

impl Helper for Prompt {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_what_no_name_holds() {
        for (line, word) in [("select l_or", "l_or"), ("from a.b", "a.b"), ("sum(x", "x"), ("x ", ""), ("ä", "ä")] {
            assert_eq!(&line[word_start(line)..], word);
        }
    }

    #[test]
    fn candidates_ignore_case_and_repeat_nothing() {
        let names = ["Orders", "orders_old", "orders_old", "part"].map(str::to_owned);
        assert_eq!(matching(names.into_iter(), "ord"), ["Orders", "orders_old"]);
        let tables = ["orders", "public.orders"].map(str::to_owned);
        assert_eq!(matching(tables.into_iter(), ""), ["orders"]);
    }

    #[test]
    fn keywords_are_sorted_and_unique() {
        let keywords: Vec<_> = KEYWORDS.split(' ').collect();
        assert!(keywords.windows(2).all(|pair| pair[0] < pair[1]), "{keywords:?}");
    }
}
