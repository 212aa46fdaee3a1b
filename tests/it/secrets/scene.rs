//! The secrets, and a configuration that holds them all.

use std::net::SocketAddr;

use percent_encoding::PercentEncode;

use crate::support::free_address;

/// Every secret that we are given; some hold what is encoded in URLs and in JSON.
pub const SECRETS: [(&str, &str); 14] = [
    ("VOLC_AK", "AKLTcanary0volcengine1"),
    ("VOLC_SK", "canary2/volcengine+secret=3"),
    ("VOLC_TOKEN", "canary4.session/volcengine=="),
    ("HW_AK", "CANARY5HUAWEIACCESS"),
    ("HW_SK", "canary6huawei+secret/7"),
    ("HW_TOKEN", "canary8/security+huawei="),
    ("IAM_PASSWORD", "canary9\"iam%password'"),
    ("WRONG_AK", "CANARY10NOSUCHACCESSKEY"),
    ("WRONG_SK", "canary11/wrong+secret"),
    ("WRONG_PASSWORD", "canary12wrong&iam<password"),
    ("ADMIN_TOKEN", "canary13/admin+token"),
    ("GUESSED_TOKEN", "canary14/guessed+token"),
    ("AMQP_PASSWORD", "canary15/amqp?password@16"),
    ("LEDGER_PASSWORD", "canary17/ledger?password@18"),
];

pub fn secret(name: &str) -> &'static str {
    SECRETS.iter().find(|(each, _)| *each == name).expect("a secret").1
}

pub fn in_url(name: &str) -> PercentEncode<'static> {
    percent_encoding::utf8_percent_encode(secret(name), percent_encoding::NON_ALPHANUMERIC)
}

/// The server lets everybody in, whatever the password.
pub fn ledger(server: SocketAddr, database: &str) -> String {
    format!("[ledger]\nurl = 'postgres://postgres:{}@{server}/{database}'\n", in_url("LEDGER_PASSWORD"))
}

pub fn queue(broker: SocketAddr, namespace: &str) -> String {
    let password = in_url("AMQP_PASSWORD");
    format!("[queue]\nbackend = 'amqp'\nurl = 'amqp://canary:{password}@{broker}/%2f'\nnamespace = '{namespace}'\n")
}

/// Accounts that work, by each way of signing; accounts whose credentials are wrong; and one that nobody answers for.
pub fn providers(cloud: SocketAddr, admin: SocketAddr) -> String {
    let table = |name: &str, kind: &str, endpoint: SocketAddr, lines: &str| {
        format!(
            "[providers.{name}]\nkind = '{kind}'\nendpoint = 'http://{endpoint}'\nqps = 500\ntimeout = '5s'\n{lines}\n"
        )
    };
    let keys =
        |ak: &str, sk: &str| format!("access_key_id = {{ env = '{ak}' }}\nsecret_access_key = {{ env = '{sk}' }}\n");
    let huawei = keys("HW_AK", "HW_SK") + "security_token = { env = 'HW_TOKEN' }\nproject_id = 'sandbox-project'";
    let wrong = keys("WRONG_AK", "WRONG_SK");
    let iam = |password: &str, user: &str| {
        format!(
            "auth = 'token'\niam_endpoint = 'http://{cloud}'\ndomain = 'sandbox-domain'\nuser = '{user}'\n\
             password = {{ env = '{password}' }}\nproject_id = 'sandbox-project'"
        )
    };
    [
        table("volc", "volcengine", cloud, &(keys("VOLC_AK", "VOLC_SK") + "session_token = { env = 'VOLC_TOKEN' }")),
        table("hw", "huawei", cloud, &huawei),
        table("hw-iam", "huawei", cloud, &iam("IAM_PASSWORD", "sandbox-user")),
        table("hw-wrong", "huawei", cloud, &(wrong + "project_id = 'sandbox-project'")),
        table("iam-wrong", "huawei", cloud, &iam("WRONG_PASSWORD", "another-user")),
        table("refused", "volcengine", free_address(), &keys("HW_AK", "VOLC_SK")),
        format!("[admin]\nlisten = '{admin}'\ntoken = {{ env = 'ADMIN_TOKEN' }}\n"),
        "[retry]\ninitial = '20ms'\nmax = '50ms'\nmax_attempts = 3\n".to_owned(),
    ]
    .concat()
}

pub fn job(provider: &str, room: &str) -> String {
    serde_json::json!({ "provider": provider, "app_id": "app", "room_id": room }).to_string()
}
