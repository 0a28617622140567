//! `priority`

use super::Setting;

use crate::session::resolved::Priority;

pub(super) static SETTING: Setting = Setting {
    name: "priority",
    aliases: &[],
    kind: "low, normal, high",
    default: "normal",
    doc: "Who goes first when queries wait for permits.",
    apply: |text, resolved| {
        resolved.priority = match text.to_ascii_lowercase().as_str() {
            "low" => Priority::Low,
            "normal" => Priority::Normal,
            "high" => Priority::High,
            _ => return Err("accepted are low, normal, high".to_owned()),
        };
        Ok(())
    },
};
