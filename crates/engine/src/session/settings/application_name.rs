//! `application_name`

use super::Setting;

const MAX: usize = 256;

pub(super) static SETTING: Setting = Setting {
    name: "application_name",
    aliases: &[],
    kind: "text",
    default: "",
    doc: "The name of the client program, kept in the history of queries.",
    apply: |text, resolved| {
        if text.len() > MAX {
            return Err(format!("accepted is text of at most {MAX} bytes"));
        }
        resolved.application_name = (!text.is_empty()).then(|| text.to_owned());
        Ok(())
    },
};
