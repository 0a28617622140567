//! Names of columns for formats in which each may occur only once.

use std::collections::HashSet;

use arrow::datatypes::Fields;

/// The names of these fields; a name that stood before gets `_2`, `_3`, ..., whichever no other field has.
pub(crate) fn unique_names(fields: &Fields) -> Vec<String> {
    let given: HashSet<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let mut taken: HashSet<String> = HashSet::with_capacity(fields.len());
    fields
        .iter()
        .map(|field| {
            let mut name = field.name().clone();
            let mut n = 2_usize;
            while taken.contains(&name) || (n > 2 && given.contains(name.as_str())) {
                name = format!("{}_{n}", field.name());
                n += 1;
            }
            taken.insert(name.clone());
            name
        })
        .collect()
}
