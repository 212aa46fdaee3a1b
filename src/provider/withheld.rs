//! Some gateways quote the access key that they do not know, or all that they had us sign: results, dead letters and logs
//! would pass that on.

use super::{Provider, Token};
use crate::model::secret::Secret;
use crate::model::verdict::{Fault, Verdict};

/// Stands where a secret stood.
const MASK: &str = "[withheld]";
/// A shorter text is no secret, and would be found in every second word.
const SHORTEST: usize = 6;

/// The verdict without what it repeats of our credentials.
pub fn withheld(verdict: Verdict, provider: &dyn Provider, token: Option<&Token>) -> Verdict {
    let secrets = provider.secrets().into_iter().chain(token.map(|token| &token.value));
    let mut secrets: Vec<&str> = secrets.map(Secret::expose).filter(|secret| secret.len() >= SHORTEST).collect();
    // One may be a part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    verdict.map_fault(|fault| {
        let masked = |text: String| secrets.iter().fold(text, |text, secret| mask(text, secret));
        Fault::new(masked(fault.code), masked(fault.message))
    })
}

fn mask(mut text: String, secret: &str) -> String {
    if text.contains(secret) {
        text = text.replace(secret, MASK);
    }
    // A long message is cut, and the cut may go through a secret.
    let begun = (SHORTEST..secret.len()).rev().filter(|end| secret.is_char_boundary(*end));
    if let Some(end) = begun.into_iter().find(|end| text.ends_with(&secret[..*end])) {
        text.truncate(text.len() - end);
        text.push_str(MASK);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::verdict::MAX_MESSAGE;
    use crate::provider::endpoint::Endpoint;
    use crate::provider::huawei::{Auth, Huawei, Keys, Settings};

    fn told(code: &str, message: &str) -> Fault {
        let huawei = Huawei::new(Settings {
            endpoint: Endpoint::parse("https://rtc-api.myhuaweicloud.com").unwrap(),
            auth: Auth::AkSk(Keys {
                access_key_id: Secret::new("AKHUNTER2"),
                secret_access_key: Secret::new("AKHUNTER2-secret"),
                security_token: Some(Secret::new("short")),
                project_id: None,
            }),
            app_ids: Vec::new(),
        });
        let token = Token { value: Secret::new("MIIThunter2"), lifetime: Duration::ZERO };
        let verdict = withheld(Verdict::Rejected(Fault::new(code, message)), &huawei, Some(&token));
        verdict.fault().unwrap().clone()
    }

    #[test]
    fn what_a_provider_repeats_of_a_secret_is_withheld() {
        let message = "Get secretKey failed,ak:AKHUNTER2,err:ak not exist; AKHUNTER2-secret, MIIThunter2 in short";
        let expected = "Get secretKey failed,ak:[withheld],err:ak not exist; [withheld], [withheld] in short";
        assert_eq!(told("Code.AKHUNTER2", message), Fault::new("Code.[withheld]", expected));
        assert_eq!(told("Code", "message"), Fault::new("Code", "message"));
    }

    #[test]
    fn a_secret_that_was_cut_is_withheld_too() {
        for kept in 6..11 {
            let message = format!("{}MIIThunter2", "x".repeat(MAX_MESSAGE - kept));
            let told = told("Code", &message).message;
            assert!(!told.contains("MIITh"), "{kept}: {told}");
        }
    }
}
