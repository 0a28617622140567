//! `result_cache`

use super::Setting;

pub(super) static SETTING: Setting = Setting {
    name: "result_cache",
    aliases: &[],
    kind: "boolean",
    default: "on",
    doc: "Answers from the result cache where that equals a run, and keeps results there. What a request says wins.",
    apply: |text, resolved| {
        resolved.result_cache = super::boolean(text)?;
        Ok(())
    },
};
