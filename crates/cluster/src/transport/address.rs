//! Where a process of the cluster is reached.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// A host and a port; the host is a name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || format!("'{text}' is not HOST:PORT, such as coordinator.example.org:50050 or 10.0.0.1:50050");
        let (host, port) = text.rsplit_once(':').ok_or_else(fail)?;
        let port = port.parse().map_err(|_| fail())?;
        let is_ipv6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match is_ipv6 {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)),
        };
        if is_host { Ok(Self { host: host.to_owned(), port }) } else { Err(fail()) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses() {
        for text in ["localhost:1", "worker-0.workers.svc:50051", "10.0.0.1:50051", "[::1]:0"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "localhost", ":1", "::1:5", "[::1", "a b:1", "host:port", "host:70000", "http://host:1"] {
            assert!(text.parse::<Address>().unwrap_err().contains("HOST:PORT"), "{text}");
        }
    }
}
