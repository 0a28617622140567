//! DataFusion's reader of plans, with the references of a plan checked before they are followed: it trusts them, and panics
//! on those that lead nowhere.

use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, TableReference};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Partitioning};
use datafusion_substrait::extensions::Extensions;
use datafusion_substrait::logical_plan::consumer::{
    DefaultSubstraitConsumer, SubstraitConsumer, from_aggregate_rel, from_cross_rel, from_fetch_rel,
    from_field_reference, from_filter_rel, from_join_rel, from_project_rel, from_read_rel, from_set_rel, from_sort_rel,
    from_substrait_rel,
};
use datafusion_substrait::substrait::proto::exchange_rel::ExchangeKind;
use datafusion_substrait::substrait::proto::expression::field_reference::{ReferenceType, RootType};
use datafusion_substrait::substrait::proto::expression::{FieldReference, reference_segment};
use datafusion_substrait::substrait::proto::plan_rel::RelType as Root;
use datafusion_substrait::substrait::proto::rel_common::EmitKind;
use datafusion_substrait::substrait::proto::{
    AggregateRel, CrossRel, ExchangeRel, FetchRel, FilterRel, JoinRel, Plan, ProjectRel, ReadRel, Rel, RelCommon,
    SetRel, SortRel, Type,
};
use parking_lot::Mutex;

use super::survey::name;
use super::{malformed, unsupported};
use crate::sql_type::sql_type;

type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Reads one plan that was surveyed.
pub(super) struct Reader<'a> {
    inner: DefaultSubstraitConsumer<'a>,
    /// What the root calls the columns; nothing if it leaves that open.
    names: &'a [String],
    /// The relations that are being read, each an input of the one before it.
    relations: Mutex<Vec<String>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(extensions: &'a Extensions, state: &'a SessionState, plan: &'a Plan) -> Self {
        let root = plan.relations.first().and_then(|relation| relation.rel_type.as_ref());
        let names = match root {
            Some(Root::Root(root)) => root.names.as_slice(),
            Some(Root::Rel(_)) | None => &[],
        };
        Self { inner: DefaultSubstraitConsumer::new(extensions, state), names, relations: Mutex::default() }
    }

    /// What is being read now, with its article.
    fn relation(&self) -> String {
        self.relations.lock().last().cloned().unwrap_or_else(|| "a relation".to_owned())
    }

    fn check_reference(&self, reference: &FieldReference, schema: &DFSchema) -> Result<()> {
        let Some(ReferenceType::DirectReference(segment)) = &reference.reference_type else { return Ok(()) };
        let Some(reference_segment::ReferenceType::StructField(field)) = &segment.reference_type else {
            return Ok(());
        };
        let (columns, whose) = match &reference.root_type {
            None | Some(RootType::RootReference(_)) => (schema.fields().len(), ""),
            Some(RootType::OuterReference(outer)) => match self.get_outer_schema(outer.steps_out as usize) {
                Some(schema) => (schema.fields().len(), " of the query around it"),
                None => {
                    let (relation, steps) = (self.relation(), outer.steps_out);
                    return wrong(format!("{relation} refers to a query {steps} steps out, and there is none"));
                }
            },
            Some(RootType::Expression(_) | RootType::LambdaParameterReference(_)) => return Ok(()),
        };
        if usize::try_from(field.field).is_ok_and(|index| index < columns) {
            return Ok(());
        }
        let (relation, index) = (self.relation(), field.field);
        wrong(format!("{relation} refers to column {index}{whose}, counted from 0, but there are {columns} columns"))
    }

    fn check_emitted(&self, common: Option<&RelCommon>, plan: &LogicalPlan) -> Result<()> {
        let Some(EmitKind::Emit(emit)) = common.and_then(|common| common.emit_kind.as_ref()) else { return Ok(()) };
        let columns = plan.schema().fields().len();
        let within = |index: &i32| usize::try_from(*index).is_ok_and(|index| index < columns);
        match emit.output_mapping.iter().find(|index| !within(index)) {
            None => Ok(()),
            Some(index) => {
                let relation = self.relation();
                wrong(format!("{relation} emits its column {index}, counted from 0, but it has {columns} columns"))
            }
        }
    }

    /// A plan whose names and columns differ in number can be read more than one way, so that it is not read at all.
    fn check_names(&self, schema: &DFSchema, relation: &str) -> Result<()> {
        let (given, needed) = (self.names.len(), names_of(schema.fields()));
        if given == 0 || given == needed {
            return Ok(());
        }
        let error =
            malformed(format!("its root has {given} names, but the columns of {relation} below it take {needed}"));
        Err(error.hint("name each column, and emit only those that are named").into())
    }
}

fn wrong<T>(what: String) -> Result<T> {
    Err(malformed(what).into())
}

/// Values are put together as they are: those of other types than the columns would break that, after the query has begun.
fn check_rows(plan: &LogicalPlan) -> Result<()> {
    let LogicalPlan::Values(rows) = plan else { return Ok(()) };
    for (value, column) in rows.values.iter().flat_map(|row| row.iter().zip(rows.schema.fields())) {
        // That of a parameter may be open.
        let Ok(given) = value.get_type(rows.schema.as_ref()) else { continue };
        if given != *column.data_type() {
            let (name, given, expected) = (column.name(), sql_type(&given), sql_type(column.data_type()));
            return wrong(format!(
                "a row of a VirtualTable has a {given} for the column '{name}' of the type {expected}"
            ));
        }
    }
    Ok(())
}

/// How many names columns take: their own, and those of the fields within them.
fn names_of<'a>(fields: impl IntoIterator<Item = &'a Arc<Field>>) -> usize {
    fields.into_iter().map(|field| 1 + names_within(field.data_type())).sum()
}

fn names_within(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => names_of(fields),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::RunEndEncoded(_, item) => names_within(item.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => pair.iter().map(|field| names_within(field.data_type())).sum(),
            _ => 0,
        },
        DataType::Dictionary(_, values) => names_within(values),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| names_within(field.data_type())).sum(),
        _ => 0,
    }
}

/// Relations that DataFusion reads, after which what they emit is checked.
macro_rules! checked {
    ($($method:ident($relation:ty) by $read:ident;)*) => {
        $(
            fn $method<'reader, 'relation, 'reading>(
                &'reader self,
                relation: &'relation $relation,
            ) -> Reading<'reading, LogicalPlan>
            where
                'reader: 'reading,
                'relation: 'reading,
                Self: 'reading,
            {
                Box::pin(async move {
                    let plan = $read(self, relation).await?;
                    check_rows(&plan)?;
                    self.check_emitted(relation.common.as_ref(), &plan)?;
                    Ok(plan)
                })
            }
        )*
    };
}

impl SubstraitConsumer for Reader<'_> {
    fn resolve_table_ref<'reader, 'table, 'reading>(
        &'reader self,
        table: &'table TableReference,
    ) -> Reading<'reading, Option<Arc<dyn TableProvider>>>
    where
        'reader: 'reading,
        'table: 'reading,
        Self: 'reading,
    {
        self.inner.resolve_table_ref(table)
    }

    fn get_extensions(&self) -> &Extensions {
        self.inner.get_extensions()
    }

    fn get_function_registry(&self) -> &impl FunctionRegistry {
        self.inner.get_function_registry()
    }

    fn consume_rel<'reader, 'relation, 'reading>(
        &'reader self,
        relation: &'relation Rel,
    ) -> Reading<'reading, LogicalPlan>
    where
        'reader: 'reading,
        'relation: 'reading,
        Self: 'reading,
    {
        Box::pin(async move {
            let kind = relation.rel_type.as_ref().map(name).unwrap_or_default();
            self.relations.lock().push(kind);
            let plan = from_substrait_rel(self, relation).await?;
            let (kind, is_root) = {
                let mut relations = self.relations.lock();
                (relations.pop().unwrap_or_default(), relations.is_empty())
            };
            if is_root {
                self.check_names(plan.schema(), &kind)?;
            }
            Ok(plan)
        })
    }

    checked! {
        consume_read(ReadRel) by from_read_rel;
        consume_filter(FilterRel) by from_filter_rel;
        consume_fetch(FetchRel) by from_fetch_rel;
        consume_aggregate(AggregateRel) by from_aggregate_rel;
        consume_sort(SortRel) by from_sort_rel;
        consume_join(JoinRel) by from_join_rel;
        consume_project(ProjectRel) by from_project_rel;
        consume_set(SetRel) by from_set_rel;
        consume_cross(CrossRel) by from_cross_rel;
    }

    // DataFusion looks up the columns of an exchange past `consume_field_reference`.
    fn consume_exchange<'reader, 'relation, 'reading>(
        &'reader self,
        relation: &'relation ExchangeRel,
    ) -> Reading<'reading, LogicalPlan>
    where
        'reader: 'reading,
        'relation: 'reading,
        Self: 'reading,
    {
        Box::pin(async move {
            let Some(input) = relation.input.as_deref() else { return wrong("an ExchangeRel has no input".to_owned()) };
            let input = self.consume_rel(input).await?;
            let partitions = usize::try_from(relation.partition_count).unwrap_or(1);
            let partitioning = match &relation.exchange_kind {
                Some(ExchangeKind::RoundRobin(_)) => Partitioning::RoundRobinBatch(partitions),
                Some(ExchangeKind::ScatterByFields(by)) => {
                    let mut columns = Vec::with_capacity(by.fields.len());
                    for reference in &by.fields {
                        columns.push(self.consume_field_reference(reference, input.schema()).await?);
                    }
                    Partitioning::Hash(columns, partitions)
                }
                Some(ExchangeKind::SingleTarget(_)) => return other_exchange("SingleBucket"),
                Some(ExchangeKind::MultiTarget(_)) => return other_exchange("MultiBucket"),
                Some(ExchangeKind::Broadcast(_)) => return other_exchange("Broadcast"),
                None => return wrong("an ExchangeRel is of no kind".to_owned()),
            };
            let plan = LogicalPlanBuilder::from(input).repartition(partitioning)?.build()?;
            self.check_emitted(relation.common.as_ref(), &plan)?;
            Ok(plan)
        })
    }

    fn consume_field_reference<'reader, 'reference, 'schema, 'reading>(
        &'reader self,
        reference: &'reference FieldReference,
        schema: &'schema DFSchema,
    ) -> Reading<'reading, Expr>
    where
        'reader: 'reading,
        'reference: 'reading,
        'schema: 'reading,
        Self: 'reading,
    {
        Box::pin(async move {
            self.check_reference(reference, schema)?;
            from_field_reference(self, reference, schema).await
        })
    }

    fn push_outer_schema(&self, schema: Arc<DFSchema>) {
        self.inner.push_outer_schema(schema);
    }

    fn pop_outer_schema(&self) {
        self.inner.pop_outer_schema();
    }

    fn get_outer_schema(&self, steps_out: usize) -> Option<Arc<DFSchema>> {
        self.inner.get_outer_schema(steps_out)
    }

    fn push_lambda_parameters(&self, parameters: &[Type], schema: &DFSchema) -> Result<Vec<String>> {
        self.inner.push_lambda_parameters(parameters, schema)
    }

    fn pop_lambda_parameters(&self) {
        self.inner.pop_lambda_parameters();
    }

    fn lambda_variable(&self, steps_out: usize, field: usize) -> Result<Expr> {
        self.inner.lambda_variable(steps_out, field)
    }
}

fn other_exchange<T>(kind: &str) -> Result<T> {
    Err(DataFusionError::from(unsupported(format!("an ExchangeRel of kind {kind}"))))
}
