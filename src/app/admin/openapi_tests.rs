//! The description of the API names every path and every method, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::desk::Desk;
use super::tests::{ask, start};
use super::*;

fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let document: Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let methods = |path: &Value| path.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
    paths.iter().map(|(path, operations)| (path.clone(), methods(operations))).collect()
}

#[tokio::test]
async fn every_route_is_documented_with_its_methods_and_nothing_else_is() {
    let server = start().await;
    let desk = Arc::new(Desk::new(server.state.clone()));
    let mut served = BTreeMap::new();
    for (path, _) in routes::paths(&desk).into_iter().chain(routes::intake(&desk)) {
        let refused = ask(server.address, "BREW", &path.replace(['{', '}'], "x"), "").await;
        assert_eq!(refused.status, 405, "{path}");
        let allowed = refused.header("allow").unwrap().split(',').filter(|method| *method != "HEAD");
        served.insert(path.to_owned(), allowed.map(str::to_owned).collect::<BTreeSet<_>>());
    }
    assert_eq!(served, documented());
}
