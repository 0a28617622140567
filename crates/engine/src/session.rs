//! Sessions: who asks, in which catalog and schema, with which settings.

mod info;

pub use info::{SessionInfo, SettingInfo};
