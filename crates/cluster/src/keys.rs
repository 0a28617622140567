//! Runtime filters: the keys that one stage has seen drop the rows of another that no key can match, before they are exchanged.
//!
//! In one process, a join hands the keys of its smaller side to the scans of the other one. Here the two are often in stages of
//! their own. So a stage collects the keys on its way to the join ([`KeyCollectExec`]) and tells them with the end of each of
//! its tasks, the coordinator gathers them ([`Gathered`]), and a stage that filters by them ([`KeyFilterExec`]) gets tasks when
//! all are there. Which stages do so is decided with the plan (`plan::filters`).
//!
//! Keys are compared by their hashes, which are the same in all processes of one version: a filter may let rows pass that find no
//! partner, which the join drops, and never drops one that does.

mod bloom;
mod collect;
mod filter;
mod gathered;
mod set;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;

pub(crate) use bloom::Bloom;
pub(crate) use collect::{Collected, KeyCollectExec};
pub(crate) use filter::KeyFilterExec;
pub(crate) use gathered::{Gathered, Known};

/// The number of a filter, within its plan.
pub(crate) type FilterId = u32;

/// A column that holds the keys of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) filter: FilterId,
    pub(crate) column: usize,
}

impl Key {
    fn shown(self, input: &Arc<dyn ExecutionPlan>) -> String {
        let schema = input.schema();
        let name = schema.fields().get(self.column).map_or("", |field| field.name());
        format!("filter={}, key={name}@{}", self.filter, self.column)
    }
}

/// Other than that of exchanges, so that the rows of one partition do not share a part of the hash.
const SEED: u64 = 0x7469_6465;

/// The hash of the key of each row.
fn hashes(keys: &ArrayRef, buffer: &mut Vec<u64>) -> Result<()> {
    buffer.clear();
    buffer.resize(keys.len(), 0);
    create_hashes([keys], &RandomState::with_seed(SEED), buffer).map(|_| ())
}

/// The filters that a stage collects the keys of.
pub(crate) fn collects(stage: &dyn ExecutionPlan) -> Vec<FilterId> {
    found(stage, &|node| node.downcast_ref::<KeyCollectExec>().map(|collect| collect.key().filter))
}

/// What the tasks of a stage collect, as it is executed.
pub(crate) fn collected(stage: &dyn ExecutionPlan) -> Vec<Arc<Collected>> {
    found(stage, &|node| node.downcast_ref::<KeyCollectExec>().map(KeyCollectExec::collected))
}

/// The filters of a stage whose keys it has not been told.
pub(crate) fn awaits(stage: &dyn ExecutionPlan) -> Vec<FilterId> {
    found(stage, &|node| node.downcast_ref::<KeyFilterExec>().and_then(KeyFilterExec::awaited))
}

fn found<T>(plan: &dyn ExecutionPlan, one: &dyn Fn(&dyn ExecutionPlan) -> Option<T>) -> Vec<T> {
    let below = plan.children().into_iter().flat_map(|child| found(child.as_ref(), one));
    one(plan).into_iter().chain(below).collect()
}

/// The plan of a stage with the keys that its filters wait for; nothing, if some of them are not known yet.
pub(crate) fn told(
    stage: &Arc<dyn ExecutionPlan>,
    known: impl Fn(FilterId) -> Option<Known>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let awaited = awaits(stage.as_ref());
    if awaited.is_empty() {
        return Ok(Some(Arc::clone(stage)));
    }
    let known: Option<Vec<(FilterId, Known)>> = awaited.into_iter().map(|id| Some((id, known(id)?))).collect();
    let Some(known) = known else { return Ok(None) };
    let told = Arc::clone(stage).transform_up(|node| {
        let Some(filter) = node.downcast_ref::<KeyFilterExec>() else { return Ok(Transformed::no(node)) };
        let keys = known.iter().find(|(id, _)| filter.awaited() == Some(*id));
        Ok(match keys {
            Some((_, Known::Keys(keys))) => {
                Transformed::yes(Arc::new(filter.with_keys(keys)) as Arc<dyn ExecutionPlan>)
            }
            Some((_, Known::TooMany)) => Transformed::yes(Arc::clone(filter.input())),
            None => Transformed::no(node),
        })
    });
    told.data().map(Some)
}
