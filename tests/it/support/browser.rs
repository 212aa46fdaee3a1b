//! A real Chromium, driven over the W3C WebDriver protocol by a chromedriver of the test's own.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::{eventually, free_address};

/// What the page does on its own is seen within this time.
pub const SOON: Duration = Duration::from_secs(20);

/// A busy machine takes its time to start a browser.
const PATIENCE: Duration = Duration::from_secs(60);

const FLAGS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    // Pictures show the whole width.
    "--hide-scrollbars",
    "--window-size=1200,900",
];

/// The names of keys on the wire.
pub mod key {
    pub const TAB: &str = "\u{e004}";
    pub const ENTER: &str = "\u{e007}";
    pub const ESCAPE: &str = "\u{e00c}";
}

/// A browser with one window; it and its driver end when dropped.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
}

/// How a page is looked at.
#[derive(Clone, Copy)]
pub enum Scheme {
    Light,
    Dark,
}

impl Browser {
    pub async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary directory");
        let log = profile.path().join("chromedriver.log");
        // A port that it chose itself may be taken on the other loopback, of IPv6, and then it ends.
        let address = free_address();
        let mut driver = Command::new("chromedriver")
            .args([format!("--port={}", address.port()), format!("--log-path={}", log.display())])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver: tests/run brings the package chromium-driver");
        until_it_listens(&mut driver);
        let mut arguments: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().join("profile").display()));
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let mut browser = Self { driver, address, session: String::new(), _profile: profile };
        let session = browser.send("POST", "/session", &capabilities).await;
        session["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        // It begins with a page of its own, which is no concern of anybody's.
        browser.open("about:blank").await;
        browser.requests().await;
        browser
    }

    pub async fn open(&self, url: &str) {
        self.command("url", json!({ "url": url })).await;
    }

    /// What a piece of script returns.
    pub async fn run(&self, script: &str) -> Value {
        self.command("execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// A text that a piece of script returns.
    pub async fn text(&self, script: &str) -> String {
        self.run(script).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true.
    pub async fn until(&self, expression: &str) {
        let script = format!("return Boolean({expression});");
        eventually(expression, SOON, || async { (self.run(&script).await == true).then_some(()) }).await;
    }

    /// Presses and releases one key after another.
    pub async fn press(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| {
            let key = key.to_string();
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        });
        let actions = json!([{ "type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>() }]);
        self.command("actions", json!({ "actions": actions })).await;
    }

    /// Clicks on what a selector finds first, as a person would: it must be there to be hit.
    pub async fn click(&self, selector: &str) {
        let found = self.command("element", json!({ "using": "css selector", "value": selector })).await;
        let id = found.as_object().and_then(|element| element.values().next()?.as_str()).expect("an element");
        self.command(&format!("element/{id}/click"), json!({})).await;
    }

    /// The size of the window's inside in CSS pixels, and the colours.
    pub async fn look(&self, width: u32, height: u32, scheme: Scheme) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.command("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// A picture of the whole page, into a file.
    pub async fn picture(&self, file: &Path) {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.devtools("Page.captureScreenshot", whole).await;
        let png = STANDARD.decode(answer["data"].as_str().expect("a picture")).expect("base64");
        std::fs::write(file, png).expect("written");
    }

    /// The lines of the console since the last time, errors of the network among them.
    pub async fn console(&self) -> Vec<String> {
        let lines = self.command("se/log", json!({ "type": "browser" })).await;
        let lines = lines.as_array().cloned().unwrap_or_default();
        lines.iter().map(|line| format!("{}: {}", line["level"], line["message"])).collect()
    }

    /// The addresses of all requests since the last time.
    pub async fn requests(&self) -> Vec<String> {
        let lines = self.command("se/log", json!({ "type": "performance" })).await;
        let messages = lines.as_array().cloned().unwrap_or_default();
        let read = |line: &Value| {
            let message: Value = serde_json::from_str(line["message"].as_str()?).ok()?;
            let message = &message["message"];
            (message["method"] == "Network.requestWillBeSent")
                .then(|| message["params"]["request"]["url"].as_str().unwrap_or_default().to_owned())
        };
        messages.iter().filter_map(read).collect()
    }

    async fn command(&self, command: &str, body: Value) -> Value {
        self.send("POST", &format!("/session/{}/{command}", self.session), &body).await
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let exchange = exchange(self.address, request(method, path, &body.to_string()));
        let answer = timeout(PATIENCE, exchange).await.expect("an answer in time").expect("an answer");
        let mut json: Value = serde_json::from_slice(&answer).expect("JSON");
        assert!(json["value"]["error"].is_null(), "{path} {body}: {}", json["value"]);
        json["value"].take()
    }
}

fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// The body of the answer. The driver keeps its connections, whatever it is told: the length says where it ends.
async fn exchange(driver: SocketAddr, request: String) -> io::Result<Vec<u8>> {
    let mut stream = BufReader::new(tokio::net::TcpStream::connect(driver).await?);
    stream.write_all(request.as_bytes()).await?;
    let (mut length, mut line) = (0, String::new());
    while stream.read_line(&mut line).await? > 2 {
        if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = told.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// The driver tells when it does.
fn until_it_listens(driver: &mut Child) {
    let output = driver.stdout.take().expect("piped");
    let mut said = Vec::new();
    for line in std::io::BufReader::new(output).lines().map_while(Result::ok) {
        if line.contains("started successfully on port ") {
            return;
        }
        said.push(line);
    }
    panic!("chromedriver ended before it listened: {said:?}");
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked to, the driver ends its browser; killed, it would leave it behind.
        if let Ok(mut stream) = TcpStream::connect(self.address) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = stream.write_all(request("DELETE", &format!("/session/{}", self.session), "").as_bytes());
            // It answers once the browser is gone.
            let _ = stream.read(&mut [0; 64]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
