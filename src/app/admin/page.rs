//! The status page: files that ask for nothing outside.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::answers::plain;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Name, content type, content.
const FILES: [(&str, &str, &str); 8] = [
    ("page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("main.js", SCRIPT, include_str!("page/main.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("providers.js", SCRIPT, include_str!("page/providers.js")),
    ("batches.js", SCRIPT, include_str!("page/batches.js")),
    ("results.js", SCRIPT, include_str!("page/results.js")),
    ("ask.js", SCRIPT, include_str!("page/ask.js")),
];

pub(super) async fn index() -> Response {
    ([(CONTENT_TYPE, HTML)], include_str!("page/index.html")).into_response()
}

pub(super) async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, _, _)| *known == name) {
        Some((_, kind, content)) => ([(CONTENT_TYPE, *kind)], *content).into_response(),
        None => plain(StatusCode::NOT_FOUND, "the page has no such file"),
    }
}

/// What this port answers, for programs.
pub(super) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], include_str!("openapi.json")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_nothing_outside_and_makes_no_markup_of_texts() {
        let index = ("index.html", HTML, include_str!("page/index.html"));
        for (name, _, content) in FILES.into_iter().chain([index]) {
            let named = content.replace("http://www.w3.org/2000/svg", "");
            for forbidden in ["http:", "https:", "@import", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval("] {
                assert!(!named.contains(forbidden), "{name}: {forbidden}");
            }
        }
    }
}
