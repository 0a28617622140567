//! What happens in the core, as one bounded stream of typed events. Readers that lag lose events and can ask for the state.

use super::{QueryId, QueryState};

/// Something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A query entered a state.
    Query {
        /// Which query.
        id: QueryId,
        /// The state it entered.
        state: QueryState,
    },
}
