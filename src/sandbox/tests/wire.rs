//! A sandbox on loopback, providers that sign for it, and a client that sends exactly what it is told to.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::model::ids::JobId;
use crate::model::job::DismissJob;
use crate::model::secret::Secret;
use crate::provider::endpoint::Endpoint;
use crate::provider::huawei::{self, Huawei, Project};
use crate::provider::volcengine::{self, Action, BanVersion, Volcengine};
use crate::provider::{Call, Provider, Reply, Stamp, Token};
use crate::sandbox::rules::Rules;
use crate::sandbox::{Sandbox, Settings, clock};

pub const BAN: Action = Action::BanRoomUser { version: BanVersion::V20231101, forbidden_interval: 0 };

/// A running sandbox; it stops when this is dropped with its runtime.
pub struct Stand {
    pub sandbox: Arc<Sandbox>,
    pub address: SocketAddr,
}

/// Settings without quotas, which most rules are not about.
pub fn unlimited() -> Settings {
    let mut settings = Settings::default();
    settings.quotas.dismiss_room = None;
    settings.quotas.ban_room_user = None;
    settings.quotas.huawei = None;
    settings
}

pub async fn stand(settings: Settings) -> Stand {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sandbox = Sandbox::new(settings).unwrap();
    tokio::spawn(Arc::clone(&sandbox).serve(listener, std::future::pending::<()>()));
    Stand { sandbox, address }
}

impl Stand {
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&format!("http://{}", self.address)).unwrap()
    }

    pub fn volcengine(&self, action: Action) -> Volcengine {
        self.volcengine_with(action, |_| ())
    }

    pub fn volcengine_with(&self, action: Action, change: impl FnOnce(&mut volcengine::Settings)) -> Volcengine {
        let mut settings = volcengine::Settings {
            endpoint: self.endpoint(),
            region: "cn-north-1".into(),
            action,
            keys: volcengine::Keys {
                access_key_id: Secret::new("sandbox-ak"),
                secret_access_key: Secret::new("sandbox-sk"),
                session_token: None,
            },
            app_ids: Vec::new(),
            gone_codes: volcengine::Settings::default_gone_codes(),
        };
        change(&mut settings);
        Volcengine::new(settings)
    }

    pub fn huawei(&self) -> Huawei {
        self.huawei_with(|_| ())
    }

    pub fn huawei_with(&self, change: impl FnOnce(&mut huawei::Keys)) -> Huawei {
        let mut keys = huawei::Keys {
            access_key_id: Secret::new("sandbox-ak"),
            secret_access_key: Secret::new("sandbox-sk"),
            security_token: None,
            project_id: Some("sandbox-project".into()),
        };
        change(&mut keys);
        let auth = huawei::Auth::AkSk(keys);
        Huawei::new(huawei::Settings { endpoint: self.endpoint(), auth, app_ids: Vec::new() })
    }

    pub fn huawei_with_password(&self, password: &str) -> Huawei {
        let auth = huawei::Auth::Token(huawei::IamUser {
            iam_endpoint: self.endpoint(),
            domain: "sandbox-domain".into(),
            user: "sandbox-user".into(),
            password: Secret::new(password),
            project: Project::Name("cn-north-4".into()),
        });
        Huawei::new(huawei::Settings { endpoint: self.endpoint(), auth, app_ids: Vec::new() })
    }

    /// Both clouds, one after the other.
    pub fn clouds(&self) -> [Box<dyn Provider>; 2] {
        [Box::new(self.volcengine(Action::DismissRoom)), Box::new(self.huawei())]
    }

    /// Sends on a connection of its own.
    pub async fn send(&self, call: &Call) -> io::Result<Reply> {
        Line::connect(self.address).await.exchange(call).await
    }

    pub async fn dismiss(&self, provider: &dyn Provider, room: &str) -> io::Result<Reply> {
        self.send(&call(provider, room)).await
    }

    /// One of the sandbox's own calls; Null where it answers nothing.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
        let call = Call {
            method: method.parse().unwrap(),
            url: format!("http://{}{path}", self.address),
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_owned()),
        };
        let reply = self.send(&call).await.unwrap();
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
    }

    pub fn set_rules(&self, rule: Value) {
        self.sandbox.set_rules(Rules::parse(&json!({ "rule": [rule] }).to_string()).unwrap());
    }

    /// Waits until a fact about the sandbox is true.
    pub async fn until(&self, fact: impl Fn(&Sandbox) -> bool) {
        let wait = async {
            while !fact(&self.sandbox) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait).await.expect("it never came true");
    }
}

pub fn job(room: &str) -> DismissJob {
    let body = json!({ "provider": "p", "app_id": "app-1", "room_id": room }).to_string();
    crate::model::decode::decode(body.as_bytes(), &JobId::parse("j").unwrap()).unwrap()
}

/// The request for a room, signed now.
pub fn call(provider: &dyn Provider, room: &str) -> Call {
    call_at(provider, room, clock::wall(), None)
}

pub fn call_at(provider: &dyn Provider, room: &str, now: Timestamp, token: Option<Token>) -> Call {
    provider.build(&job(room), &Stamp { now, token }).unwrap()
}

pub fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

/// One connection.
pub struct Line {
    stream: TcpStream,
    host: SocketAddr,
}

impl Line {
    pub async fn connect(host: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(host).await.unwrap(), host }
    }

    pub async fn exchange(&mut self, call: &Call) -> io::Result<Reply> {
        self.write(&self.bytes(call)).await?;
        self.read().await
    }

    /// A request as it stands on the wire.
    pub fn bytes(&self, call: &Call) -> Vec<u8> {
        let authority = call.url.split('/').nth(2).unwrap();
        let path = &call.url[call.url.find(authority).unwrap() + authority.len()..];
        let mut text = format!("{} {path} HTTP/1.1\r\ncontent-length: {}\r\n", call.method, call.body.len());
        if !call.headers.contains_key("host") {
            text.push_str(&format!("host: {}\r\n", self.host));
        }
        for (name, value) in &call.headers {
            if name != "content-length" {
                text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
            }
        }
        [text.as_bytes(), b"\r\n", &call.body].concat()
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Fails as the connection does; an end without an answer is `UnexpectedEof`.
    pub async fn read(&mut self) -> io::Result<Reply> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let length = headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(Reply { status, headers, body: body.into() })
    }
}
