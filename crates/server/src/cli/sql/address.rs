//! Where a server is, and who we are to it.

use std::error::Error;

use tidemill_engine::auth::Secret;
use url::{Host, Url};

use super::failure::Failure;

/// Who we are to the server.
#[derive(Debug)]
pub(crate) enum Login {
    /// Nobody in particular.
    Anonymous,
    /// A user with a password.
    Password(String, Secret),
    /// An API token.
    Token(Secret),
}

/// The protocol in which a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// SQL over HTTP.
    Http,
    /// Flight SQL over gRPC.
    FlightSql,
}

/// The address of a server, and the protocol that it names.
///
/// # Errors
/// `Usage` when it is no such address, or one that holds credentials.
pub(crate) fn parse(url: &str) -> Result<(Protocol, Url), Failure> {
    let usage = |reason: &str| Failure::Usage(format!("'{url}' is not the URL of a server: {reason}"));
    let example = "give one such as http://127.0.0.1:8080 or grpc://127.0.0.1:8080";
    let parsed = Url::parse(url).map_err(|error| usage(&format!("{error}; {example}")))?;
    let protocol = match parsed.scheme() {
        "http" | "https" => Protocol::Http,
        "grpc" | "grpc+tls" => Protocol::FlightSql,
        _ => return Err(usage(example)),
    };
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(usage(example));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        // Others on the machine can read a command line.
        return Err(usage("give the user by --user and the password by TIDEMILL_PASSWORD"));
    }
    if protocol == Protocol::FlightSql {
        if parsed.port().is_none() {
            return Err(usage(&format!("it has no port; {example}")));
        }
        if !matches!(parsed.path(), "" | "/") || parsed.query().is_some() {
            return Err(usage(&format!("Flight SQL knows no paths; {example}")));
        }
    }
    Ok((protocol, parsed))
}

/// Whether only this machine is meant.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The innermost cause: what libraries wrap around it says only that sending failed.
pub(crate) fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_server_urls_are_accepted() {
        for bad in [
            "8080",
            "ftp://host",
            "localhost:8080",
            "http://user:secret@host",
            "grpc://user:secret@host:8080",
            "grpc://host",
            "grpc:///",
            "grpc://host:8080/path",
            "grpc+tcp://host:8080",
        ] {
            assert!(matches!(parse(bad), Err(Failure::Usage(_))), "{bad}");
        }
        for (good, protocol) in [
            ("https://example.com/tidemill", Protocol::Http),
            ("grpc://127.0.0.1:8080", Protocol::FlightSql),
            ("grpc+tls://[::1]:8443/", Protocol::FlightSql),
        ] {
            assert_eq!(parse(good).unwrap().0, protocol, "{good}");
        }
    }

    #[test]
    fn loopback_is_told_from_the_network() {
        assert!(is_loopback(&parse("http://[::1]:8080/").unwrap().1));
        assert!(!is_loopback(&parse("https://example.com").unwrap().1));
    }
}
