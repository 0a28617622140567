//! `row_limit`

use super::Setting;

pub(super) static SETTING: Setting = Setting {
    name: "row_limit",
    aliases: &[],
    kind: "integer",
    default: "0",
    doc: "Ends every result after this many rows; 0 does not.",
    apply: |text, resolved| {
        let rows = super::integer(text, 0, u64::MAX)?;
        resolved.row_limit = (rows > 0).then_some(rows);
        Ok(())
    },
};
