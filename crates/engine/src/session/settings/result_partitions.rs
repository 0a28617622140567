//! `result_partitions`

use super::Setting;

/// More endpoints than this serve no client.
const MAX: u64 = 256;

pub(super) static SETTING: Setting = Setting {
    name: "result_partitions",
    aliases: &[],
    kind: "integer",
    default: "1",
    doc: "Into how many parts Flight SQL divides a result, each to be fetched on its own; more than 1 waits for the whole result first.",
    apply: |text, _| super::integer(text, 1, MAX).map(drop),
};
