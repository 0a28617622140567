use std::path::Path;

use url::Url;

use super::config;
use crate::ErrorKind;
use crate::storage::{Location, StoragePolicy};

fn policy(allowed: &[&str]) -> StoragePolicy {
    StoragePolicy::new(&config(allowed), Path::new("/srv/tidemill"), &["/srv/tidemill/demo".into()]).unwrap()
}

#[track_caller]
fn check(allowed: &[&str], open: &[&str], closed: &[&str]) {
    let policy = policy(allowed);
    for url in open {
        policy.check_allowed(Location::parse(url).unwrap().url()).unwrap();
    }
    for url in closed {
        let error = policy.check_allowed(Location::parse(url).unwrap().url()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{url}");
    }
}

#[test]
fn nothing_is_open_by_default() {
    check(&[], &[], &["/tmp/a.csv", "s3://b/a.csv", "https://example.org/a.csv"]);
}

#[test]
fn a_prefix_ends_at_a_segment() {
    check(&["/data"], &["/data/a.csv", "/data/x/../a/*.csv"], &["/database/a.csv", "/data/../etc/passwd", "/"]);
    check(
        &["s3://b/in/", "https://"],
        &["s3://b/in/x.csv", "s3a://b/in/*.csv", "s3://b/in/", "https://any.example/x?sig=1"],
        &["s3://b/input.csv", "s3://c/in/x.csv", "http://any.example/x"],
    );
}

#[test]
fn the_servers_own_data_is_closed_but_for_what_is_shown() {
    check(&["file:///"], &["/srv/tidemill/demo/t.parquet"], &["/srv/tidemill/history.db", "/srv/x/../tidemill/*"]);
}

#[test]
fn a_link_does_not_lead_out() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc", folder.path().join("link")).unwrap();
    let inside = folder.path().to_str().unwrap();
    check(&[inside], &[&format!("{inside}/a.csv")], &[&format!("{inside}/link/passwd")]);
}

#[test]
fn the_message_has_no_signature() {
    let url = Url::parse("https://example.org/a.csv?sig=secret").unwrap();
    let error = policy(&[]).check_allowed(&url).unwrap_err();
    assert!(error.message().contains("https://example.org/a.csv"));
    assert!(!format!("{error:?}").contains("secret"));
}

#[test]
fn schemes_without_a_store_are_named() {
    let error = Location::parse("gs://bucket/a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("Google Cloud Storage"));
}
