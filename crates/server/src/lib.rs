//! Tidemill, the server: configuration, command line and the composition of all parts.

pub mod cli {
    //! The command line.
    pub mod config;
}
pub mod config;
pub mod machine;
pub mod telemetry;
