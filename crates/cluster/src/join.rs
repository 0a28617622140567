//! What a worker and its coordinator tell each other besides Ballista's own messages: who one is, how one is, and why a task
//! failed. It travels in the metadata of the requests.

mod deliveries;
mod failure;
mod report;

pub use deliveries::{Deliveries, SEQUENCE};
pub use failure::{fail_text, read_fail};
pub use report::{REPORT, Report};
