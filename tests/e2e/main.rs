//! Tidemill.

#[cfg(test)]
mod elsewhere;
#[cfg(test)]
mod flight_sql;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod patience;
#[cfg(test)]
mod runner;
#[cfg(test)]
#[path = "../tidy.rs"]
mod tidy;
