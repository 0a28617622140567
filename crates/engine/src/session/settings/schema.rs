//! `schema`

use super::Setting;

pub(super) static SETTING: Setting = Setting {
    name: "schema",
    aliases: &["search_path", "datafusion.catalog.default_schema"],
    kind: "text",
    default: "public",
    doc: "The schema of names without one.",
    apply: |text, resolved| {
        let name = text.trim_matches('"');
        if name.is_empty() || name.contains(',') {
            return Err("accepted is the name of one schema".to_owned());
        }
        resolved.schema = name.to_owned();
        resolved.config.options_mut().catalog.default_schema = name.to_owned();
        Ok(())
    },
};
