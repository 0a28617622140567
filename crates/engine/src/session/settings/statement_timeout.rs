//! `statement_timeout`

use super::Setting;

use crate::units::Span;

pub(super) static SETTING: Setting = Setting {
    name: "statement_timeout",
    aliases: &[],
    kind: "duration",
    default: "0",
    doc: "Deadline for queueing, planning, running and fetching together; 0 means none. A number without a unit counts milliseconds.",
    apply: |text, resolved| {
        resolved.statement_timeout = text.parse::<Span>()?.limit();
        Ok(())
    },
};
