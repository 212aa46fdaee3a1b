#![no_main]
//! A text and one variable as a configuration: usable, or faults that name their place and show no secret.

use libfuzzer_sys::fuzz_target;
use roomsweep::app::config::{Environment, load_text};

/// In every variable that holds a secret.
const CANARY: &str = "hunter2-canary";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // What stands in the file itself may be shown, where it is no secret's place.
    if text.contains(CANARY) {
        return;
    }
    // Files of this machine are none of the fuzzer's business.
    if text.contains('/') && (text.contains("file") || text.contains("\\u") || text.contains("FILE")) {
        return;
    }
    // Behind a first line that begins with !, the name and the text of a variable.
    let (variable, text) = match text.strip_prefix('!').and_then(|rest| rest.split_once('\n')) {
        Some((line, text)) => (line.split_once('='), text),
        None => (None, text),
    };
    let secrets = [
        ("VOLC_ACCESSKEY", CANARY),
        ("VOLC_SECRETKEY", CANARY),
        ("HUAWEICLOUD_SDK_AK", CANARY),
        ("HUAWEICLOUD_SDK_SK", CANARY),
        ("HUAWEICLOUD_IAM_PASSWORD", CANARY),
        ("ROOMSWEEP_ADMIN_TOKEN", CANARY),
    ];
    let named = variable.map(|(name, text)| (format!("ROOMSWEEP__{name}"), text.to_owned()));
    let env: Environment =
        secrets.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).chain(named).collect();
    let shown = match load_text("fuzz.toml", text, &env) {
        Ok(config) => format!("{config:?}"),
        Err(faults) => {
            let mut many = 0;
            for fault in faults.iter() {
                assert!(!fault.path.is_empty() && !fault.message.is_empty(), "{fault:?}");
                many += 1;
            }
            assert!(many > 0);
            faults.to_string()
        }
    };
    assert!(!shown.contains(CANARY), "{shown}");
});
