//! `ipc_compression`

use super::Setting;

pub(super) static SETTING: Setting = Setting {
    name: "ipc_compression",
    aliases: &[],
    kind: "none, lz4 or zstd",
    default: "none",
    doc: "Compresses the buffers of Arrow batches that leave through Flight SQL.",
    apply: |text, _| match text {
        "none" | "lz4" | "zstd" => Ok(()),
        _ => Err("none, lz4 or zstd".to_owned()),
    },
};
