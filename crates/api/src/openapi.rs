//! The description of HTTP for programs: OpenAPI 3.1, written by hand, one of a bank and one of the gateway.
//!
//! The server has a test that compares its paths and methods with the routes that are served.

/// The document of a bank, as its `/openapi.json` serves it.
pub const DOCUMENT: &str = include_str!("openapi.json");
/// The document of the gateway.
pub const GATEWAY_DOCUMENT: &str = include_str!("openapi_gateway.json");

/// Paths with their methods, as a document has them, sorted.
pub fn paths(document: &str) -> Vec<(String, Vec<String>)> {
    let document: serde_json::Value = serde_json::from_str(document).expect("openapi.json is JSON, by a test");
    let paths = document["paths"].as_object().expect("openapi.json has paths, by a test");
    let methods =
        |item: &serde_json::Value| item.as_object().map(|item| item.keys().cloned().collect()).unwrap_or_default();
    paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_documents_leads_somewhere() {
        [DOCUMENT, GATEWAY_DOCUMENT].into_iter().for_each(all_lead_somewhere);
    }

    fn all_lead_somewhere(text: &str) {
        let document: serde_json::Value = serde_json::from_str(text).expect("JSON");
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
        assert!(!paths(text).is_empty());
    }

    #[test]
    fn the_document_has_the_fields_that_are_read() {
        let document: serde_json::Value = serde_json::from_str(DOCUMENT).expect("JSON");
        let required = |name: &str| document["components"]["schemas"][name]["required"].to_string();
        assert_eq!(required("MoveMoney"), r#"["source","destination","amount"]"#);
        let gateway: serde_json::Value = serde_json::from_str(GATEWAY_DOCUMENT).expect("JSON");
        assert_eq!(gateway["components"]["schemas"]["Pay"]["required"].to_string(), r#"["payee","amount"]"#);
        let problem = crate::json::read::<crate::json::Pay>(b"{}").expect_err("both are missing");
        assert!(problem.detail.contains("payee"), "{}", problem.detail);
        let problem = crate::json::read::<crate::json::MoveMoney>(b"{}").expect_err("all are missing");
        assert!(problem.detail.contains("source"), "{}", problem.detail);
    }
}
