//! Who asks.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An authenticated user. Every listing and every policy check takes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    name: Arc<str>,
    role: Role,
}

/// What a principal may do, from most to least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, including to see and to cancel the queries of others.
    Admin,
    /// Read, create, change and drop tables and views.
    Writer,
    /// Read.
    Reader,
}

impl Principal {
    /// A principal of this name and role.
    pub fn new(name: impl Into<Arc<str>>, role: Role) -> Self {
        Self { name: name.into(), role }
    }

    /// The name, unique among principals.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether it may see and end what belongs to `owner`.
    pub fn may_manage(&self, owner: &str) -> bool {
        self.role == Role::Admin || self.name() == owner
    }

    /// Whether it may look at the server itself and change how it works.
    pub fn may_administer(&self) -> bool {
        self.role == Role::Admin
    }

    /// Whether it may create, change and drop.
    pub fn may_write(&self) -> bool {
        match self.role {
            Role::Admin | Role::Writer => true,
            Role::Reader => false,
        }
    }
}
