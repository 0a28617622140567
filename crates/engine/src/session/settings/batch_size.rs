//! `batch_size`

use super::Setting;

pub(super) static SETTING: Setting = Setting {
    name: "batch_size",
    aliases: &["datafusion.execution.batch_size"],
    kind: "integer",
    default: "8192",
    doc: "Rows per batch between operators.",
    apply: |text, resolved| {
        let rows = super::integer(text, 1, 1 << 20)?;
        resolved.config = std::mem::take(&mut resolved.config).with_batch_size(rows as usize);
        Ok(())
    },
};
