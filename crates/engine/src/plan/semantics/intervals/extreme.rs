//! The shortest and the longest of intervals.

use std::mem::size_of;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::scalar::ScalarValue;

use super::nanoseconds;

static SHORTEST: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Extreme::function(false));
static LONGEST: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Extreme::function(true));

pub(super) fn shortest() -> Arc<AggregateUDF> {
    Arc::clone(&SHORTEST)
}

pub(super) fn longest() -> Arc<AggregateUDF> {
    Arc::clone(&LONGEST)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    longest: bool,
    signature: Signature,
}

impl Extreme {
    fn function(longest: bool) -> Arc<AggregateUDF> {
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(AggregateUDF::new_from_impl(Self { longest, signature }))
    }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &'static str {
        if self.longest { "interval_max" } else { "interval_min" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [interval @ DataType::Interval(_)] => Ok(interval.clone()),
            _ => internal_err!("{} takes an interval, not {arg_types:?}", self.name()),
        }
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Best { longest: self.longest, best: None }))
    }
}

#[derive(Debug)]
struct Best {
    longest: bool,
    best: Option<IntervalMonthDayNano>,
}

impl Accumulator for Best {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<IntervalMonthDayNanoType>().iter().flatten() {
            let better = self.best.is_none_or(|best| match self.longest {
                true => nanoseconds(value) > nanoseconds(best),
                false => nanoseconds(value) < nanoseconds(best),
            });
            if better {
                self.best = Some(value);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::IntervalMonthDayNano(self.best))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}
