//! What has to be done now and then: sessions and results expire, quotas that only the whole server can see are enforced.

use std::sync::Weak;
use std::time::Duration;

use chrono::Utc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Engine;

/// Often enough that a spill quota is passed by little.
const PERIOD: Duration = Duration::from_millis(250);

/// Every so many periods, queries that run are stored as they are.
const CHECKPOINT: u32 = 8;

/// Every so many periods, what expires in minutes is looked at.
const SLOW: u32 = 20;

pub(super) fn start(engine: Weak<Engine>, stop: CancellationToken) {
    let sweep = async move {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for round in 0u32.. {
            ticks.tick().await;
            let Some(engine) = engine.upgrade() else { return };
            engine.environment.spill.enforce();
            if round % CHECKPOINT == 0 {
                engine.queries.checkpoint();
            }
            if round % SLOW == 0 {
                engine.sessions.expire();
                engine.results.sweep(Utc::now());
                engine.cache.expire();
                engine.queries.history().sweep(Utc::now());
            }
        }
    };
    // It ends by the token, when the engine is dropped.
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = sweep => {}
        }
    });
}
