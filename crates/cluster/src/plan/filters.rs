//! Where a plan gets runtime filters: which keys are collected, and which rows are dropped by them.
//!
//! A join whose sides are exchanged hands nothing from one to the other while they are computed. If its left side, the smaller
//! one as far as the planner can tell, drops rows by a condition of its own, its keys are worth knowing before the right side is
//! exchanged: they filter the tables below, down through further joins, aggregates and exchanges, as far as a key can be
//! followed. Only rows are dropped that no row of the result could come from.
//!
//! What filters waits for what collects. Both are below the join, the one on its left, the other on its right; so whatever waits
//! does so for stages further left, and never in a circle.

mod columns;
#[cfg(test)]
mod tests;
mod tree;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::{JoinType, NullEquality};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr, replace_children_if_necessary,
};

use super::joins::comes_from_left;
use crate::keys::{FilterId, Key, KeyCollectExec, KeyFilterExec};

use columns::{below, is_exchange, is_key_type};
use tree::{At, Tree};

/// A side of a join is exchanged for its keys alone only if the other has so many times its rows.
const WORTH_AN_EXCHANGE: usize = 4;

/// The plan with its runtime filters, of tables with at least `rows` rows; nothing, if it has none.
pub(super) fn add(plan: &Arc<dyn ExecutionPlan>, rows: u64) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let tree = Tree::of(plan);
    let mut filters = Filters {
        tree: &tree,
        rows,
        next: 0,
        collects: BTreeMap::new(),
        filters: BTreeMap::new(),
        exchanges: BTreeMap::new(),
    };
    // Inputs have higher numbers than what reads them: those joins come first that have their keys from further down.
    for at in (0..tree.len()).rev() {
        filters.join(at);
    }
    if filters.filters.is_empty() {
        return Ok(None);
    }
    filters.built(0).map(Some)
}

/// Rows that can be dropped by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    /// The operator whose rows they are.
    at: At,
    column: usize,
    /// Whether all rows with a key that is dropped must be.
    whole: bool,
}

/// What is added to which operator.
struct Filters<'a> {
    tree: &'a Tree,
    rows: u64,
    next: FilterId,
    /// On top of an operator: the keys that are collected there, and the filters that drop rows of it.
    collects: BTreeMap<At, Vec<Key>>,
    filters: BTreeMap<At, Vec<(FilterId, Target)>>,
    /// On top of an operator and what is collected there: the keys that it is exchanged by.
    exchanges: BTreeMap<At, Vec<Arc<dyn PhysicalExpr>>>,
}

impl Filters<'_> {
    /// Filters what is on the right of a join by the keys of what is on its left.
    fn join(&mut self, at: At) {
        let Some(join) = self.tree.plan(at).downcast_ref::<HashJoinExec>() else { return };
        let [left, right] = *self.tree.children(at) else { return };
        if !drops_from_right(join) {
            return;
        }
        for (left_key, right_key) in join.on() {
            let keys = left_key.downcast_ref::<Column>().zip(right_key.downcast_ref::<Column>());
            let Some((left_key, right_key)) = keys else { continue };
            let types = [(left, left_key), (right, right_key)].map(|(side, key)| self.type_of(side, key.index()));
            if types[0] != types[1] || !is_key_type(&types[0]) {
                continue;
            }
            let mut targets = Vec::new();
            let right = Target { at: right, column: right_key.index(), whole: false };
            self.targets(right, false, &mut targets);
            if targets.is_empty() {
                continue;
            }
            if let Some(id) = self.source(join, left, left_key.index(), &targets) {
                for target in targets {
                    let filters = self.filters.entry(target.at).or_default();
                    match filters.iter_mut().find(|(known, of)| (*known, of.column) == (id, target.column)) {
                        Some((_, known)) => known.whole |= target.whole,
                        None => filters.push((id, target)),
                    }
                }
            }
        }
    }

    fn type_of(&self, at: At, column: usize) -> arrow::datatypes::DataType {
        self.tree.plan(at).schema().field(column).data_type().clone()
    }

    /// Finds where rows can be dropped, in stages below this one, so that rows are missing from `of` that its key drops.
    fn targets(&self, of: Target, exchanged: bool, found: &mut Vec<Target>) {
        let (node, inputs) = (self.tree.plan(of.at), self.tree.children(of.at));
        let exchanged = exchanged || is_exchange(node) || self.exchanges.contains_key(&of.at);
        let below = if self.is_cheap(of.at) { None } else { below(node, of.column) };
        let Some(below) = below else {
            if exchanged && self.is_large(of.at) {
                found.push(of);
            }
            return;
        };
        for (input, column) in below.inputs {
            let whole = of.whole || below.whole;
            self.targets(Target { at: inputs[input], column, whole }, exchanged, found);
        }
    }

    /// Whether it is a condition on what a scan reads, after which there are fewer rows to look at.
    fn is_cheap(&self, at: At) -> bool {
        let is_scan = |child: &At| self.tree.children(*child).is_empty();
        self.tree.plan(at).is::<FilterExec>() && self.tree.children(at).iter().all(is_scan)
    }

    /// Whether enough rows are read below.
    fn is_large(&self, at: At) -> bool {
        self.scanned(at).is_some_and(|rows| rows as u64 >= self.rows)
    }

    /// The rows of the largest table below, as far as they are known.
    fn scanned(&self, at: At) -> Option<usize> {
        if self.tree.plan(at).is::<DataSourceExec>() {
            return self.estimated(at);
        }
        self.tree.children(at).iter().filter_map(|child| self.scanned(*child)).max()
    }

    fn estimated(&self, at: At) -> Option<usize> {
        let statistics = StatisticsContext::new().compute(self.tree.plan(at).as_ref(), &StatisticsArgs::new()).ok()?;
        match statistics.num_rows {
            Precision::Exact(rows) | Precision::Inexact(rows) => Some(rows),
            Precision::Absent => None,
        }
    }

    /// The filter that collects the keys in this column of the left side of a join, if that is worth it.
    fn source(&mut self, join: &HashJoinExec, left: At, column: usize, targets: &[Target]) -> Option<FilterId> {
        if let Some(known) = self.known(left, column) {
            return Some(known);
        }
        if !self.is_selective(left) {
            return None;
        }
        // What is exchanged anyway tells its keys for nothing.
        if is_exchange(self.tree.plan(left)) {
            let input = *self.tree.children(left).first()?;
            return Some(self.collect(input, column));
        }
        let rows = self.estimated(left);
        let filtered = targets.iter().filter_map(|target| self.scanned(target.at)).max()?;
        let few = rows.is_some_and(|rows| rows <= filtered / WORTH_AN_EXCHANGE);
        if !few || *join.partition_mode() != PartitionMode::Partitioned {
            return None;
        }
        self.exchanges.insert(left, join.on().iter().map(|(key, _)| Arc::clone(key)).collect());
        Some(self.collect(left, column))
    }

    /// A filter that collects these keys already, or more of them: between it and here, only rows without a partner are dropped.
    fn known(&self, at: At, column: usize) -> Option<FilterId> {
        let mut collected = self.collects.get(&at).into_iter().flatten();
        if let Some(key) = collected.find(|key| key.column == column) {
            return Some(key.filter);
        }
        let node = self.tree.plan(at);
        let hands_on = is_exchange(node) || node.is::<ProjectionExec>();
        if !hands_on && !node.downcast_ref::<HashJoinExec>().is_some_and(only_drops) {
            return None;
        }
        let (input, column) = *below(node, column)?.inputs.first()?;
        self.known(self.tree.children(at)[input], column)
    }

    fn collect(&mut self, at: At, column: usize) -> FilterId {
        let id = self.next;
        self.next += 1;
        self.collects.entry(at).or_default().push(Key { filter: id, column });
        id
    }

    /// Whether something below drops rows.
    fn is_selective(&self, at: At) -> bool {
        let node = self.tree.plan(at);
        let drops = node.is::<FilterExec>() || node.downcast_ref::<HashJoinExec>().is_some_and(only_drops);
        drops
            || self.filters.contains_key(&at)
            || scans_some(node)
            || self.tree.children(at).iter().any(|child| self.is_selective(*child))
    }

    /// The plan from an operator down, with what was added.
    fn built(&self, at: At) -> Result<Arc<dyn ExecutionPlan>> {
        let children = self.tree.children(at).iter().map(|child| self.built(*child)).collect::<Result<Vec<_>>>()?;
        let mut plan = replace_children_if_necessary(Arc::clone(self.tree.plan(at)), children)?;
        for (id, target) in self.filters.get(&at).into_iter().flatten() {
            plan = Arc::new(KeyFilterExec::new(plan, Key { filter: *id, column: target.column }, target.whole));
        }
        for key in self.collects.get(&at).into_iter().flatten() {
            plan = Arc::new(KeyCollectExec::new(plan, *key));
        }
        if let Some(keys) = self.exchanges.get(&at) {
            let partitions = plan.output_partitioning().partition_count();
            plan = Arc::new(RepartitionExec::try_new(plan, Partitioning::Hash(keys.clone(), partitions))?);
        }
        Ok(plan)
    }
}

/// Whether the join needs of its right side only rows whose key is on its left.
fn drops_from_right(join: &HashJoinExec) -> bool {
    // With NOT IN, a null on the right drops all rows of the left; where nulls are equal, one has a partner.
    let nulls_are_none = !join.null_aware && join.null_equality() == NullEquality::NullEqualsNothing;
    nulls_are_none && (comes_from_left(*join.join_type()) || *join.join_type() == JoinType::RightSemi)
}

/// Whether the rows of the join are rows of one of its sides.
fn only_drops(join: &HashJoinExec) -> bool {
    use JoinType::{LeftAnti, LeftSemi, RightAnti, RightSemi};
    matches!(join.join_type(), LeftAnti | LeftSemi | RightAnti | RightSemi)
}

/// Whether it is a scan that leaves rows out.
fn scans_some(node: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(scan) = node.downcast_ref::<DataSourceExec>() else { return false };
    let source: &dyn Any = scan.data_source().as_ref();
    let files = source.downcast_ref::<FileScanConfig>();
    files.is_some_and(|files| files.file_source().filter().is_some())
}
