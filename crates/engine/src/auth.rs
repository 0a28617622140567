//! Who may ask, and for what.

mod authenticator;
pub(crate) mod policy;
mod principal;
mod secret;

pub use authenticator::{AuthConfig, AuthMode, Authenticator, TokenConfig, UserConfig, hash_password};
pub use principal::{Principal, Role};
pub use secret::Secret;
