//! Cuts a script into statements at its semicolons, knowing quotes and comments but no SQL.

/// One statement of a script, without its semicolon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    /// The text, without blanks around it.
    pub(crate) text: &'a str,
    /// The line of the script it begins at, from 1.
    pub(crate) line: usize,
}

/// A script, cut.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Script<'a> {
    /// The statements that a semicolon ends.
    pub(crate) complete: Vec<Statement<'a>>,
    /// What follows the last semicolon, unless it is blank or all comment.
    pub(crate) rest: Option<Statement<'a>>,
    /// Whether the script ends inside a quote or a block comment.
    pub(crate) open: bool,
}

impl<'a> Script<'a> {
    /// Cuts `text`.
    pub(crate) fn parse(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let mut script = Self::default();
        let mut begin = 0;
        let mut has_tokens = false;
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == b';' {
                if has_tokens {
                    script.complete.push(statement(text, begin, at));
                }
                (begin, has_tokens) = (at + 1, false);
                at += 1;
                continue;
            }
            let Lexeme { end, kind, open } = lexeme(bytes, at);
            has_tokens |= kind == Kind::Token;
            script.open = open;
            at = end;
        }
        script.rest = has_tokens.then(|| statement(text, begin, text.len()));
        script
    }

    /// All statements, the last one with or without its semicolon.
    pub(crate) fn statements(&self) -> impl Iterator<Item = Statement<'a>> {
        self.complete.iter().copied().chain(self.rest)
    }

    /// Whether a shell can run this as it stands rather than ask for another line.
    pub(crate) fn is_runnable(&self) -> bool {
        !self.open && self.rest.is_none()
    }
}

fn statement(text: &str, begin: usize, end: usize) -> Statement<'_> {
    let body = &text[begin..end];
    let trimmed = body.trim_start();
    let start = begin + (body.len() - trimmed.len());
    let line = 1 + text[..start].bytes().filter(|&byte| byte == b'\n').count();
    Statement { text: trimmed.trim_end(), line }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Blanks and comments, which make no statement.
    Blank,
    Token,
}

struct Lexeme {
    end: usize,
    kind: Kind,
    open: bool,
}

/// The lexeme at `at`, which is not a semicolon. Every delimiter is ASCII, so bytes will do.
fn lexeme(bytes: &[u8], at: usize) -> Lexeme {
    let (end, kind) = match (bytes[at], bytes.get(at + 1)) {
        (b'\'', _) if has_escape_prefix(bytes, at) => (escaped_quote_end(bytes, at + 1), Kind::Token),
        (quote @ (b'\'' | b'"' | b'`'), _) => (find(bytes, at + 1, &[quote]), Kind::Token),
        (b'-', Some(b'-')) => (Some(find(bytes, at + 2, b"\n").unwrap_or(bytes.len())), Kind::Blank),
        (b'/', Some(b'*')) => (block_comment_end(bytes, at + 2), Kind::Blank),
        (b'$', _) => match dollar_tag(bytes, at) {
            Some(tag) => (find(bytes, at + tag.len(), tag), Kind::Token),
            None => (Some(at + 1), Kind::Token),
        },
        (byte, _) if byte.is_ascii_whitespace() => (Some(at + 1), Kind::Blank),
        _ => (Some(at + 1), Kind::Token),
    };
    Lexeme { end: end.unwrap_or(bytes.len()), kind, open: end.is_none() }
}

/// The position after the next `pattern`. A doubled quote ends one literal and begins the next, which cuts the same.
fn find(bytes: &[u8], from: usize, pattern: &[u8]) -> Option<usize> {
    let found = bytes.get(from..)?.windows(pattern.len()).position(|window| window == pattern)?;
    Some(from + found + pattern.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Whether the quote at `at` opens an `E'...'` literal, where a backslash escapes.
fn has_escape_prefix(bytes: &[u8], at: usize) -> bool {
    let mut before = bytes[..at].iter().rev();
    matches!(before.next(), Some(b'e' | b'E')) && !before.next().is_some_and(|&byte| is_word(byte))
}

fn escaped_quote_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'\'' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

fn block_comment_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 1;
    let mut at = from;
    while depth > 0 {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (b'*', Some(b'/')) => (depth, at) = (depth - 1, at + 2),
            (b'/', Some(b'*')) => (depth, at) = (depth + 1, at + 2),
            _ => at += 1,
        }
    }
    Some(at)
}

/// The `$tag$` that opens a dollar quote at `at`; `$1` is a parameter and `a$b` a name.
fn dollar_tag(bytes: &[u8], at: usize) -> Option<&[u8]> {
    if at > 0 && is_word(bytes[at - 1]) {
        return None;
    }
    let name = bytes[at + 1..].iter().take_while(|&&byte| is_word(byte)).count();
    let starts_with_digit = bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
    let end = at + 1 + name;
    (!starts_with_digit && bytes.get(end) == Some(&b'$')).then(|| &bytes[at..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<&str> {
        Script::parse(script).statements().map(|statement| statement.text).collect()
    }

    #[test]
    fn cuts_at_semicolons_and_keeps_the_last_without_one() {
        assert_eq!(texts("select 1; select 2 ;\n\n select 3"), ["select 1", "select 2", "select 3"]);
        assert_eq!(texts(" ;; -- nothing\n ; /* nor here */ "), [""; 0]);
    }

    #[test]
    fn quotes_and_comments_hide_semicolons() {
        for whole in [
            "select ';'",
            "select 'it''s; fine'",
            r"select E'a\';b'",
            r#"select "a;b", `c;d`"#,
            "select $$a;b$$, $x$;$$;$x$",
            "select 1 -- a; b\n, 2",
            "select /* a; /* b; */ c; */ 1",
            "select 'ü;ü', \"名;\"",
        ] {
            assert_eq!(texts(&format!("{whole};select 2")), [whole, "select 2"]);
        }
    }

    #[test]
    fn a_plain_string_knows_no_backslash_and_a_parameter_is_no_quote() {
        assert_eq!(texts(r"select 'a\'; select 2"), [r"select 'a\'", "select 2"]);
        assert_eq!(texts("select $1; select $2"), ["select $1", "select $2"]);
        assert_eq!(texts("select a$b$; select 2"), ["select a$b$", "select 2"]);
        assert_eq!(texts(r"select name'\'; select 2"), [r"select name'\'", "select 2"]);
    }

    #[test]
    fn statements_know_their_line() {
        let script = Script::parse("select 1;\n\nselect\n 2;\nselect 3");
        assert_eq!(script.statements().map(|statement| statement.line).collect::<Vec<_>>(), [1, 3, 5]);
    }

    #[test]
    fn a_shell_waits_for_the_semicolon_and_the_closing_quote() {
        for runnable in ["", "select 1;", "select 1; -- done", "select ';';"] {
            assert!(Script::parse(runnable).is_runnable(), "{runnable}");
        }
        for unfinished in ["select 1", "select 'a;", "select 1; /* a", "select $$ a;", "select 1; select"] {
            assert!(!Script::parse(unfinished).is_runnable(), "{unfinished}");
        }
    }
}
