//! `catalog`

use super::Setting;

pub(super) static SETTING: Setting = Setting {
    name: "catalog",
    aliases: &["database", "datafusion.catalog.default_catalog"],
    kind: "text",
    default: "tidemill",
    doc: "The catalog of names without one.",
    apply: |text, resolved| {
        if text.is_empty() {
            return Err("accepted is the name of a catalog".to_owned());
        }
        resolved.catalog = text.to_owned();
        resolved.config.options_mut().catalog.default_catalog = text.to_owned();
        Ok(())
    },
};
