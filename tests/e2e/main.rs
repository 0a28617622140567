//! Tidemill.

#[cfg(test)]
mod flight_sql;
#[cfg(test)]
#[path = "../tidy.rs"]
mod tidy;
