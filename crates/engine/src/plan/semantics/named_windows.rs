//! Windows that `WINDOW` names, wherever a select uses them. DataFusion knows them as `OVER w` in the select list alone, and
//! passes over the name in `OVER (w ORDER BY ...)`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Query, Select, SetExpr, VisitMut, VisitorMut, WindowSpec,
    WindowType,
};

use crate::error::{Error, Place, Result, Subject};
use crate::plan::classify::normal;
use crate::plan::parameters::visit_inner;

/// Writes each use of a named window as the window itself.
///
/// # Errors
/// For a name that is not defined, and a window that defines again what the named one does.
pub(in crate::plan) fn open_windows(statement: &mut Statement) -> Result<()> {
    settled(visit_inner(statement, &mut Selects))
}

fn settled(flow: ControlFlow<Error>) -> Result<()> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Selects;

impl VisitorMut for Selects {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let SetExpr::Select(select) = query.body.as_ref() else { return ControlFlow::Continue(()) };
        if select.named_window.is_empty() {
            return ControlFlow::Continue(());
        }
        match Windows::of(&select.named_window) {
            Ok(windows) => query.order_by.visit(&mut Uses { windows: &windows, depth: 0 }),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let windows = match Windows::of(&select.named_window) {
            Ok(windows) => windows,
            Err(error) => return ControlFlow::Break(error),
        };
        let mut uses = Uses { windows: &windows, depth: 0 };
        select.projection.visit(&mut uses)?;
        select.qualify.visit(&mut uses)
    }
}

/// The windows of a select by their names, none of which names another any more.
struct Windows(BTreeMap<String, WindowSpec>);

impl Windows {
    fn of(definitions: &[NamedWindowDefinition]) -> Result<Self> {
        let mut windows = Self(BTreeMap::new());
        for NamedWindowDefinition(name, window) in definitions {
            let window = match window {
                NamedWindowExpr::NamedWindow(other) => windows.named(other)?.clone(),
                NamedWindowExpr::WindowSpec(window) => windows.opened(window.clone())?,
            };
            if windows.0.insert(normal(name), window).is_some() {
                return Err(about(Error::invalid(format!("window '{name}' is defined twice")), name));
            }
        }
        Ok(windows)
    }

    fn named(&self, name: &Ident) -> Result<&WindowSpec> {
        let known = self.0.get(&normal(name));
        known.ok_or_else(|| {
            about(Error::invalid(format!("window '{name}' is not defined")), name)
                .hint("name it in WINDOW, behind those that it is made of")
        })
    }

    /// The window with what the one that it names says.
    fn opened(&self, mut window: WindowSpec) -> Result<WindowSpec> {
        let Some(name) = window.window_name.take() else { return Ok(window) };
        let base = self.named(&name)?;
        let again =
            |what| Err(about(Error::invalid(format!("the {what} of window '{name}' can not be changed")), &name));
        if !window.partition_by.is_empty() {
            return again("PARTITION BY");
        }
        if !window.order_by.is_empty() && !base.order_by.is_empty() {
            return again("ORDER BY");
        }
        if base.window_frame.is_some() {
            return again("frame");
        }
        window.partition_by.clone_from(&base.partition_by);
        if window.order_by.is_empty() {
            window.order_by.clone_from(&base.order_by);
        }
        Ok(window)
    }

    fn used(&self, over: &mut WindowType) -> Result<()> {
        match over {
            WindowType::NamedWindow(name) => *over = WindowType::WindowSpec(self.named(name)?.clone()),
            WindowType::WindowSpec(window) if window.window_name.is_some() => *window = self.opened(window.clone())?,
            WindowType::WindowSpec(_) => {}
        }
        Ok(())
    }
}

fn about(error: Error, name: &Ident) -> Error {
    error.about(Subject::Syntax).at_place(Place::of(name.span))
}

/// The calls of a select, without those of its subqueries.
struct Uses<'a> {
    windows: &'a Windows,
    depth: usize,
}

impl VisitorMut for Uses<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        let Some(over) = call.over.as_mut().filter(|_| self.depth == 0) else { return ControlFlow::Continue(()) };
        match self.windows.used(over) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}
