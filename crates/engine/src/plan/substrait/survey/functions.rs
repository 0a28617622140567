//! The calls of functions in a plan: of what it declares, with as many arguments as they take, and without what reading would
//! pass over.

use datafusion_substrait::substrait::proto::aggregate_function::AggregationInvocation;
use datafusion_substrait::substrait::proto::expression::window_function::bound::Kind;
use datafusion_substrait::substrait::proto::expression::window_function::{Bound, BoundsType};
use datafusion_substrait::substrait::proto::expression::{ScalarFunction, WindowFunction};
use datafusion_substrait::substrait::proto::function_argument::ArgType;
use datafusion_substrait::substrait::proto::{
    AggregateFunction, AggregationPhase, Expression, FunctionArgument, FunctionOption,
};

use super::Survey;
use crate::error::Result;
use crate::plan::substrait::{malformed, unsupported};

impl Survey<'_> {
    pub(super) fn scalar_function(&mut self, call: &mut ScalarFunction) -> Result<()> {
        #[expect(deprecated, reason = "to refuse it")]
        not_older(&call.args)?;
        without_options(&call.options)?;
        let name = self.declared(call.function_reference)?;
        let given = call.arguments.len();
        if let Some((least, most)) = operands(name)
            && !(least..=most).contains(&given)
        {
            let takes = if most == usize::MAX { format!("{least} or more") } else { least.to_string() };
            return Err(malformed(format!("it calls '{name}' with {given} arguments, which takes {takes}")));
        }
        self.arguments(&mut call.arguments)
    }

    pub(super) fn aggregate_function(&mut self, call: &mut AggregateFunction) -> Result<()> {
        #[expect(deprecated, reason = "to refuse it")]
        not_older(&call.args)?;
        without_options(&call.options)?;
        whole(call.phase())?;
        self.declared(call.function_reference)?;
        self.arguments(&mut call.arguments)?;
        self.sorts(&mut call.sorts)
    }

    pub(super) fn window_function(&mut self, call: &mut WindowFunction) -> Result<()> {
        #[expect(deprecated, reason = "to refuse it")]
        not_older(&call.args)?;
        without_options(&call.options)?;
        whole(call.phase())?;
        if call.invocation() == AggregationInvocation::Distinct {
            return Err(unsupported("a WindowFunction of distinct values"));
        }
        self.declared(call.function_reference)?;
        if BoundsType::try_from(call.bounds_type).is_err() {
            let given = call.bounds_type;
            return Err(malformed(format!("a WindowFunction has bounds of the type {given}, which there is not")));
        }
        bound(call.lower_bound.as_ref(), "lower")?;
        bound(call.upper_bound.as_ref(), "upper")?;
        self.arguments(&mut call.arguments)?;
        self.all(&mut call.partitions)?;
        self.sorts(&mut call.sorts)
    }

    /// The name of a function without the types of its arguments.
    fn declared(&self, anchor: u32) -> Result<&str> {
        let name = self.declarations.functions.get(&anchor).ok_or_else(|| {
            malformed(format!("it calls the function with the anchor {anchor}, which it does not declare"))
        })?;
        Ok(name.split_once(':').map_or(name.as_str(), |(name, _)| name))
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

/// How many operands what is an operator in SQL takes, at least and at most; other functions check that themselves.
fn operands(name: &str) -> Option<(usize, usize)> {
    Some(match name {
        "not" | "negate" | "negative" | "is_null" | "is_not_null" | "is_true" | "is_not_true" | "is_false"
        | "is_not_false" | "is_unknown" | "is_not_unknown" => (1, 1),
        "and_not" | "logb" => (2, 2),
        "between" => (3, 3),
        "like" | "ilike" | "like_match" | "like_imatch" | "like_not_match" | "like_not_imatch" => (2, 3),
        "and"
        | "or"
        | "equal"
        | "not_equal"
        | "lt"
        | "lte"
        | "gt"
        | "gte"
        | "add"
        | "subtract"
        | "multiply"
        | "divide"
        | "mod"
        | "modulus"
        | "is_distinct_from"
        | "is_not_distinct_from"
        | "bitwise_and"
        | "bitwise_or"
        | "bitwise_xor"
        | "bitwise_shift_left"
        | "bitwise_shift_right"
        | "str_concat"
        | "regex_match"
        | "regex_imatch"
        | "regex_not_match"
        | "regex_not_imatch" => (2, usize::MAX),
        _ => return None,
    })
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
    let prefers =
        |option: &FunctionOption, value: &str| option.preference.iter().any(|it| it.eq_ignore_ascii_case(value));
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

fn bound(bound: Option<&Bound>, which: &str) -> Result<()> {
    let Some(bound) = bound else { return Ok(()) };
    let (offset, way) = match &bound.kind {
        Some(Kind::Preceding(preceding)) => (preceding.offset, "preceding"),
        Some(Kind::Following(following)) => (following.offset, "following"),
        Some(Kind::CurrentRow(_) | Kind::Unbounded(_)) => return Ok(()),
        None => return Err(malformed(format!("the {which} bound of a WindowFunction is of no kind"))),
    };
    if offset > 0 {
        return Ok(());
    }
    Err(malformed(format!("the {which} bound of a WindowFunction is {offset} {way}, which is not positive")))
}
