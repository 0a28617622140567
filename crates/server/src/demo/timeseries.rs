//! `timeseries`: readings of a hundred sensors, one each per minute, with a daily wave, noise, faults and gaps.

use std::f64::consts::TAU;
use std::sync::Arc;

use arrow::array::{Float64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchReader};

const SENSORS: usize = 100;
const BATCH_ROWS: usize = 8_192;
/// 2025-01-01T00:00:00, in microseconds since 1970.
const FIRST_MICROS: i64 = 1_735_689_600_000_000;
const STEP_MICROS: i64 = 60_000_000;
const STEPS_PER_DAY: usize = 1_440;

/// The rows, in order of time; the same at every run.
#[derive(Debug)]
pub(super) struct Timeseries {
    schema: SchemaRef,
    next: usize,
    rows: usize,
}

impl Timeseries {
    pub(super) fn new(rows: usize) -> Self {
        let schema = Schema::new(vec![
            Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), false),
            Field::new("sensor", DataType::Utf8, false),
            Field::new("value", DataType::Float64, true),
            Field::new("status", DataType::Utf8, true),
        ]);
        Self { schema: Arc::new(schema), next: 0, rows }
    }

    fn batch(&mut self, rows: usize) -> Result<RecordBatch, ArrowError> {
        let mut ts = TimestampMicrosecondBuilder::with_capacity(rows);
        let mut sensor = StringBuilder::with_capacity(rows, rows * 10);
        let mut value = Float64Builder::with_capacity(rows);
        let mut status = StringBuilder::with_capacity(rows, rows * 2);
        for row in self.next..self.next + rows {
            let reading = Reading::of(row);
            ts.append_value(reading.micros);
            sensor.append_value(reading.sensor);
            value.append_option(reading.value);
            status.append_option(reading.status);
        }
        self.next += rows;
        RecordBatch::try_new(
            Arc::clone(&self.schema),
            vec![Arc::new(ts.finish()), Arc::new(sensor.finish()), Arc::new(value.finish()), Arc::new(status.finish())],
        )
    }
}

impl Iterator for Timeseries {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = BATCH_ROWS.min(self.rows - self.next);
        (rows > 0).then(|| self.batch(rows))
    }
}

impl RecordBatchReader for Timeseries {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

struct Reading {
    micros: i64,
    sensor: String,
    value: Option<f64>,
    status: Option<&'static str>,
}

impl Reading {
    fn of(row: usize) -> Self {
        let (step, sensor) = (row / SENSORS, row % SENSORS);
        let dice = mix(row as u64);
        let wave = (TAU * (step % STEPS_PER_DAY) as f64 / STEPS_PER_DAY as f64 + sensor as f64).sin();
        let noise = (dice >> 40) as f64 / (1 << 24) as f64 - 0.5;
        let value = 20.0 + sensor as f64 / 10.0 + 5.0 * wave + noise;
        // Of a thousand readings 10 are faults, which measure nothing, and 5 come without a status.
        let (status, value) = match dice % 1_000 {
            0..10 => (Some("fault"), None),
            10..40 => (Some("warn"), Some(value + 10.0)),
            40..45 => (None, Some(value)),
            _ => (Some("ok"), Some(value)),
        };
        let micros = FIRST_MICROS + i64::try_from(step).unwrap_or(i64::MAX / STEP_MICROS) * STEP_MICROS;
        let value = value.map(|value| (value * 1_000.0).round() / 1_000.0);
        Self { micros, sensor: format!("sensor-{sensor:03}"), value, status }
    }
}

/// SplitMix64: well mixed bits from a counter, so that each row is random on its own.
fn mix(counter: u64) -> u64 {
    let mut bits = counter.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
