//! What the result cache did.

use tidemill_engine::cache::{CacheStatus, CacheUsage};

use super::Page;

impl Page {
    pub(super) fn cache(&mut self, usage: &CacheUsage) {
        let gauges = [
            ("tidemill_cache_entries", "Results in the cache.", usage.entries),
            ("tidemill_cache_bytes", "Memory held by the result cache.", usage.bytes),
        ];
        for (name, help, value) in gauges {
            self.head(name, "gauge", help);
            self.sample(name, "", value);
        }
        let name = "tidemill_cache_evicted_total";
        self.head(name, "counter", "Results that gave way to others or to queries.");
        self.sample(name, "", usage.evicted);
        let name = "tidemill_cache_answers_total";
        self.head(name, "counter", "Answers to questions, by where they came from.");
        for (status, count) in CacheStatus::ALL.into_iter().zip(usage.given) {
            self.sample(name, &format!("status=\"{}\"", status.name()), count);
        }
    }
}
