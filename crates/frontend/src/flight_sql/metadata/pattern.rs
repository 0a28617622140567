//! Patterns of names: `%` is any text, `_` any character, `\` takes the next character as it is.

/// A pattern that an identifier may match.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    Any,
    Is(char),
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            parts.push(match character {
                '%' => Part::Text,
                '_' => Part::Any,
                // At the end there is nothing to take, so that it stands for itself.
                '\\' => Part::Is(rest.next().unwrap_or('\\')),
                other => Part::Is(other),
            });
        }
        Self { text: text.to_owned(), parts }
    }

    /// Whether a name matches; without a pattern, all do.
    pub(crate) fn admits(pattern: Option<&Self>, name: &str) -> bool {
        pattern.is_none_or(|pattern| pattern.matches(name))
    }

    /// Whether a name is the pattern, letter for letter: drivers send names as patterns without escapes, and mean just that one.
    pub(crate) fn is(pattern: Option<&Self>, name: &str) -> bool {
        pattern.is_some_and(|pattern| pattern.text == name)
    }

    fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut part) = (0, 0);
        // Where the last `%` stands, and how far it reaches: what does not match makes it reach one further.
        let mut wild: Option<(usize, usize)> = None;
        while at < name.len() {
            match self.parts.get(part) {
                Some(Part::Text) => {
                    wild = Some((part, at));
                    part += 1;
                }
                Some(Part::Any) => (at, part) = (at + 1, part + 1),
                Some(Part::Is(wanted)) if name.get(at) == Some(wanted) => (at, part) = (at + 1, part + 1),
                Some(Part::Is(_)) | None => match wild {
                    Some((star, reach)) => {
                        wild = Some((star, reach + 1));
                        (at, part) = (reach + 1, star + 1);
                    }
                    None => return false,
                },
            }
        }
        self.parts[part..].iter().all(|part| *part == Part::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_sql() {
        for (pattern, name, matches) in [
            ("orders", "orders", true),
            ("orders", "order", false),
            ("%", "", true),
            ("%", "anything", true),
            ("o%s", "orders", true),
            ("o%s", "orders2", false),
            ("%e%e%e%", "lineitem", false),
            ("%i%e%m", "lineitem", true),
            ("t_x", "t_x", true),
            ("t_x", "tax", true),
            (r"t\_x", "t_x", true),
            (r"t\_x", "tax", false),
            (r"100\%", "100%", true),
            (r"100\%", "1000", false),
            ("", "", true),
            ("", "x", false),
            ("_", "ä", true),
            ("%a%aa%", "baaab", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), matches, "{name:?} LIKE {pattern:?}");
        }
    }
}
