//! Where a listener stands, as an operator writes it.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use serde::Deserialize;

/// `HOST:PORT`. A name is looked up once, when it is read, so that what was checked is what is bound.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddress {
    text: String,
    /// At least one.
    addresses: Vec<SocketAddr>,
}

impl ListenAddress {
    /// All that the name stands for; the first that can be bound is listened at.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether only this machine reaches it, whichever address is bound.
    pub fn is_loopback(&self) -> bool {
        self.addresses.iter().all(|address| address.ip().to_canonical().is_loopback())
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self { text: text.to_owned(), addresses: vec![address] });
        }
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        let Some((host, port)) = parts.filter(|(host, _)| !host.is_empty()) else {
            return Err(format!(
                "'{text}' is no HOST:PORT: write it such as 127.0.0.1:8080, localhost:8080 or [::1]:8080"
            ));
        };
        let addresses =
            (host, port).to_socket_addrs().map_err(|error| format!("no address of '{host}' is found: {error}"));
        let addresses: Vec<_> = addresses?.collect();
        if addresses.is_empty() {
            return Err(format!("no address of '{host}' is found"));
        }
        Ok(Self { text: text.to_owned(), addresses })
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_understood() {
        for text in ["127.0.0.1:0", "[::1]:8080", "localhost:8080"] {
            let address: ListenAddress = text.parse().unwrap();
            assert!(address.is_loopback() && !address.addresses().is_empty(), "{text}");
            assert_eq!(address.to_string(), text);
        }
        assert!(!"0.0.0.0:80".parse::<ListenAddress>().unwrap().is_loopback());
        for bad in ["localhost", ":8080", "localhost:http", "localhost:70000", ""] {
            assert!(bad.parse::<ListenAddress>().unwrap_err().contains("HOST:PORT"), "{bad}");
        }
    }

    #[test]
    fn one_address_beyond_loopback_is_enough() {
        let addresses = ["127.0.0.1:1", "192.0.2.1:1"].map(|address| address.parse().unwrap()).to_vec();
        assert!(!ListenAddress { text: "h:1".to_owned(), addresses }.is_loopback());
    }
}
