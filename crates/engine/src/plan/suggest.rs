//! Names that the user may have meant.

/// At most this many suggestions.
const MAX: usize = 3;

/// The known names most like `name`, best first: those within a third of its length, by Damerau-Levenshtein distance.
pub(crate) fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wanted = name.to_lowercase();
    let reach = (wanted.chars().count() / 3).max(1);
    let mut ranked: Vec<(usize, &str)> = known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= reach)
        .collect();
    ranked.sort();
    ranked.dedup();
    ranked.into_iter().take(MAX).map(|(_, candidate)| candidate.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(closest("amout", ["amount", "account", "id"]), ["amount"]);
        assert_eq!(closest("ORDERS", ["orders"]), ["orders"]);
        assert!(closest("x", ["customer"]).is_empty());
    }
}
