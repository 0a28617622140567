//! Relations in another form that means the same, where DataFusion reads the first one wrong.

use datafusion_substrait::substrait::proto::extensions::AdvancedExtension;
use datafusion_substrait::substrait::proto::rel::RelType;
use datafusion_substrait::substrait::proto::rel_common::{Emit, EmitKind};
use datafusion_substrait::substrait::proto::set_rel::SetOp;
use datafusion_substrait::substrait::proto::{FilterRel, Rel, RelCommon, SetRel};

use super::{malformed, unsupported};
use crate::error::Result;

/// Inputs of an intersection or a difference, which nest.
const MAX_NESTED_INPUTS: usize = 64;

/// What all kinds of relations that are read have: the part that is common to all relations, and an extension.
pub(super) fn attached(kind: &RelType) -> (Option<&RelCommon>, Option<&AdvancedExtension>) {
    macro_rules! both {
        ($relation:expr) => {
            ($relation.common.as_ref(), $relation.advanced_extension.as_ref())
        };
    }
    match kind {
        RelType::Read(relation) => both!(relation),
        RelType::Filter(relation) => both!(relation),
        RelType::Fetch(relation) => both!(relation),
        RelType::Aggregate(relation) => both!(relation),
        RelType::Sort(relation) => both!(relation),
        RelType::Join(relation) => both!(relation),
        RelType::Project(relation) => both!(relation),
        RelType::Set(relation) => both!(relation),
        RelType::Cross(relation) => both!(relation),
        RelType::Exchange(relation) => both!(relation),
        _ => (None, None),
    }
}

/// The columns that a relation gives, if it does not give all.
pub(super) fn emitted(kind: &RelType) -> Option<&[i32]> {
    match attached(kind).0?.emit_kind.as_ref()? {
        EmitKind::Emit(Emit { output_mapping }) => Some(output_mapping),
        EmitKind::Direct(_) => None,
    }
}

fn emit(columns: Vec<i32>) -> RelCommon {
    RelCommon { emit_kind: Some(EmitKind::Emit(Emit { output_mapping: columns })), ..RelCommon::default() }
}

/// A read that filters becomes a filter of a read: a table may pass over the filter of a scan, and rely on whoever scans to
/// apply it. Columns that it chooses become columns that it emits: a view can do only that.
pub(super) fn read(relation: &mut Rel) -> Result<()> {
    let Some(RelType::Read(read)) = relation.rel_type.as_mut() else { return Ok(()) };
    let emitted = read.common.take().and_then(|common| match common.emit_kind {
        Some(EmitKind::Emit(Emit { output_mapping })) => Some(output_mapping),
        Some(EmitKind::Direct(_)) | None => None,
    });
    let mask = read.projection.take().and_then(|mask| mask.select);
    let chosen: Option<Vec<i32>> =
        mask.map(|columns| columns.struct_items.into_iter().map(|column| column.field).collect());
    let columns = match (chosen, emitted) {
        (Some(chosen), Some(emitted)) => {
            let column = |at: i32| usize::try_from(at).ok().and_then(|at| chosen.get(at).copied());
            let columns: Option<Vec<i32>> = emitted.into_iter().map(column).collect();
            Some(columns.ok_or_else(|| malformed("a ReadRel emits columns that it does not choose"))?)
        }
        (chosen, emitted) => chosen.or(emitted),
    };
    let common = columns.map(emit);
    match read.filter.take() {
        None => read.common = common,
        Some(condition) => {
            let input = Some(Box::new(std::mem::take(relation)));
            let filter = FilterRel { common, input, condition: Some(condition), advanced_extension: None };
            relation.rel_type = Some(RelType::Filter(Box::new(filter)));
        }
    }
    Ok(())
}

/// A union of many inputs becomes one of unions, so that it is no deeper than it must be: plans are walked by recursion.
pub(super) fn balance(set: &mut SetRel) -> Result<()> {
    let inputs = set.inputs.len();
    if !matches!(set.op(), SetOp::UnionAll | SetOp::UnionDistinct) {
        return match inputs {
            0..=MAX_NESTED_INPUTS => Ok(()),
            more => Err(unsupported(format!("a SetRel that is no union and has {more} inputs"))),
        };
    }
    if inputs > 2 {
        let right = set.inputs.split_off(inputs / 2);
        let left = std::mem::take(&mut set.inputs);
        set.inputs = vec![union(left, set.op), union(right, set.op)];
    }
    Ok(())
}

fn union(mut inputs: Vec<Rel>, op: i32) -> Rel {
    if inputs.len() == 1 {
        return inputs.remove(0);
    }
    let right = inputs.split_off(inputs.len() / 2);
    let inputs = vec![union(inputs, op), union(right, op)];
    Rel { rel_type: Some(RelType::Set(SetRel { inputs, op, ..SetRel::default() })) }
}
