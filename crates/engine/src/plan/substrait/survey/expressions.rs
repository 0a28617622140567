//! The expressions of a plan: subqueries within them read tables too.

use datafusion_substrait::substrait::proto::aggregate_function::AggregationInvocation;
use datafusion_substrait::substrait::proto::expression::field_reference::RootType;
use datafusion_substrait::substrait::proto::expression::literal::LiteralType;
use datafusion_substrait::substrait::proto::expression::nested::NestedType;
use datafusion_substrait::substrait::proto::expression::subquery::SubqueryType;
use datafusion_substrait::substrait::proto::expression::{Literal, Nested, RexType, Subquery};
use datafusion_substrait::substrait::proto::function_argument::ArgType;
use datafusion_substrait::substrait::proto::{
    AggregateFunction, AggregationPhase, Expression, FunctionArgument, FunctionOption,
};

use super::Survey;
use crate::error::Result;
use crate::plan::substrait::{malformed, unsupported};

/// Bytes of text in a literal that count as one more part of an expression.
const BYTES_PER_PART: usize = 64;

impl Survey {
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

    fn required(&mut self, expression: Option<&mut Expression>, of: &str) -> Result<()> {
        let expression = expression.ok_or_else(|| malformed(format!("a part of {of} is missing")))?;
        self.expression(expression)
    }

    pub(super) fn expression(&mut self, expression: &mut Expression) -> Result<()> {
        self.parts += 1;
        let Some(kind) = expression.rex_type.as_mut() else { return Err(malformed("an expression is of no kind")) };
        match kind {
            RexType::Literal(literal) => {
                self.parts += bytes(literal) / BYTES_PER_PART;
                Ok(())
            }
            RexType::DynamicParameter(_) => Ok(()),
            RexType::Selection(reference) => match &mut reference.root_type {
                Some(RootType::Expression(root)) => self.expression(root),
                _ => Ok(()),
            },
            RexType::ScalarFunction(call) => {
                #[expect(deprecated, reason = "to refuse it")]
                not_older(&call.args)?;
                without_options(&call.options)?;
                self.arguments(&mut call.arguments)
            }
            RexType::WindowFunction(call) => {
                #[expect(deprecated, reason = "to refuse it")]
                not_older(&call.args)?;
                without_options(&call.options)?;
                whole(call.phase())?;
                if call.invocation() == AggregationInvocation::Distinct {
                    return Err(unsupported("a WindowFunction of distinct values"));
                }
                self.arguments(&mut call.arguments)?;
                self.all(&mut call.partitions)?;
                self.sorts(&mut call.sorts)
            }
            RexType::IfThen(choice) => {
                for (at, clause) in choice.ifs.iter_mut().enumerate() {
                    self.required(clause.r#if.as_mut(), "an IfThen")?;
                    match &mut clause.then {
                        // What the other clauses are compared with: `CASE x WHEN ...`, as DataFusion writes it.
                        None if at == 0 => {}
                        then => self.required(then.as_mut(), "an IfThen")?,
                    }
                }
                self.optional(&mut choice.r#else)
            }
            RexType::SingularOrList(list) => {
                self.required(list.value.as_deref_mut(), "a SingularOrList")?;
                self.all(&mut list.options).map(drop)
            }
            RexType::Cast(cast) => self.required(cast.input.as_deref_mut(), "a Cast"),
            RexType::Subquery(subquery) => self.subquery(subquery),
            RexType::Nested(nested) => self.nested(nested),
            RexType::Lambda(lambda) => self.required(lambda.body.as_deref_mut(), "a Lambda"),
            RexType::LambdaInvocation(_) => Err(unsupported("a LambdaInvocation")),
            RexType::SwitchExpression(_) => Err(unsupported("a SwitchExpression")),
            RexType::MultiOrList(_) => Err(unsupported("a MultiOrList")),
            #[expect(deprecated, reason = "to refuse it")]
            RexType::Enum(_) => Err(unsupported("an Enum expression")),
        }
    }

    fn subquery(&mut self, subquery: &mut Subquery) -> Result<()> {
        match subquery.subquery_type.as_mut() {
            Some(SubqueryType::Scalar(scalar)) => self.input(&mut scalar.input, "scalar Subquery"),
            Some(SubqueryType::InPredicate(within)) => {
                self.all(&mut within.needles)?;
                self.input(&mut within.haystack, "Subquery of IN")
            }
            Some(SubqueryType::SetPredicate(predicate)) => self.input(&mut predicate.tuples, "SetPredicate"),
            Some(SubqueryType::SetComparison(comparison)) => {
                self.required(comparison.left.as_deref_mut(), "a SetComparison")?;
                self.input(&mut comparison.right, "SetComparison")
            }
            None => Err(malformed("a Subquery is of no kind")),
        }
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

    pub(super) fn aggregate_function(&mut self, call: &mut AggregateFunction) -> Result<()> {
        #[expect(deprecated, reason = "to refuse it")]
        not_older(&call.args)?;
        without_options(&call.options)?;
        whole(call.phase())?;
        self.arguments(&mut call.arguments)?;
        self.sorts(&mut call.sorts)
    }

    fn arguments(&mut self, arguments: &mut [FunctionArgument]) -> Result<()> {
        arguments.iter_mut().try_for_each(|argument| match argument.arg_type.as_mut() {
            Some(ArgType::Value(value)) => self.expression(value),
            Some(ArgType::Enum(option)) => {
                Err(unsupported(format!("the option '{option}' as an argument of a function")))
            }
            Some(ArgType::Type(_)) => Err(unsupported("a type as an argument of a function")),
            None => Err(malformed("an argument of a function is empty")),
        })
    }
}

/// Reading would pass over these arguments, and call the function without them.
fn not_older(arguments: &[Expression]) -> Result<()> {
    if arguments.is_empty() {
        return Ok(());
    }
    Err(unsupported("arguments of a function in the field 'args'").hint("newer versions send them in 'arguments'"))
}

/// Reading passes over options, which must be obeyed. Overflow is an error here.
fn without_options(options: &[FunctionOption]) -> Result<()> {
    let prefers = |option: &FunctionOption, value: &str| option.preference.iter().any(|it| it.eq_ignore_ascii_case(value));
    let obeyed = |option: &&FunctionOption| option.name.eq_ignore_ascii_case("overflow") && prefers(option, "ERROR");
    match options.iter().find(|option| !obeyed(option)) {
        None => Ok(()),
        Some(FunctionOption { name, preference }) => {
            Err(unsupported(format!("the option '{name}' of a function, as {}", preference.join(" or "))))
        }
    }
}

/// Reading takes every call for a whole one.
fn whole(phase: AggregationPhase) -> Result<()> {
    match phase {
        AggregationPhase::Unspecified | AggregationPhase::InitialToResult => Ok(()),
        AggregationPhase::InitialToIntermediate
        | AggregationPhase::IntermediateToIntermediate
        | AggregationPhase::IntermediateToResult => {
            Err(unsupported(format!("an aggregate function of phase {}", phase.as_str_name())))
        }
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
