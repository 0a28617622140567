//! Patterns over object paths: `*`, `?`, `[a-z]`, `[!a]` within a segment, `**` for any number of segments, `{a,b}` for either.

use crate::{Error, Result};

/// Alternatives that the braces of one pattern may stand for.
const MAX_ALTERNATIVES: usize = 1024;

/// A pattern over the segments of a path below some folder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Glob {
    alternatives: Vec<Vec<Segment>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Segment {
    AnyDepth,
    Name(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Char(char),
    AnyChar,
    AnyChars,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// Whether the text has a character that means something in a pattern.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[']) || text.contains('{') && text.contains('}')
}

impl Glob {
    /// # Errors
    /// `Invalid` for an unclosed bracket or brace, or too many alternatives.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut alternatives = Vec::new();
        for alternative in expand_braces(text)? {
            alternatives.push(alternative.split('/').map(Segment::parse).collect::<Result<_>>()?);
        }
        Ok(Self { alternatives })
    }

    /// Whether a path, relative to the folder of the pattern, matches.
    pub(super) fn matches(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        self.alternatives.iter().any(|segments| match_segments(segments, &names))
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self> {
        if text == "**" {
            return Ok(Self::AnyDepth);
        }
        let mut tokens = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            let token = match c {
                '*' => Token::AnyChars,
                '?' => Token::AnyChar,
                '[' => parse_class(&mut rest).ok_or_else(|| unclosed(text, '['))?,
                other => Token::Char(other),
            };
            if token != Token::AnyChars || tokens.last() != Some(&Token::AnyChars) {
                tokens.push(token);
            }
        }
        Ok(Self::Name(tokens))
    }
}

/// What follows `[`; as in a shell, `]` right after the opening stands for itself.
fn parse_class(rest: &mut std::str::Chars<'_>) -> Option<Token> {
    let mut chars = Vec::new();
    let mut negated = false;
    loop {
        match rest.next()? {
            '!' | '^' if chars.is_empty() && !negated => negated = true,
            ']' if !chars.is_empty() => break,
            c => chars.push(c),
        }
    }
    let mut ranges = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        if i + 2 < chars.len() && chars[i + 1] == '-' {
            ranges.push((chars[i], chars[i + 2]));
            i += 3;
        } else {
            ranges.push((chars[i], chars[i]));
            i += 1;
        }
    }
    Some(Token::Class { negated, ranges })
}

impl Token {
    fn matches(&self, c: char) -> bool {
        match self {
            Self::Char(wanted) => *wanted == c,
            Self::AnyChar | Self::AnyChars => true,
            Self::Class { negated, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
        }
    }
}

/// `a{b,c}d` is `abd` and `acd`; braces nest and multiply.
fn expand_braces(text: &str) -> Result<Vec<String>> {
    let mut pending = vec![text.to_owned()];
    let mut done = Vec::new();
    while let Some(text) = pending.pop() {
        let Some(open) = text.find('{') else {
            done.push(text);
            continue;
        };
        let (close, commas) = matching_brace(&text, open).ok_or_else(|| unclosed(&text, '{'))?;
        let mut from = open + 1;
        for to in commas.into_iter().chain([close]) {
            pending.push(format!("{}{}{}", &text[..open], &text[from..to], &text[close + 1..]));
            from = to + 1;
        }
        if pending.len() + done.len() > MAX_ALTERNATIVES {
            return Err(Error::invalid(format!(
                "the braces of '{text}' stand for more than {MAX_ALTERNATIVES} patterns"
            ))
            .hint("use * where the braces list many names"));
        }
    }
    Ok(done)
}

/// Where the brace at `open` closes, and the commas that are directly inside.
fn matching_brace(text: &str, open: usize) -> Option<(usize, Vec<usize>)> {
    let mut depth = 0usize;
    let mut commas = Vec::new();
    for (at, c) in text[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => commas.push(open + at),
            _ => {}
        }
        if depth == 0 {
            return Some((open + at, commas));
        }
    }
    None
}

fn unclosed(text: &str, bracket: char) -> Error {
    Error::invalid(format!("'{bracket}' is not closed in the pattern '{text}'"))
        .hint("write [[] for a bracket that stands for itself")
}

fn match_segments(segments: &[Segment], names: &[&str]) -> bool {
    wildcard(
        segments.len(),
        names.len(),
        |s| segments[s] == Segment::AnyDepth,
        |s, n| match &segments[s] {
            Segment::AnyDepth => true,
            Segment::Name(tokens) => match_name(tokens, names[n]),
        },
    )
}

fn match_name(tokens: &[Token], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    wildcard(tokens.len(), name.len(), |t| tokens[t] == Token::AnyChars, |t, n| tokens[t].matches(name[n]))
}

/// Matches a sequence against a pattern in which some elements stand for any number of items. Going back to the last such
/// element alone is enough, so the work is at most the product of the lengths.
fn wildcard(
    pattern: usize,
    items: usize,
    is_any: impl Fn(usize) -> bool,
    matches: impl Fn(usize, usize) -> bool,
) -> bool {
    let (mut p, mut i) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while i < items {
        if p < pattern && is_any(p) {
            retry = Some((p, i));
            p += 1;
        } else if p < pattern && matches(p, i) {
            p += 1;
            i += 1;
        } else if let Some((any, from)) = retry {
            retry = Some((any, from + 1));
            p = any + 1;
            i = from + 1;
        } else {
            return false;
        }
    }
    (p..pattern).all(is_any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let glob = Glob::parse(pattern).unwrap();
        for path in matching {
            assert!(glob.matches(path), "{pattern} must match {path}");
        }
        for path in other {
            assert!(!glob.matches(path), "{pattern} must not match {path}");
        }
    }

    #[test]
    fn a_star_stays_in_its_segment_and_two_stars_do_not() {
        check("*.csv", &["a.csv", ".csv"], &["x/a.csv", "a.csv.gz"]);
        check("**/*.csv", &["a.csv", "x/a.csv", "x/y/a.csv"], &["a.txt"]);
        check("year=*/**/a?.csv", &["year=2024/ab.csv", "year=2024/m=1/d=2/ax.csv"], &["ab.csv", "year=1/a.csv"]);
    }

    #[test]
    fn classes_and_braces() {
        check("part-[0-3x].{csv,json}", &["part-2.csv", "part-x.json"], &["part-4.csv", "part-2.avro"]);
        check("[!a]*", &["b"], &["a", "ab"]);
        check("{a,b{c,d}}/x", &["a/x", "bc/x", "bd/x"], &["b/x"]);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(Glob::parse("a[b").unwrap_err().message().contains("'['"));
        assert!(Glob::parse("a{b").unwrap_err().message().contains("'{'"));
    }
}
