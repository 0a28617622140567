//! `target_partitions`

use super::Setting;

use crate::run::CpuThreads;

pub(super) static SETTING: Setting = Setting {
    name: "target_partitions",
    aliases: &["datafusion.execution.target_partitions"],
    kind: "integer",
    default: "0",
    doc: "Partitions that run in parallel; 0 means one per thread of the server's CPU pool.",
    apply: |text, resolved| {
        let count = super::integer(text, 0, 4096)? as usize;
        let threads = resolved.config.get_extension::<CpuThreads>().map_or(1, |threads| threads.0);
        let count = if count == 0 { threads } else { count };
        resolved.config = std::mem::take(&mut resolved.config).with_target_partitions(count);
        Ok(())
    },
};
