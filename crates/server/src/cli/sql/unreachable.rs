//! Why a server can not be reached, in words that say what to do: what TLS says by itself is for those who wrote it.

use std::error::Error;

use url::Url;

use super::address::innermost;
use super::failure::Failure;

/// The failure to reach the server at `base`.
pub(super) fn unreachable(base: &Url, error: &dyn Error) -> Failure {
    let cause = innermost(error);
    let refused = if cause.contains("refused") { "; is the server running?" } else { "" };
    let told = told(base, &cause).unwrap_or_else(|| format!("{cause}{refused}"));
    Failure::Connection(format!("cannot reach {base}: {told}"))
}

/// What is known of the cause.
fn told(base: &Url, cause: &str) -> Option<String> {
    let tls = matches!(base.scheme(), "https" | "grpc+tls");
    if let (true, Some(why)) = (tls, cause.strip_prefix("invalid peer certificate: ")) {
        return Some(certificate(why));
    }
    if tls && cause.contains("InvalidContentType") {
        return Some(format!("it answers without TLS; try {}", with_scheme(base, without_tls(base))));
    }
    let answers = if tls { None } else { strange(cause) };
    answers.map(|answers| format!("{answers}; if it speaks TLS, try {}", with_scheme(base, with_tls(base))))
}

/// What a TLS server does to who does not speak it, in the words of HTTP/1.1 and of HTTP/2. It sends an alert and closes the
/// connection, and which of the two is seen first is a matter of chance.
fn strange(cause: &str) -> Option<&'static str> {
    const NO_HTTP: [&str; 2] = ["invalid http version", "frame with invalid size"];
    const CLOSED: [&str; 6] = [
        "connection closed",
        "connection reset",
        "broken pipe",
        "not connected",
        "unexpected end of file",
        "not a result of an error",
    ];
    let cause = cause.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| cause.contains(words));
    if says(&NO_HTTP) {
        return Some("it does not answer as HTTP");
    }
    says(&CLOSED).then_some("it closes the connection")
}

/// Why a certificate is refused.
fn certificate(why: &str) -> String {
    if why.contains("UnknownIssuer") {
        return "its certificate is not from an authority that this machine trusts, or is self-signed; set SSL_CERT_FILE to \
                a PEM file with the certificate of the authority, or the self-signed one"
            .to_owned();
    }
    if why.contains("CaUsedAsEndEntity") {
        return "its certificate is self-signed and that of an authority, which no server may show; make it with \
                basicConstraints=CA:FALSE, and set SSL_CERT_FILE to it here"
            .to_owned();
    }
    if why.contains("not valid for name") || why.contains("NotValidForName") {
        return format!(
            "its certificate is for another name: {why}; use a name that it is for, or let it be made for this one"
        );
    }
    if why.contains("xpired") || why.contains("not valid yet") || why.contains("NotValidYet") {
        return format!(
            "its certificate is not valid today: {why}; let it be renewed, or set the clock of this machine"
        );
    }
    format!("its certificate is refused: {why}")
}

fn without_tls(base: &Url) -> &'static str {
    if base.scheme() == "https" { "http" } else { "grpc" }
}

fn with_tls(base: &Url) -> &'static str {
    if base.scheme() == "http" { "https" } else { "grpc+tls" }
}

fn with_scheme(base: &Url, scheme: &str) -> String {
    format!("{scheme}{}", &base.as_str()[base.scheme().len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(url: &str, cause: &str) -> String {
        let error = std::io::Error::other(cause.to_owned());
        unreachable(&Url::parse(url).unwrap(), &error).to_string()
    }

    #[test]
    fn an_expired_certificate_is_told() {
        let told = reached("https://h:1/", "invalid peer certificate: certificate expired: verification time 2 (UNIX)");
        assert!(told.starts_with("cannot reach https://h:1/: its certificate is not valid today: "), "{told}");
    }

    /// The alert of a TLS server may be read before its end of the connection, or not at all.
    #[test]
    fn a_connection_that_closes_may_be_one_of_tls() {
        for cause in [
            "frame with invalid size",
            "connection closed",
            "stream closed because of a broken pipe",
            "Broken pipe (os error 32)",
            "Connection reset by peer (os error 104)",
        ] {
            let told = reached("grpc://h:1", cause);
            assert!(told.ends_with("; if it speaks TLS, try grpc+tls://h:1"), "{told}");
        }
        assert_eq!(reached("grpc+tls://h:1", "connection closed"), "cannot reach grpc+tls://h:1: connection closed");
    }

    #[test]
    fn what_is_not_about_tls_is_told_as_it_is() {
        assert_eq!(
            reached("grpc://h:1", "Connection refused"),
            "cannot reach grpc://h:1: Connection refused; is the server running?"
        );
    }
}
