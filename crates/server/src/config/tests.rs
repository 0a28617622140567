//! The layers, the manual and the types agree; what is wrong is said with its place.

use std::collections::BTreeSet;
use std::path::Path;

use tempfile::TempDir;
use tidemill_engine::units::Span;
use toml::{Table, Value};

use super::key::Segment;
use super::*;

/// A server whose environment is only what is given.
fn sources(environment: &[(&str, &str)]) -> Sources {
    let home = ("HOME", "/home/ann");
    let pairs = environment.iter().chain([&home]);
    Sources { environment: pairs.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(), ..Sources::default() }
}

fn with_file(text: &str, environment: &[(&str, &str)]) -> (TempDir, Sources) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    std::fs::write(&path, text).unwrap();
    (folder, Sources { file: Some(path), ..sources(environment) })
}

/// The problems of a file, without the folder it lies in.
fn problems(text: &str) -> Vec<String> {
    let (folder, sources) = with_file(text, &[]);
    let prefix = format!("{}/", folder.path().display());
    load(&sources).unwrap_err().0.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

#[test]
fn the_defaults_hold() {
    let config = load(&sources(&[])).unwrap();
    assert!(config.http.listen.is_loopback());
    assert_eq!(config.engine.data_dir, Path::new("/home/ann/.local/share/tidemill"));
    assert_eq!(config.engine.data_dir, config.server.data_dir);
}

#[test]
fn without_a_home_the_folder_for_data_is_asked_for() {
    let wrong = load(&Sources::default()).unwrap_err().0;
    let told: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("server.data_dir: not set") && told[0].contains("--data-dir"), "{told:?}");
    assert!(load(&Sources::default().flag("--data-dir", "server.data_dir", "/data")).is_ok());
}

#[test]
fn later_layers_win_and_are_named() {
    let (_folder, sources) = with_file(
        "[admission]\nmax_running = 2\nmax_queued = 3\n\n[sessions]\nmax = 4\n",
        &[("TIDEMILL__ADMISSION__MAX_QUEUED", "30"), ("TIDEMILL__SESSIONS__MAX", "40"), ("TIDEMILL_CONFIG", "no.toml")],
    );
    let sources = sources.flag("--set sessions.max", "sessions.max", "400");
    let config = load(&sources).unwrap().engine;
    assert_eq!((config.admission.max_running, config.admission.max_queued, config.sessions.max), (2, 30, 400));

    let (effective, _) = Effective::read(&sources);
    let origin = |name: &str| effective.origin(&key(name)).unwrap().to_string();
    assert!(origin("admission.max_running").ends_with("my.toml:2"));
    assert_eq!(origin("admission.max_queued"), "environment TIDEMILL__ADMISSION__MAX_QUEUED");
    assert_eq!(origin("sessions.max"), "flag --set sessions.max");
    assert_eq!(origin("history.retention"), "default");
}

#[test]
fn values_from_text_take_the_type_of_their_key() {
    let config = load(
        &sources(&[
            ("TIDEMILL__STORAGE__ALLOWED", "s3://lake/, file:///srv/"),
            ("TIDEMILL__SERVER__DEMO", "true"),
            ("TIDEMILL__STORAGE__S3__ACCESS_KEY_ID", "12345"),
            ("TIDEMILL__SETTINGS__BATCH_SIZE", "8192"),
        ])
        .flag("--set", "http.cors_allowed_origins", r#"["https://a.example"]"#)
        .flag("--set", "server.drain_timeout", "5s"),
    )
    .unwrap();
    assert_eq!(config.engine.storage.allowed, ["s3://lake/", "file:///srv/"]);
    assert!(config.server.demo);
    assert_eq!(config.engine.storage.s3.access_key_id.as_deref(), Some("12345"));
    assert_eq!(config.engine.settings["batch_size"], "8192");
    assert_eq!(config.http.cors_allowed_origins, ["https://a.example"]);
    assert_eq!(config.server.drain_timeout, "5s".parse::<Span>().unwrap());
}

#[test]
fn every_problem_is_reported_with_its_place_and_a_way_out() {
    let found = problems(
        r#"
[admission]
max_runing = 2
max_queued = "many"
when_full = "explode"

[memory]
limit = "120%"

[sessions]
max = 0

[http]
listen = "localhost"

[[auth.users]]
name = "ann"
role = "king"
pasword_hash = "x"

[catalogs.lake.schemas.s.tables.t]
format = "csv"
"#,
    );
    let expected = [
        "my.toml:3: admission.max_runing: unknown key; did you mean 'admission.max_running'?",
        "my.toml:4: admission.max_queued: 'many' is not a whole number from 0; accepted: a whole number",
        "my.toml:5: admission.when_full: 'explode' is not one of wait, refuse; accepted: wait or refuse",
        "my.toml:8: memory.limit: '120%' is not a share: write a percentage above 0% and up to 100%, or a size; \
         accepted: a size or a percentage",
        "my.toml:11: sessions.max: 0 is too small; accepted: a whole number, at least 1",
        "my.toml:14: http.listen: 'localhost' is no HOST:PORT: write it such as 127.0.0.1:8080, localhost:8080 or \
         [::1]:8080; accepted: an IP address or a host name, and a port",
        "my.toml:16: auth.users[0].pasword_hash: unknown key; did you mean 'auth.users[0].password_hash'?",
        "my.toml:16: auth.users[0].role: 'king' is not one of admin, writer, reader; accepted: admin, writer or reader",
        "my.toml:22: catalogs.lake.schemas.s.tables.t: 'location' is missing",
    ];
    assert_eq!(found, expected, "{}", found.join("\n"));
}

#[test]
fn a_file_that_is_not_toml_names_its_line() {
    assert_eq!(problems("[admission]\nmax_running = = 2\n").len(), 1);
    assert!(problems("[admission]\nmax_running = = 2\n")[0].starts_with("my.toml:2: not TOML: "));
    let missing = Sources { file: Some("/does/not/exist.toml".into()), ..sources(&[]) };
    assert!(load(&missing).unwrap_err().to_string().starts_with("/does/not/exist.toml: cannot read the file: "));
}

#[test]
fn a_key_of_the_right_name_in_the_wrong_section_is_found() {
    let found = problems("max_body_bytes = 5\n[server]\nlisten = \"127.0.0.1:1\"\n");
    assert!(found.iter().any(|line| line.contains("did you mean 'http.max_body_bytes'")), "{found:?}");
    assert!(found.iter().any(|line| line.contains("did you mean") && line.contains("'http.listen'")), "{found:?}");
    let unknown = load(&sources(&[("TIDEMILL__HTTP__LISTN", "x")])).unwrap_err().to_string();
    assert_eq!(unknown, "environment TIDEMILL__HTTP__LISTN: http.listn: unknown key; did you mean 'http.listen'?");
}

#[test]
fn secrets_are_references_or_masked_and_never_shown() {
    let text = "[auth]\nmode = 'static'\n[[auth.users]]\nname = 'ann'\nrole = 'admin'\npassword_hash = 'env:HASH'\n\
                [storage.s3]\nsecret_access_key = 'file:key'\nsession_token = 'hush'\naccess_key_id = 'id'\n";
    let hash = tidemill_engine::auth::hash_password(&tidemill_engine::auth::Secret::new("pw")).unwrap();
    let (folder, sources) = with_file(text, &[("HASH", hash.expose())]);
    std::fs::write(folder.path().join("key"), "whisper\n").unwrap();

    let config = load(&sources).unwrap();
    assert_eq!(config.auth.users[0].password_hash, hash);
    assert_eq!(config.engine.storage.s3.secret_access_key.as_ref().unwrap().expose(), "whisper");

    let (effective, _) = Effective::read(&sources);
    let shown: String = effective.entries().map(|(key, value, _)| format!("{key} = {value}\n")).collect();
    let said = format!("{shown}{effective:?}{sources:?}{config:?}");
    assert!(shown.contains("env:HASH") && shown.contains("storage.s3.session_token = \"***\""), "{shown}");
    for secret in ["hush", "whisper", hash.expose()] {
        assert!(!said.contains(secret), "{secret} is shown");
    }

    let unset = Sources { environment: super::tests::sources(&[]).environment, ..sources };
    let found = load(&unset).unwrap_err().to_string();
    assert!(found.contains("auth.users[0].password_hash: environment variable HASH is not set"), "{found}");
}

#[test]
fn a_secret_that_is_not_there_is_told_once() {
    let found = problems(
        "[storage.s3]\naccess_key_id = 'env:A'\n[storage.buckets.b]\nsecret_access_key = 'env:B'\n\
         [auth]\nmode = 'static'\n[[auth.users]]\nname = 'ann'\nrole = 'admin'\npassword_hash = 'env:C'\n",
    );
    let expected = [
        "my.toml:2: storage.s3.access_key_id: environment variable A is not set",
        "my.toml:4: storage.buckets.b.secret_access_key: environment variable B is not set",
        "my.toml:7: auth.users[0].password_hash: environment variable C is not set",
    ];
    assert_eq!(found, expected);
}

#[test]
fn paths_in_a_file_are_relative_to_it() {
    let text = "[server]\ndata_dir = 'data'\n[spill]\ndirectories = ['/abs', 'rel']\n\
                [catalogs.c.schemas.s.tables]\na.location = 'a/*.csv'\nb.location = 's3://b/'\n";
    let (folder, sources) = with_file(text, &[]);
    let config = load(&sources).unwrap().engine;
    assert_eq!(config.data_dir, folder.path().join("data"));
    assert_eq!(config.spill.directories, [Path::new("/abs"), &folder.path().join("rel")]);
    let tables = &config.catalogs["c"].schemas["s"].tables;
    assert_eq!(Path::new(&tables["a"].location), folder.path().join("a/*.csv"));
    assert_eq!(tables["b"].location, "s3://b/");
}

#[test]
fn aws_variables_stand_in_where_the_configuration_is_silent() {
    let aws = [("AWS_REGION", "eu-1"), ("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key")];
    let s3 = load(&sources(&aws)).unwrap().engine.storage.s3;
    assert_eq!((s3.region.as_deref(), s3.access_key_id.as_deref()), (Some("eu-1"), Some("id")));
    let (effective, _) = Effective::read(&sources(&aws));
    assert_eq!(effective.origin(&key("storage.s3.region")).unwrap().to_string(), "environment AWS_REGION");

    let mine =
        sources(&aws).flag("--set", "storage.s3.access_key_id", "mine").flag("--set", "storage.s3.region", "us-1");
    let s3 = load(&mine).unwrap().engine.storage.s3;
    assert_eq!((s3.region.as_deref(), s3.access_key_id.as_deref()), (Some("us-1"), Some("mine")));
    assert!(s3.secret_access_key.is_none(), "half of the credentials came from the environment");
}

#[test]
fn an_open_door_without_authentication_is_refused() {
    let found = load(&sources(&[]).flag("--http", "http.listen", "0.0.0.0:8080")).unwrap_err().to_string();
    assert!(found.starts_with("flag --http: http.listen: ") && found.contains("auth.mode"), "{found}");
}

#[test]
fn a_cluster_without_a_token_stays_on_its_machine() {
    let open =
        |key: &str| load(&sources(&[("TIDEMILL__CLUSTER__ENABLED", "true")]).flag("--set", key, "0.0.0.0:50050"));
    for key in ["cluster.listen", "worker.listen"] {
        let found = open(key).unwrap_err().to_string();
        assert!(found.contains(key) && found.contains("cluster.join_token"), "{found}");
    }
    let with_token = sources(&[("TIDEMILL__CLUSTER__ENABLED", "true"), ("TIDEMILL__CLUSTER__JOIN_TOKEN", "hush")]);
    let with_token = with_token.flag("--set", "cluster.listen", "0.0.0.0:0").flag("--set", "worker.listen", "[::]:0");
    let config = load(&with_token).unwrap();
    assert_eq!(config.worker.transport(&config.cluster).join_token, config.cluster.join_token);
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn a_worker_has_bounds() {
    for (key, bad, good) in [("worker.slots", "1025", "1024"), ("worker.memory", "15MiB", "16MiB")] {
        let found = load(&sources(&[]).flag("--set", key, bad)).unwrap_err().to_string();
        assert!(found.contains(&format!("{key}: {bad} is ")), "{found}");
        load(&sources(&[]).flag("--set", key, good)).unwrap();
    }
}

#[test]
fn every_file_of_the_config_folder_is_read_without_a_problem() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let hash = tidemill_engine::auth::hash_password(&tidemill_engine::auth::Secret::new("pw")).unwrap();
    let token = format!("sha256:{}", "0".repeat(64));
    let environment = [
        ("TIDEMILL_ADMIN_HASH", hash.expose()),
        ("TIDEMILL_ANALYST_HASH", hash.expose()),
        ("TIDEMILL_LOADER_TOKEN_HASH", &token),
        ("TIDEMILL_JOIN_TOKEN", "0123456789abcdef"),
    ];
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let file = Some(file.unwrap().path());
        if let Err(problems) = load(&Sources { file, ..sources(&environment) }) {
            panic!("{problems}");
        }
        seen += 1;
    }
    assert!(seen >= 2);
}

#[test]
fn each_key_of_the_manual_says_what_it_means_and_accepts() {
    let reference = Reference::get();
    for entry in &reference.entries {
        assert!(entry.doc.ends_with('.') && !entry.accepts.is_empty(), "{} is not documented", entry.key);
        let name = entry.key.name();
        let sounds_secret = ["password_hash", "secret", "token_hash", "session_token", "access_key_id", "join_token"]
            .iter()
            .any(|word| name.contains(word));
        assert_eq!(entry.is_secret(), sounds_secret, "{} should accept 'a secret'", entry.key);
    }
    let (effective, problems) = Effective::read(&Sources::default());
    assert!(problems.is_empty(), "{problems}");
    let set: Vec<&Key> = effective.entries().filter(|(_, value, _)| !value.is_table()).map(|(key, ..)| key).collect();
    let listed: BTreeSet<&Key> = reference.entries.iter().filter(|e| e.is_default).map(|e| &e.key).collect();
    assert_eq!(set.into_iter().collect::<BTreeSet<_>>(), listed, "each default is on one line of its own");
}

/// Serde names the fields of a struct when it meets one that is not there; so each section is asked in turn.
#[test]
fn the_manual_and_the_types_have_the_same_keys() {
    let reference = Reference::get();
    let mut complete = Value::Table(Table::new());
    for entry in &reference.entries {
        if !reference.has_keys_below(&entry.key.element(0)) {
            put(&mut complete, entry.key.segments(), entry.value.clone());
        }
    }
    decode::decode::<Document>(complete.as_table().unwrap().clone()).unwrap();

    let sections: BTreeSet<Key> = reference.entries.iter().map(|entry| entry.key.parent()).collect();
    let mut asked = 0;
    for section in sections.iter().filter(|section| !section.segments().is_empty()) {
        let mut table = complete.clone();
        let probe = section.child("no such key");
        put(&mut table, probe.segments(), Value::Boolean(true));
        // Maps from names of the user's choice accept the probe.
        let Err(error) = decode::decode::<Document>(table.as_table().unwrap().clone()) else { continue };
        let message = error.to_string();
        let Some((_, fields)) = message.split_once("expected one of ") else { continue };
        let children = |key: &Key| key.segments().get(section.segments().len()).cloned();
        let known = reference.entries.iter().map(|e| &e.key).chain(reference.sections.iter().map(|(key, _)| key));
        let documented: BTreeSet<Segment> = known.filter(|key| key.is_within(section)).filter_map(children).collect();
        let fields: BTreeSet<Segment> = fields.split(", ").map(|field| Segment::Name(field.to_owned())).collect();
        assert_eq!(fields, documented, "section {section}");
        asked += 1;
    }
    assert!(asked >= 15, "only {asked} sections were compared");
}

/// Sets a value in a tree, whatever has to grow for it.
fn put(tree: &mut Value, path: &[Segment], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *tree = value;
        return;
    };
    let empty = |rest: &[Segment]| match rest.first() {
        Some(Segment::Index(_)) => Value::Array(Vec::new()),
        _ => Value::Table(Table::new()),
    };
    match (first, tree) {
        (Segment::Name(name), Value::Table(table)) => {
            put(table.entry(name.clone()).or_insert_with(|| empty(rest)), rest, value);
        }
        (Segment::Index(index), Value::Array(items)) => {
            if items.len() <= *index {
                items.push(empty(rest));
            }
            put(&mut items[*index], rest, value);
        }
        (segment, _) => panic!("{segment:?} does not fit"),
    }
}
