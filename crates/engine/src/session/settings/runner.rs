//! `runner`

use super::Setting;

use crate::session::resolved::RunnerChoice;

pub(super) static SETTING: Setting = Setting {
    name: "runner",
    aliases: &[],
    kind: "auto, local, cluster",
    default: "auto",
    doc: "Where queries run: locally, in the cluster or not at all, or where they are over first.",
    apply: |text, resolved| {
        resolved.runner = match text.to_ascii_lowercase().as_str() {
            "auto" => RunnerChoice::Auto,
            "local" => RunnerChoice::Local,
            "cluster" => RunnerChoice::Cluster,
            _ => return Err("accepted are auto, local, cluster".to_owned()),
        };
        Ok(())
    },
};
