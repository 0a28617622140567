//! The one policy check, made between planning and admission.

use super::Principal;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::plan::{Access, Effect};

/// Whether the principal may do this.
pub(crate) fn authorize(principal: &Principal, access: &Access) -> Result<()> {
    if access.read_only && access.effect > Effect::Session {
        return Err(Error::new(
            ErrorKind::Forbidden,
            "the statement writes, but the request or the session is read-only",
        )
        .about(Subject::ReadOnly)
        .hint("run it in a session with read_only off; over HTTP, send it by POST"));
    }
    if access.effect == Effect::Write && !principal.may_write() {
        let message = format!("principal '{}' may only read", principal.name());
        return Err(Error::new(ErrorKind::Forbidden, message).hint("ask an administrator for the role 'writer'"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;

    fn check(role: Role, effect: Effect, read_only: bool) -> bool {
        authorize(&Principal::new("p", role), &Access { effect, read_only, tables: vec![] }).is_ok()
    }

    #[test]
    fn readers_read_and_read_only_requests_change_nothing_but_their_session() {
        assert!(check(Role::Reader, Effect::Read, false) && check(Role::Reader, Effect::Control, false));
        assert!(!check(Role::Reader, Effect::Write, false));
        assert!(check(Role::Writer, Effect::Write, false));
        assert!(check(Role::Admin, Effect::Session, true));
        assert!(!check(Role::Admin, Effect::Control, true) && !check(Role::Admin, Effect::Write, true));
    }
}
