//! `read_only`

use super::Setting;

pub(super) static SETTING: Setting = Setting {
    name: "read_only",
    aliases: &["default_transaction_read_only", "transaction_read_only"],
    kind: "boolean",
    default: "off",
    doc: "Refuses whatever writes.",
    apply: |text, resolved| {
        resolved.read_only = super::boolean(text)?;
        Ok(())
    },
};
