//! The doors that share a port, as one service for the listener.

use std::sync::Arc;

use axum::Router;
use tidemill_engine::Engine;

use crate::config::{FlightSqlConfig, HttpConfig, MetricsConfig};
use crate::configuration::Configuration;
use crate::gate::{Gate, LoginLimits};
use crate::{flight_sql, http};

/// What the doors are told.
#[derive(Debug, Clone)]
pub struct Doors {
    /// The HTTP door, and the port.
    pub http: Arc<HttpConfig>,
    /// A listener of its own for the metrics.
    pub metrics: MetricsConfig,
    /// The Flight SQL door, on the same port.
    pub flight_sql: Arc<FlightSqlConfig>,
}

impl Doors {
    /// HTTP, and Flight SQL if it is enabled: gRPC is HTTP/2 with paths of its own.
    pub fn routers(&self, engine: &Arc<Engine>, configuration: Arc<dyn Configuration>) -> http::Routers {
        let limits = LoginLimits {
            max_failures_per_minute: self.http.max_failed_logins,
            max_checks: self.http.max_password_checks,
        };
        let gate = Gate::new(Arc::clone(engine.authenticator()), limits);
        let mut routers = http::routers(Arc::clone(engine), &self.http, &self.metrics, configuration, gate.clone());
        if self.flight_sql.enabled {
            let service = flight_sql::service(Arc::clone(engine), gate, Arc::clone(&self.flight_sql));
            let grpc = Router::new().route_service(flight_sql::PATH, service);
            routers.api = routers.api.merge(http::limits::guard(grpc, &self.http));
        }
        routers
    }
}
