//! `memory_limit`

use super::Setting;

use crate::units::Share;

pub(super) static SETTING: Setting = Setting {
    name: "memory_limit",
    aliases: &[],
    kind: "size or share",
    default: "0",
    doc: "What one query may reserve, such as 512MiB, or 20% of the server's limit; 0 leaves it to memory.per_query of the server.",
    apply: |text, resolved| {
        resolved.memory_limit = match text.parse::<Share>()? {
            Share::Bytes(size) if size.0 == 0 => None,
            share => Some(share),
        };
        Ok(())
    },
};
