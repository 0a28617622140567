//! `wire_views`

use super::Setting;

pub(super) static SETTING: Setting = Setting {
    name: "wire_views",
    aliases: &[],
    kind: "boolean",
    default: "off",
    doc: "Sends view types (Utf8View, BinaryView) as they are instead of as plain types.",
    apply: |text, resolved| {
        resolved.wire_views = super::boolean(text)?;
        Ok(())
    },
};
