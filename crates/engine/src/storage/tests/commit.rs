use std::path::Path;
use std::sync::Arc;

use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;
use tokio::runtime::Handle;
use url::Url;

use super::{context, stores};
use crate::ErrorKind;
use crate::storage::FileCommit;

/// The names of all files and folders below, staged ones included.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        if path.is_dir() {
            names.extend(self::names(&path));
        }
    }
    names.sort();
    names
}

fn store(commit: &FileCommit) -> Arc<dyn ObjectStore> {
    commit.registry(stores()).get_store(&Url::parse("file:///").unwrap()).unwrap()
}

fn object(folder: &TempDir, name: &str) -> ObjectPath {
    ObjectPath::from_absolute_path(folder.path().join(name)).unwrap()
}

#[tokio::test]
async fn files_appear_together_at_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let commit = FileCommit::new(Handle::current());
    let store = store(&commit);
    store.put(&object(&folder, "a.csv"), "small".into()).await.unwrap();
    let mut upload = store.put_multipart(&object(&folder, "sub/b.csv")).await.unwrap();
    upload.put_part("part".into()).await.unwrap();
    upload.complete().await.unwrap();
    assert!(!folder.path().join("a.csv").exists());
    assert!(!folder.path().join("sub/b.csv").exists());
    assert_eq!(commit.commit().await.unwrap(), 2);
    assert_eq!(names(folder.path()), ["a.csv", "b.csv", "sub"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("sub/b.csv")).unwrap(), "part");
}

#[tokio::test]
async fn an_abort_leaves_nothing_not_even_folders() {
    let folder = tempfile::tempdir().unwrap();
    let commit = FileCommit::new(Handle::current());
    let store = store(&commit);
    store.put(&object(&folder, "x/y/a.csv"), "small".into()).await.unwrap();
    store.put(&object(&folder, "x/y/b.csv"), "small".into()).await.unwrap();
    store.put(&object(&folder, "x/c.csv"), "small".into()).await.unwrap();
    commit.abort().await;
    assert!(names(folder.path()).is_empty());
    assert!(store.put(&object(&folder, "late.csv"), "small".into()).await.is_err());
    assert!(names(folder.path()).is_empty());
}

#[tokio::test]
async fn a_place_that_can_not_be_written_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "before").unwrap();
    let commit = FileCommit::new(Handle::current());
    assert!(commit.failure().is_none());
    store(&commit).put(&object(&folder, "file/a.csv"), "after".into()).await.unwrap_err();
    let error = commit.failure().unwrap();
    assert_eq!((error.kind(), error.retryable()), (ErrorKind::Invalid, false));
    let folder = folder.path().display();
    assert_eq!(
        error.message(),
        format!("'{folder}/file/a.csv' can not be written: '{folder}/file' is a file, not a folder")
    );
    commit.abort().await;
    assert!(
        store(&FileCommit::new(Handle::current())).put(&ObjectPath::from("proc/none/a.csv"), "x".into()).await.is_err()
    );
}

#[tokio::test]
async fn a_failing_file_takes_the_new_ones_back() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("old.csv"), "before").unwrap();
    let commit = FileCommit::new(Handle::current());
    let store = store(&commit);
    for name in ["new.csv", "old.csv", "broken.csv"] {
        store.put(&object(&folder, name), "after".into()).await.unwrap();
    }
    // A folder in the place of the file makes its rename fail.
    std::fs::create_dir_all(folder.path().join("broken.csv/in-the-way")).unwrap();
    let error = commit.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(!folder.path().join("new.csv").exists());
    assert!(folder.path().join("old.csv").exists());
    assert!(!names(folder.path()).iter().any(|name| name.contains('#')), "{:?}", names(folder.path()));
}

#[tokio::test]
async fn a_copy_that_fails_in_the_middle_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let copy = |limit: &str| {
        format!(
            "COPY (SELECT {limit} / (value - 3) AS v FROM generate_series(1, 5)) TO '{}/' STORED AS CSV",
            out.display()
        )
    };

    let commit = FileCommit::new(Handle::current());
    let failing = context(commit.registry(stores()));
    assert!(failing.sql(&copy("1")).await.unwrap().collect().await.is_err());
    commit.abort().await;
    assert!(!out.exists());

    let commit = FileCommit::new(Handle::current());
    let working = context(commit.registry(stores()));
    working.sql(&copy("1.0")).await.unwrap().collect().await.unwrap();
    assert!(commit.commit().await.unwrap() >= 1);
    assert!(!names(&out).is_empty());
}
