//! How often a query reads tables, and how deep its plan is at least, with common table expressions written out: expressions
//! that each name the one before twice are short to write and longer to plan than anybody can wait.

use std::collections::{HashMap, VecDeque};

use datafusion::sql::sqlparser::ast::{ObjectName, ObjectNamePart, Query};

use crate::plan::classify::normal;

/// The queries that a visitor is in, from the outermost one.
#[derive(Default)]
pub(super) struct Mentions {
    open: Vec<Reads>,
}

/// What one query reads.
#[derive(Default)]
struct Reads {
    /// Its common table expressions that the visitor has not left yet: it comes to them first, in their order.
    expressions: VecDeque<String>,
    /// Reads and depth of the others, by name.
    known: HashMap<String, (usize, usize)>,
    count: usize,
    /// Operators below its own.
    depth: usize,
}

impl Mentions {
    pub(super) fn enter(&mut self, query: &Query) {
        let expressions = query.with.iter().flat_map(|with| &with.cte_tables);
        let expressions = expressions.map(|expression| normal(&expression.alias.name)).collect();
        self.open.push(Reads { expressions, ..Reads::default() });
    }

    /// Counts a table that is named; how many the query reads by now.
    pub(super) fn read(&mut self, name: &ObjectName) -> usize {
        let reads = match name.0.as_slice() {
            [ObjectNamePart::Identifier(name)] => {
                let name = normal(name);
                self.open.iter().rev().find_map(|query| query.known.get(&name).copied())
            }
            _ => None,
        };
        let (reads, depth) = reads.unwrap_or((1, 1));
        self.add(reads, depth)
    }

    /// Ends the innermost query; how many the one around it reads by now, and how deep the one that ends is.
    pub(super) fn leave(&mut self) -> (usize, usize) {
        let (count, depth) = self.open.pop().map_or((0, 0), |query| (query.count.max(1), query.depth + 1));
        if let Some(around) = self.open.last_mut()
            && let Some(name) = around.expressions.pop_front()
        {
            around.known.insert(name, (count, depth));
            return (around.count, depth);
        }
        (self.add(count, depth), depth)
    }

    fn add(&mut self, reads: usize, depth: usize) -> usize {
        let Some(query) = self.open.last_mut() else { return 0 };
        query.count = query.count.saturating_add(reads);
        query.depth = query.depth.max(depth);
        query.count
    }
}
