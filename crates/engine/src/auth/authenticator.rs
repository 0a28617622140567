//! From credentials to a principal: static users and API tokens of the configuration.

use std::collections::HashMap;
use std::sync::Arc;

use argon2::password_hash::{PasswordHash, PasswordVerifier};
use argon2::{Argon2, PasswordHasher};
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Principal, Role, Secret};
use crate::error::{Error, ErrorKind, Result, Subject};

/// Who may connect.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// Whether credentials are asked for.
    pub mode: AuthMode,
    /// Users with passwords.
    pub users: Vec<UserConfig>,
    /// API tokens.
    pub tokens: Vec<TokenConfig>,
}

/// Whether credentials are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Everybody is `anonymous`, an admin. Only for loopback addresses.
    None,
    /// The users and tokens of the configuration.
    Static,
}

/// A user with a password.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// The name.
    pub name: String,
    /// The argon2 hash of the password in PHC format (`$argon2id$v=19$...`).
    pub password_hash: Secret,
    /// What the user may do.
    pub role: Role,
}

/// An API token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// What the token is for.
    pub name: String,
    /// Whom it stands for.
    pub principal: String,
    /// `sha256:` and the hexadecimal SHA-256 of the token.
    pub token_hash: Secret,
    /// What the bearer may do.
    pub role: Role,
    /// When it ends.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Checks credentials against the configuration.
pub struct Authenticator {
    mode: AuthMode,
    users: HashMap<String, UserConfig>,
    tokens: Vec<(Vec<u8>, TokenConfig)>,
    /// Verified for users that do not exist, so that the answer takes as long.
    decoy: Secret,
    /// Digests of credentials that argon2 accepted: it costs tens of milliseconds, and clients send Basic with each request.
    accepted: Mutex<HashMap<[u8; 32], Principal>>,
    /// Keys the digests above, so that they are useless outside this process.
    salt: [u8; 16],
}

/// Credentials remembered as good; past it the memory starts anew.
const ACCEPTED_MAX: usize = 1024;

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("mode", &self.mode)
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Checks the configuration itself: unreadable hashes and double names are errors at start, not at login.
    pub fn new(config: AuthConfig) -> Result<Self> {
        let mut users = HashMap::new();
        for user in config.users {
            if PasswordHash::new(user.password_hash.expose()).is_err() {
                return Err(bad(format!("auth.users: the password_hash of user '{}' is not a PHC string", user.name))
                    .hint("make one with `tidemill config hash-password`"));
            }
            if users.insert(user.name.clone(), user.clone()).is_some() {
                return Err(bad(format!("auth.users: user '{}' is declared twice", user.name)));
            }
        }
        let mut tokens = Vec::new();
        for token in config.tokens {
            let digest = token.token_hash.expose().strip_prefix("sha256:").and_then(from_hex);
            let Some(digest) = digest else {
                return Err(bad(format!(
                    "auth.tokens: the token_hash of token '{}' is not 'sha256:' and 64 hexadecimal digits",
                    token.name
                )));
            };
            tokens.push((digest, token));
        }
        if config.mode == AuthMode::Static && users.is_empty() && tokens.is_empty() {
            return Err(bad("auth.mode is 'static' but neither auth.users nor auth.tokens has an entry".to_owned()));
        }
        let salt = *uuid::Uuid::new_v4().as_bytes();
        let decoy = hash_password(&Secret::new(uuid::Uuid::new_v4().to_string()))?;
        Ok(Self { mode: config.mode, users, tokens, decoy, accepted: Mutex::default(), salt })
    }

    /// Whether a client must show credentials.
    pub fn required(&self) -> bool {
        self.mode == AuthMode::Static
    }

    /// The principal of a client without credentials.
    pub fn anonymous(&self) -> Result<Principal> {
        if self.required() {
            return Err(Error::new(ErrorKind::Unauthenticated, "credentials are required").about(Subject::Credentials));
        }
        Ok(Principal::new("anonymous", Role::Admin))
    }

    /// The principal of a user name and a password. Without authentication any name is as good as another.
    pub async fn password(self: &Arc<Self>, user: &str, password: Secret) -> Result<Principal> {
        if !self.required() {
            return self.anonymous();
        }
        if let Some(principal) = self.remembered(user, &password) {
            return Ok(principal);
        }
        let digest = self.digest(user, &password);
        let (this, name) = (Arc::clone(self), user.to_owned());
        let verified = tokio::task::spawn_blocking(move || this.verify(&name, &password)).await;
        let principal = verified.map_err(|error| Error::internal("a password check was lost").caused_by(error))??;
        let mut accepted = self.accepted.lock();
        if accepted.len() >= ACCEPTED_MAX {
            accepted.clear();
        }
        accepted.insert(digest, principal.clone());
        Ok(principal)
    }

    /// The principal of a user name and a password that were accepted before. Answers at once.
    pub fn remembered(&self, user: &str, password: &Secret) -> Option<Principal> {
        self.accepted.lock().get(&self.digest(user, password)).cloned()
    }

    /// The principal of an API token.
    pub fn token(&self, token: &Secret) -> Result<Principal> {
        if !self.required() {
            return self.anonymous();
        }
        let digest = Sha256::digest(token.expose().as_bytes());
        let mut found = None;
        for (known, entry) in &self.tokens {
            // Every entry is compared, in constant time: the time taken tells nothing.
            if bool::from(known.as_slice().ct_eq(digest.as_slice())) {
                found = Some(entry);
            }
        }
        match found {
            Some(entry) if entry.expires_at.is_none_or(|end| end > Utc::now()) => {
                Ok(Principal::new(entry.principal.as_str(), entry.role))
            }
            _ => Err(rejected()),
        }
    }

    fn verify(&self, name: &str, password: &Secret) -> Result<Principal> {
        let user = self.users.get(name);
        let expected = user.map_or(&self.decoy, |user| &user.password_hash);
        let hash = PasswordHash::new(expected.expose()).map_err(|_| rejected())?;
        let matches = Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok();
        match user {
            Some(user) if matches => Ok(Principal::new(name, user.role)),
            _ => Err(rejected()),
        }
    }

    fn digest(&self, user: &str, password: &Secret) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.salt);
        hasher.update((user.len() as u64).to_le_bytes());
        hasher.update(user.as_bytes());
        hasher.update(password.expose().as_bytes());
        hasher.finalize().into()
    }
}

/// The argon2id hash of a password in PHC format, for `auth.users`.
pub fn hash_password(password: &Secret) -> Result<Secret> {
    let salt = argon2::password_hash::SaltString::encode_b64(uuid::Uuid::new_v4().as_bytes());
    salt.and_then(|salt| {
        Argon2::default().hash_password(password.expose().as_bytes(), &salt).map(|hash| hash.to_string())
    })
    .map(Secret::new)
    .map_err(|error| Error::internal(format!("cannot hash a password: {error}")))
}

fn rejected() -> Error {
    Error::new(ErrorKind::Unauthenticated, "the credentials are wrong or expired").about(Subject::Credentials)
}

fn bad(message: String) -> Error {
    Error::invalid(message).about(Subject::Setting)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..64).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authenticator() -> Arc<Authenticator> {
        let hash = hash_password(&Secret::new("correct horse")).unwrap();
        let digest: String = Sha256::digest(b"tok").iter().map(|byte| format!("{byte:02x}")).collect();
        let token = |name: &str, expires_at| TokenConfig {
            name: name.into(),
            principal: "robot".into(),
            token_hash: Secret::new(format!("sha256:{digest}")),
            role: Role::Reader,
            expires_at,
        };
        Arc::new(
            Authenticator::new(AuthConfig {
                mode: AuthMode::Static,
                users: vec![UserConfig { name: "ann".into(), password_hash: hash, role: Role::Writer }],
                tokens: vec![token("live", None)],
            })
            .unwrap(),
        )
    }

    #[tokio::test]
    async fn only_the_right_password_opens() {
        let auth = authenticator();
        let principal = auth.password("ann", Secret::new("correct horse")).await.unwrap();
        assert_eq!((principal.name(), principal.role()), ("ann", Role::Writer));
        for (user, password) in [("ann", "wrong"), ("bob", "correct horse"), ("ann", ""), ("anncorrect", " horse")] {
            let error = auth.password(user, Secret::new(password)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
            assert!(!error.to_string().contains(user), "the answer must not tell which part was wrong");
        }
        assert!(auth.anonymous().is_err());
    }

    #[test]
    fn tokens_stand_for_their_principal() {
        let auth = authenticator();
        assert_eq!(auth.token(&Secret::new("tok")).unwrap().name(), "robot");
        assert!(auth.token(&Secret::new("tik")).is_err());
    }

    #[test]
    fn broken_configuration_is_refused_at_start() {
        let broken = AuthConfig {
            mode: AuthMode::Static,
            users: vec![UserConfig { name: "ann".into(), password_hash: Secret::new("plain"), role: Role::Reader }],
            tokens: vec![],
        };
        let error = Authenticator::new(broken).unwrap_err();
        assert!(error.message().contains("'ann'") && !error.message().contains("plain"));
    }
}
