//! Sessions: who asks, in which catalog and schema, with which settings.

mod info;
mod prepared;
mod registry;
pub(crate) mod resolved;
#[expect(clippy::module_inception, reason = "the file of the type that the folder is about")]
mod session;
mod settings;
mod statement;

pub use info::{Description, SessionInfo, SettingInfo, Validation};
pub(crate) use prepared::{Prepared, TemporaryView};
pub use registry::Sessions;
pub(crate) use resolved::Resolved;
pub use session::Session;
pub(crate) use settings::Settings;
pub use settings::setting_names;
pub(crate) use statement::Statement;
