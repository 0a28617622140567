//! A look at a plan before it is read: what it names, and whether all of it can be read. What can not is refused by its name,
//! and what would be read wrong, or grow without bound, is brought into a form that is read right.
//!
//! Recursion needs no bound of its own: messages nest no deeper than decoding them allows.

use datafusion::common::TableReference;
use datafusion_substrait::substrait::proto::aggregate_rel::Grouping;
use datafusion_substrait::substrait::proto::extensions::AdvancedExtension;
use datafusion_substrait::substrait::proto::fetch_rel::{CountMode, OffsetMode};
use datafusion_substrait::substrait::proto::join_rel::JoinType;
use datafusion_substrait::substrait::proto::rel::RelType;
use datafusion_substrait::substrait::proto::set_rel::SetOp;
use datafusion_substrait::substrait::proto::sort_field::{SortDirection, SortKind};
use datafusion_substrait::substrait::proto::{
    AggregateRel, ExchangeRel, FetchRel, JoinRel, ProjectRel, Rel, SetRel, SortField,
};

use super::{Declarations, malformed, reshape, unsupported};
use crate::error::{Error, Result};

mod expressions;
mod functions;
mod literals;
mod reads;
mod types;

/// Columns of one relation.
const MAX_COLUMNS: usize = 4096;

/// Parts of expressions that may come into being by references to the same expression.
const MAX_REPEATED: usize = 1_000_000;

/// Partitions that an exchange may ask for.
const MAX_PARTITIONS: i32 = 1024;

/// A survey of one plan.
#[derive(Debug)]
pub(super) struct Survey<'a> {
    declarations: &'a Declarations,
    tables: Vec<TableReference>,
    /// Parts of expressions seen so far.
    parts: usize,
    /// Whether what is surveyed is computed before there is a row.
    without_columns: bool,
}

impl<'a> Survey<'a> {
    /// The tables that the relation reads.
    pub(super) fn of(relation: &mut Rel, declarations: &'a Declarations) -> Result<Vec<TableReference>> {
        let mut survey = Self { declarations, tables: Vec::new(), parts: 0, without_columns: false };
        survey.relation(relation)?;
        Ok(survey.tables)
    }

    fn relation(&mut self, relation: &mut Rel) -> Result<()> {
        let Some(kind) = relation.rel_type.as_mut() else { return Err(malformed("a relation is of no kind")) };
        // The parts of the largest expression that the columns of this relation are.
        let mut largest = 1;
        match kind {
            RelType::Read(read) => self.read(read)?,
            RelType::Filter(filter) => {
                self.input(&mut filter.input, "FilterRel")?;
                self.required(filter.condition.as_deref_mut(), "a FilterRel")?;
            }
            RelType::Fetch(fetch) => self.fetch(fetch)?,
            RelType::Aggregate(aggregate) => self.aggregate(aggregate)?,
            RelType::Sort(sort) => {
                self.input(&mut sort.input, "SortRel")?;
                self.sorts(&mut sort.sorts)?;
            }
            RelType::Join(join) => self.join(join)?,
            RelType::Project(project) => largest = self.project(project)?,
            RelType::Set(set) => self.set(set)?,
            RelType::Cross(cross) => {
                self.input(&mut cross.left, "CrossRel")?;
                self.input(&mut cross.right, "CrossRel")?;
            }
            RelType::Exchange(exchange) => self.exchange(exchange)?,
            other => return Err(unsupported(name(other))),
        }
        let (common, extension) = reshape::attached(kind);
        no_enhancement(extension)?;
        no_enhancement(common.and_then(|common| common.advanced_extension.as_ref()))?;
        if let Some(emitted) = reshape::emitted(kind) {
            bounded(emitted.len(), largest)?;
        }
        reshape::read(relation)
    }

    fn input(&mut self, input: &mut Option<Box<Rel>>, of: &str) -> Result<()> {
        match input {
            Some(input) => self.relation(input),
            None => Err(malformed(format!("one {of} has no input"))),
        }
    }

    fn fetch(&mut self, fetch: &mut FetchRel) -> Result<()> {
        self.input(&mut fetch.input, "FetchRel")?;
        if let Some(OffsetMode::OffsetExpr(offset)) = &mut fetch.offset_mode {
            self.expression(offset)?;
        }
        match &mut fetch.count_mode {
            Some(CountMode::CountExpr(count)) => self.expression(count),
            _ => Ok(()),
        }
    }

    fn aggregate(&mut self, aggregate: &mut AggregateRel) -> Result<()> {
        self.input(&mut aggregate.input, "AggregateRel")?;
        if aggregate.groupings.len() > 1 && !self.declarations.by_datafusion {
            // It then has one more column, which DataFusion has at another place.
            return Err(unsupported("an AggregateRel of several groupings")
                .hint("make one AggregateRel for each grouping, and a SetRel of them"));
        }
        if aggregate.groupings.is_empty() && aggregate.measures.is_empty() {
            return Err(malformed("an AggregateRel has neither groupings nor measures"));
        }
        let largest = self.all(&mut aggregate.grouping_expressions)?;
        let known = aggregate.grouping_expressions.len();
        let references = |grouping: &Grouping| grouping.expression_references.clone();
        let mut repeated = 0;
        for grouping in &mut aggregate.groupings {
            if let Some(missing) = references(grouping).into_iter().find(|at| *at as usize >= known) {
                return Err(malformed(format!("there is no grouping expression {missing}, only {known}")));
            }
            repeated += grouping.expression_references.len();
            #[expect(deprecated, reason = "older producers send it, and it is read")]
            self.all(&mut grouping.grouping_expressions)?;
        }
        bounded(repeated, largest)?;
        for measure in &mut aggregate.measures {
            if let Some(filter) = &mut measure.filter {
                self.expression(filter)?;
            }
            let function = measure.measure.as_mut();
            self.aggregate_function(
                function.ok_or_else(|| malformed("a measure of an AggregateRel has no function"))?,
            )?;
        }
        Ok(())
    }

    fn join(&mut self, join: &mut JoinRel) -> Result<()> {
        self.input(&mut join.left, "JoinRel")?;
        self.input(&mut join.right, "JoinRel")?;
        match join.r#type() {
            JoinType::Unspecified => return Err(malformed("a JoinRel is of no kind that there is")),
            JoinType::LeftSingle | JoinType::RightSingle => {
                return Err(unsupported(format!("a JoinRel of {}", join.r#type().as_str_name())));
            }
            _ => {}
        }
        if join.post_join_filter.is_some() {
            return Err(
                unsupported("a post_join_filter in a JoinRel").hint("filter what the join gives by a FilterRel")
            );
        }
        self.optional(&mut join.expression)
    }

    fn set(&mut self, set: &mut SetRel) -> Result<()> {
        match set.op() {
            SetOp::Unspecified => return Err(malformed("a SetRel is of no kind that there is")),
            SetOp::MinusMultiset => return Err(unsupported(format!("a SetRel of {}", set.op().as_str_name()))),
            _ => {}
        }
        let inputs = set.inputs.len();
        if inputs < 2 {
            return Err(malformed(format!("a SetRel has {inputs} inputs, and takes two or more")));
        }
        set.inputs.iter_mut().try_for_each(|input| self.relation(input))?;
        reshape::balance(set)
    }

    /// The parts of the largest expression.
    fn project(&mut self, project: &mut ProjectRel) -> Result<usize> {
        self.input(&mut project.input, "ProjectRel")?;
        let columns = project.expressions.len();
        bounded(columns, 1)?;
        self.all(&mut project.expressions)
    }

    fn exchange(&mut self, exchange: &mut ExchangeRel) -> Result<()> {
        self.input(&mut exchange.input, "ExchangeRel")?;
        let partitions = exchange.partition_count;
        if (1..=MAX_PARTITIONS).contains(&partitions) {
            return Ok(());
        }
        Err(Error::invalid(format!("an ExchangeRel has {partitions} partitions; 1 to {MAX_PARTITIONS} are possible")))
    }

    fn sorts(&mut self, sorts: &mut [SortField]) -> Result<()> {
        for sort in sorts {
            let key = sort.expr.as_mut().ok_or_else(|| malformed("a sort field has no expression"))?;
            self.expression(key)?;
            directed(sort.sort_kind.as_ref())?;
        }
        Ok(())
    }
}

/// Reading would panic where an order has no direction that it knows.
fn directed(kind: Option<&SortKind>) -> Result<()> {
    let direction = match kind {
        Some(SortKind::Direction(direction)) => SortDirection::try_from(*direction).unwrap_or_default(),
        Some(SortKind::ComparisonFunctionReference(_)) => {
            return Err(unsupported("a sort field with a comparison function"));
        }
        None => SortDirection::Unspecified,
    };
    match direction {
        SortDirection::Unspecified => Err(malformed("a sort field has no direction")),
        SortDirection::Clustered => Err(unsupported("a sort field whose direction is clustered")),
        SortDirection::AscNullsFirst
        | SortDirection::AscNullsLast
        | SortDirection::DescNullsFirst
        | SortDirection::DescNullsLast => Ok(()),
    }
}

/// An enhancement changes what a relation means.
pub(super) fn no_enhancement(extension: Option<&AdvancedExtension>) -> Result<()> {
    match extension.and_then(|extension| extension.enhancement.as_ref()) {
        None => Ok(()),
        Some(any) => Err(unsupported(format!("an enhancement of type '{}'", any.type_url))),
    }
}

/// Columns that are references to expressions are copies of them.
fn bounded(columns: usize, largest: usize) -> Result<()> {
    if columns > MAX_COLUMNS {
        return Err(Error::invalid(format!(
            "a relation of the Substrait plan has {columns} columns, more than {MAX_COLUMNS}"
        )));
    }
    if columns.saturating_mul(largest) > MAX_REPEATED {
        return Err(Error::invalid("the Substrait plan refers to large expressions too often")
            .hint("compute them in a ProjectRel, and refer to its columns"));
    }
    Ok(())
}

/// The name of a table as Substrait has it: a list of catalog, schema and table.
pub(super) fn reference(names: &[String]) -> Result<TableReference> {
    match names {
        [table] => Ok(TableReference::bare(table.as_str())),
        [schema, table] => Ok(TableReference::partial(schema.as_str(), table.as_str())),
        [catalog, schema, table] => Ok(TableReference::full(catalog.as_str(), schema.as_str(), table.as_str())),
        other => Err(Error::invalid(format!(
            "'{}' is not the name of a table: expected [[catalog,] schema,] table",
            other.join(".")
        ))),
    }
}

/// What Substrait calls a relation.
pub(super) fn name(kind: &RelType) -> String {
    let detail = |any: Option<&str>| any.map(|url| format!(" of type '{url}'")).unwrap_or_default();
    let name = match kind {
        RelType::Read(_) => "a ReadRel",
        RelType::Filter(_) => "a FilterRel",
        RelType::Fetch(_) => "a FetchRel",
        RelType::Aggregate(_) => "an AggregateRel",
        RelType::Sort(_) => "a SortRel",
        RelType::Join(_) => "a JoinRel",
        RelType::Project(_) => "a ProjectRel",
        RelType::Set(_) => "a SetRel",
        RelType::ExtensionSingle(extension) => {
            let url = extension.detail.as_ref().map(|any| any.type_url.as_str());
            return format!("an ExtensionSingleRel{}", detail(url));
        }
        RelType::ExtensionMulti(extension) => {
            let url = extension.detail.as_ref().map(|any| any.type_url.as_str());
            return format!("an ExtensionMultiRel{}", detail(url));
        }
        RelType::ExtensionLeaf(extension) => {
            let url = extension.detail.as_ref().map(|any| any.type_url.as_str());
            return format!("an ExtensionLeafRel{}", detail(url));
        }
        RelType::Cross(_) => "a CrossRel",
        RelType::Reference(_) => "a ReferenceRel",
        RelType::Write(_) => "a WriteRel below its root",
        RelType::Ddl(_) => "a DdlRel",
        RelType::Update(_) => "an UpdateRel",
        RelType::HashJoin(_) => "a HashJoinRel",
        RelType::MergeJoin(_) => "a MergeJoinRel",
        RelType::NestedLoopJoin(_) => "a NestedLoopJoinRel",
        RelType::Window(_) => "a ConsistentPartitionWindowRel",
        RelType::Exchange(_) => "an ExchangeRel",
        RelType::Expand(_) => "an ExpandRel",
    };
    name.to_owned()
}
