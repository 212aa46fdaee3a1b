//! Looks for secrets, in every form in which a program prints bytes.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// One secret in one form.
struct Needle {
    secret: String,
    form: &'static str,
    bytes: Vec<u8>,
}

/// Knows what must not be found.
#[derive(Default)]
pub struct Finder(Vec<Needle>);

impl Finder {
    /// Looks for this secret from now on, in all forms.
    pub fn add(&mut self, name: &str, secret: &[u8]) {
        assert!(secret.len() >= 12, "{name} is too short to be told from chance");
        let mut add = |form, bytes: Vec<u8>| {
            if self.0.iter().all(|needle| needle.bytes != bytes) {
                self.0.push(Needle { secret: name.to_owned(), form, bytes });
            }
        };
        let each = |one: fn(&u8) -> String, between: &str| {
            secret.iter().map(one).collect::<Vec<_>>().join(between).into_bytes()
        };
        add("plain", secret.to_vec());
        add("hex", each(|byte| format!("{byte:02x}"), ""));
        add("upper-case hex", each(|byte| format!("{byte:02X}"), ""));
        add("percent-encoded", percent(secret, |byte| format!("%{byte:02X}")));
        add("percent-encoded, lower case", percent(secret, |byte| format!("%{byte:02x}")));
        add("percent-encoded as a whole", each(|byte| format!("%{byte:02X}"), ""));
        add("decimal array", each(u8::to_string, ", "));
        add("tight decimal array", each(u8::to_string, ","));
        add("escaped", String::from_utf8_lossy(secret).escape_debug().to_string().into_bytes());
        for shift in 0..3 {
            add("base64", within(secret, shift, |bytes| STANDARD_NO_PAD.encode(bytes)));
            add("base64 for URLs", within(secret, shift, |bytes| URL_SAFE_NO_PAD.encode(bytes)));
        }
    }

    /// Every secret that stands in `text`: its name, its form, and what stands around it.
    pub fn find(&self, text: &[u8]) -> Vec<String> {
        let found = |needle: &Needle| {
            let at = position(text, &needle.bytes)?;
            let around = &text[at.saturating_sub(80)..(at + needle.bytes.len() + 40).min(text.len())];
            Some(format!("{} ({}) in …{}…", needle.secret, needle.form, String::from_utf8_lossy(around)))
        };
        self.0.iter().filter_map(found).collect()
    }
}

fn percent(secret: &[u8], encoded: fn(u8) -> String) -> Vec<u8> {
    let one = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        byte => encoded(*byte),
    };
    secret.iter().map(one).collect::<String>().into_bytes()
}

/// What of an encoding depends on the secret alone, where `shift` bytes more than a multiple of three stand before it.
fn within(secret: &[u8], shift: usize, encode: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let text = encode(&[&vec![0; shift], secret].concat()).into_bytes();
    let (begin, end) = ((shift * 8).div_ceil(6), (shift + secret.len()) * 8 / 6);
    text[begin..end].to_vec()
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let (first, rest) = wanted.split_first()?;
    let mut from = 0;
    while let Some(found) = text[from..].iter().position(|byte| byte == first) {
        let at = from + found;
        if text[at + 1..].starts_with(rest) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"hunter2/canary+ \xc3\xa9\"";

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut finder = Finder::default();
        finder.add("password", SECRET);
        let found = finder.find(text.as_bytes());
        assert!(found.iter().any(|found| found.starts_with(&format!("password ({expected})"))), "{text}: {found:?}");
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let text = std::str::from_utf8(SECRET).unwrap();
        check(&format!("user {text} said"), "plain");
        check(&format!("{:?}", format!("-{text}-")), "escaped");
        check(&format!("{SECRET:?}"), "decimal array");
        check(&serde_json::to_string(SECRET).unwrap(), "tight decimal array");
        check("68756e746572322f63616e6172792b20c3a922", "hex");
        check("68756E746572322F63616E6172792B20C3A922", "upper-case hex");
        check("amqp://u:hunter2%2Fcanary%2B%20%C3%A9%22@h", "percent-encoded");
        check("amqp://u:hunter2%2fcanary%2b%20%c3%a9%22@h", "percent-encoded, lower case");
        let whole: String = SECRET.iter().map(|byte| format!("%{byte:02X}")).collect();
        check(&whole, "percent-encoded as a whole");
    }

    #[test]
    fn base64_is_found_whatever_stands_before_and_behind() {
        for before in 0..7 {
            for behind in 0..4 {
                let all = [vec![b'<'; before], SECRET.to_vec(), vec![b'>'; behind]].concat();
                check(&base64::engine::general_purpose::STANDARD.encode(&all), "base64");
                check(&base64::engine::general_purpose::URL_SAFE.encode(all), "base64");
            }
        }
        // Bytes that the two alphabets write differently.
        let mut finder = Finder::default();
        finder.add("key", &[0xfb; 15]);
        assert!(!finder.find(URL_SAFE_NO_PAD.encode([0xfb; 15]).as_bytes()).is_empty());
        assert!(!finder.find(STANDARD_NO_PAD.encode([0xfb; 15]).as_bytes()).is_empty());
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        let mut finder = Finder::default();
        finder.add("password", SECRET);
        assert!(finder.find(b"hunter2/canary, hunter2/canary+ ").is_empty());
        assert!(finder.find(b"").is_empty());
        assert_eq!(finder.find(SECRET).len(), 1, "once, though several forms are the same");
    }
}
