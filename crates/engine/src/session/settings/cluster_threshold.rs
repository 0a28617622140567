//! `cluster_threshold`

use super::Setting;

use crate::units::ByteSize;

pub(super) static SETTING: Setting = Setting {
    name: "cluster_threshold",
    aliases: &[],
    kind: "size",
    default: "1GiB",
    doc: "With runner = 'auto', a query runs in the cluster if its files together are larger than this.",
    apply: |text, resolved| {
        resolved.cluster_threshold = text.parse::<ByteSize>()?.0;
        Ok(())
    },
};
