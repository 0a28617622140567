//! The doors of Tidemill: each decodes bytes into requests for a session, and encodes what the session streams back.
//!
//! Doors are siblings that never import each other; what they share is how they [`listen`].

pub mod config;
pub mod configuration;
pub mod doors;
pub mod flight_sql;
pub mod gate;
pub mod http;
pub mod listen;
