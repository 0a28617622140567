//! `system.settings`: the settings of the asking session.

use futures::FutureExt;

use crate::catalog::SessionCatalogs;
use crate::catalog::rows::{ColumnOf, VirtualTable};
use crate::session::SettingInfo;

const COLUMNS: &[ColumnOf<SettingInfo>] = &[
    ColumnOf::text("name", "its name", |row| row.name.as_str().into()),
    ColumnOf::text("value", "its value in this session", |row| row.value.as_str().into()),
    ColumnOf::text("default", "its value unless set", |row| row.default.as_str().into()),
    ColumnOf::text("kind", "what it takes", |row| row.kind.as_str().into()),
    ColumnOf::text("description", "what it does", |row| row.description.as_str().into()),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(COLUMNS, move |_| {
        let scope = catalogs.scope();
        std::future::ready(scope.census.settings(&scope.principal)).boxed()
    })
}
