//! The expressions of a plan: subqueries within them read tables too.

use datafusion_substrait::substrait::proto::Expression;
use datafusion_substrait::substrait::proto::expression::field_reference::{ReferenceType, RootType};
use datafusion_substrait::substrait::proto::expression::literal::LiteralType;
use datafusion_substrait::substrait::proto::expression::nested::NestedType;
use datafusion_substrait::substrait::proto::expression::reference_segment::ReferenceType as Segment;
use datafusion_substrait::substrait::proto::expression::subquery::SubqueryType;
use datafusion_substrait::substrait::proto::expression::subquery::set_comparison::{ComparisonOp, ReductionOp};
use datafusion_substrait::substrait::proto::expression::subquery::set_predicate::PredicateOp;
use datafusion_substrait::substrait::proto::expression::{FieldReference, IfThen, Literal, Nested, RexType, Subquery};

use super::Survey;
use crate::error::Result;
use crate::plan::substrait::{malformed, unsupported};

/// Bytes of text in a literal that count as one more part of an expression.
const BYTES_PER_PART: usize = 64;

impl Survey<'_> {
    /// The parts of the largest of the expressions.
    pub(super) fn all(&mut self, expressions: &mut [Expression]) -> Result<usize> {
        let mut largest = 1;
        for expression in expressions {
            let before = self.parts;
            self.expression(expression)?;
            largest = largest.max(self.parts - before);
        }
        Ok(largest)
    }

    pub(super) fn optional(&mut self, expression: &mut Option<Box<Expression>>) -> Result<()> {
        expression.as_mut().map_or(Ok(()), |expression| self.expression(expression))
    }

    pub(super) fn required(&mut self, expression: Option<&mut Expression>, of: &str) -> Result<()> {
        let expression = expression.ok_or_else(|| malformed(format!("a part of {of} is missing")))?;
        self.expression(expression)
    }

    pub(super) fn expression(&mut self, expression: &mut Expression) -> Result<()> {
        self.parts += 1;
        let Some(kind) = expression.rex_type.as_mut() else { return Err(malformed("an expression is of no kind")) };
        match kind {
            RexType::Literal(literal) => {
                self.parts += bytes(literal) / BYTES_PER_PART;
                self.literal(literal)
            }
            RexType::DynamicParameter(parameter) => {
                // They are counted from 1 where they get their values.
                if parameter.parameter_reference == u32::MAX {
                    return Err(malformed(format!("it has no parameter {}", u32::MAX)));
                }
                // Which type is open, is told by its use.
                parameter.r#type.as_mut().map_or(Ok(()), |data_type| self.data_type(data_type))
            }
            RexType::Selection(reference) => self.reference(reference),
            RexType::ScalarFunction(call) => self.scalar_function(call),
            RexType::WindowFunction(call) => self.window_function(call),
            RexType::IfThen(choice) => self.choice(choice),
            RexType::SingularOrList(list) => {
                self.required(list.value.as_deref_mut(), "a SingularOrList")?;
                self.all(&mut list.options).map(drop)
            }
            RexType::Cast(cast) => {
                self.some_type(cast.r#type.as_mut(), "a Cast")?;
                self.required(cast.input.as_deref_mut(), "a Cast")
            }
            RexType::Subquery(subquery) => self.subquery(subquery),
            RexType::Nested(nested) => self.nested(nested),
            RexType::Lambda(lambda) => {
                if let Some(parameters) = &mut lambda.parameters {
                    self.data_types(parameters)?;
                }
                self.required(lambda.body.as_deref_mut(), "a Lambda")
            }
            RexType::LambdaInvocation(_) => Err(unsupported("a LambdaInvocation")),
            RexType::SwitchExpression(_) => Err(unsupported("a SwitchExpression")),
            RexType::MultiOrList(_) => Err(unsupported("a MultiOrList")),
            #[expect(deprecated, reason = "to refuse it")]
            RexType::Enum(_) => Err(unsupported("an Enum expression")),
        }
    }

    /// Expressions that are computed once, before there is a row.
    pub(super) fn constants(&mut self, expressions: &mut [Expression]) -> Result<()> {
        let around = std::mem::replace(&mut self.without_columns, true);
        self.all(expressions)?;
        self.without_columns = around;
        Ok(())
    }

    fn reference(&self, reference: &FieldReference) -> Result<()> {
        followed(reference)?;
        match &reference.root_type {
            None | Some(RootType::RootReference(_)) if self.without_columns => {
                Err(malformed("a row of a VirtualTable refers to a column, and there are none yet"))
            }
            Some(RootType::Expression(_)) => Err(unsupported("a reference into an expression")),
            None
            | Some(RootType::RootReference(_) | RootType::OuterReference(_) | RootType::LambdaParameterReference(_)) => {
                Ok(())
            }
        }
    }

    fn choice(&mut self, choice: &mut IfThen) -> Result<()> {
        // What the other clauses are compared with: `CASE x WHEN ...`, as DataFusion writes it.
        let compares = choice.ifs.first().is_some_and(|clause| clause.then.is_none());
        if choice.ifs.len() <= usize::from(compares) {
            return Err(malformed("an IfThen has no clause with a result"));
        }
        for (at, clause) in choice.ifs.iter_mut().enumerate() {
            self.required(clause.r#if.as_mut(), "an IfThen")?;
            if at > 0 || !compares {
                self.required(clause.then.as_mut(), "an IfThen")?;
            }
        }
        self.optional(&mut choice.r#else)
    }

    fn subquery(&mut self, subquery: &mut Subquery) -> Result<()> {
        // Its own relations have columns.
        let around = std::mem::take(&mut self.without_columns);
        match subquery.subquery_type.as_mut() {
            Some(SubqueryType::Scalar(scalar)) => self.input(&mut scalar.input, "scalar Subquery")?,
            Some(SubqueryType::InPredicate(within)) => {
                let values = within.needles.len();
                if values != 1 {
                    return Err(unsupported(format!("a Subquery of IN for {values} values")));
                }
                self.all(&mut within.needles)?;
                self.input(&mut within.haystack, "Subquery of IN")?;
            }
            Some(SubqueryType::SetPredicate(predicate)) => {
                match predicate.predicate_op() {
                    PredicateOp::Exists => {}
                    PredicateOp::Unique => return Err(unsupported("a SetPredicate with PREDICATE_OP_UNIQUE")),
                    PredicateOp::Unspecified => return Err(malformed("a SetPredicate is of no kind")),
                }
                self.input(&mut predicate.tuples, "SetPredicate")?;
            }
            Some(SubqueryType::SetComparison(comparison)) => {
                if comparison.comparison_op() == ComparisonOp::Unspecified
                    || comparison.reduction_op() == ReductionOp::Unspecified
                {
                    return Err(malformed("a SetComparison does not say how it compares"));
                }
                self.required(comparison.left.as_deref_mut(), "a SetComparison")?;
                self.input(&mut comparison.right, "SetComparison")?;
            }
            None => return Err(malformed("a Subquery is of no kind")),
        }
        self.without_columns = around;
        Ok(())
    }

    fn nested(&mut self, nested: &mut Nested) -> Result<()> {
        match nested.nested_type.as_mut() {
            Some(NestedType::Struct(fields)) => self.all(&mut fields.fields).map(drop),
            Some(NestedType::List(list)) => self.all(&mut list.values).map(drop),
            Some(NestedType::Map(map)) => {
                for pair in &mut map.key_values {
                    self.required(pair.key.as_mut(), "a Map")?;
                    self.required(pair.value.as_mut(), "a Map")?;
                }
                Ok(())
            }
            None => Err(malformed("a Nested expression is of no kind")),
        }
    }
}

/// Reading follows references to columns only.
fn followed(reference: &FieldReference) -> Result<()> {
    match &reference.reference_type {
        Some(ReferenceType::DirectReference(segment)) => match &segment.reference_type {
            Some(Segment::StructField(field)) if field.child.is_none() => Ok(()),
            Some(Segment::StructField(_)) => Err(unsupported("a reference to a field within a column")),
            Some(Segment::MapKey(_)) => Err(unsupported("a reference to a key of a map")),
            Some(Segment::ListElement(_)) => Err(unsupported("a reference to an element of a list")),
            None => Err(malformed("a reference is to nothing")),
        },
        Some(ReferenceType::MaskedReference(_)) => Err(unsupported("a MaskedReference")),
        None => Err(malformed("a reference is to nothing")),
    }
}

/// What copies of a literal take beyond the expression itself.
fn bytes(literal: &Literal) -> usize {
    match literal.literal_type.as_ref() {
        Some(LiteralType::String(text) | LiteralType::FixedChar(text)) => text.len(),
        Some(LiteralType::VarChar(text)) => text.value.len(),
        Some(LiteralType::Binary(bytes) | LiteralType::FixedBinary(bytes)) => bytes.len(),
        _ => 0,
    }
}
