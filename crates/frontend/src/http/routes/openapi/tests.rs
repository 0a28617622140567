use std::collections::BTreeSet;

use serde_json::Value;

use crate::http::routes::described;

fn description() -> Value {
    serde_json::to_value(described().1).unwrap()
}

/// All values of `$ref` below a node.
fn references<'a>(node: &'a Value, found: &mut BTreeSet<&'a str>) {
    match node {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let description = description();
    let mut found = BTreeSet::new();
    references(&description, &mut found);
    assert!(found.contains("#/components/schemas/Problem"));
    for reference in found {
        assert!(description.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

#[test]
fn every_operation_declares_its_path_and_its_failures() {
    let description = description();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let declared: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            let named: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(declared, named, "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
            if path.starts_with("/v1/") {
                assert!(operation["responses"]["default"].is_object(), "{method} {path}");
            }
        }
    }
}

#[test]
fn the_description_is_of_openapi_3_1() {
    assert!(description()["openapi"].as_str().unwrap().starts_with("3.1"));
}
