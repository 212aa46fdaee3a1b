//! The index page: one file, no script, nothing from outside.

pub(super) fn index(version: &str, worker: &str) -> String {
    let (version, worker) = (escaped(version), escaped(worker));
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>roomsweep</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}
dt {{ font-family: ui-monospace, monospace }}
</style>
</head>
<body>
<h1>roomsweep</h1>
<p>Version {version}, worker {worker}.</p>
<dl>
<dt><a href="/metrics">/metrics</a></dt><dd>for Prometheus</dd>
<dt><a href="/healthz">/healthz</a></dt><dd>whether the process answers</dd>
<dt><a href="/readyz">/readyz</a></dt><dd>whether it is connected and at work</dd>
<dt><a href="/api/status">/api/status</a></dt><dd>what it is doing, as JSON</dd>
<dt>POST /api/jobs</dt><dd>takes one job or an array of them: 202 once they are durable</dd>
</dl>
</body>
</html>
"#
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_and_never_markup() {
        let html = index("1", "<script>&\"");
        assert!(html.contains("&lt;script&gt;&amp;&quot;") && !html.contains("<script>"));
    }

    #[test]
    fn the_page_asks_for_nothing_outside() {
        let html = index("1", "w");
        assert!(!html.contains("//") && !html.contains("src="), "{html}");
    }
}
