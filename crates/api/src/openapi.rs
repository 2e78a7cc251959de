//! The description of HTTP for programs: OpenAPI 3.1, written by hand in `openapi.json`.
//!
//! The server has a test that compares its paths and methods with the routes that are served.

/// The document, as `/openapi.json` serves it.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// Paths with their methods, as the document has them, sorted.
pub fn paths() -> Vec<(String, Vec<String>)> {
    let document: serde_json::Value = serde_json::from_str(DOCUMENT).expect("openapi.json is JSON, by a test");
    let paths = document["paths"].as_object().expect("openapi.json has paths, by a test");
    let methods =
        |item: &serde_json::Value| item.as_object().map(|item| item.keys().cloned().collect()).unwrap_or_default();
    paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document: serde_json::Value = serde_json::from_str(DOCUMENT).expect("JSON");
        let mut references = 0;
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            if let Some(reference) = value.get("$ref").and_then(serde_json::Value::as_str) {
                let pointer = reference.strip_prefix('#').expect("a reference within the document");
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
                references += 1;
            }
            match value {
                serde_json::Value::Object(members) => open.extend(members.values()),
                serde_json::Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
        assert!(references > 50);
        assert!(!paths().is_empty());
    }

    #[test]
    fn the_document_has_the_fields_that_are_read() {
        let document: serde_json::Value = serde_json::from_str(DOCUMENT).expect("JSON");
        let required = |name: &str| document["components"]["schemas"][name]["required"].to_string();
        assert_eq!(required("MoveMoney"), r#"["source","destination","amount"]"#);
        let problem = crate::json::read::<crate::json::MoveMoney>(b"{}").expect_err("all are missing");
        assert!(problem.detail.contains("source"), "{}", problem.detail);
    }
}
