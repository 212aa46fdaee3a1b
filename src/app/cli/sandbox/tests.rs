use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn parse(words: &[&str]) -> Result<Settings, String> {
    let line = Line::try_parse_from([&["sandbox"], words].concat()).map_err(|error| error.to_string())?;
    Ok(settings(line.args))
}

#[test]
fn without_options_the_settings_are_the_defaults() {
    assert_eq!(format!("{:?}", parse(&[]).unwrap()), format!("{:?}", Settings::default()));
}

#[test]
fn options_reach_the_settings() {
    let words = "--qps-volcengine 30 --qps-volcengine-ban unlimited --qps-huawei 5 --latency 50ms --lock-after 0 \
                 --throttle-volcengine inside-200 --keys-huawei a:b:c:d --iam-user d:u:p:w --token-ttl 1s";
    let settings = parse(&words.split_whitespace().collect::<Vec<_>>()).unwrap();
    assert_eq!(settings.quotas, Quotas { dismiss_room: Some(30), ban_room_user: None, huawei: Some(5) });
    assert_eq!((settings.latency, settings.lockout), (Duration::from_millis(50), None));
    assert_eq!(settings.throttling.volcengine, VolcengineThrottle::Inside200);
    assert_eq!(settings.huawei.session_token.unwrap().expose(), "c:d");
    assert_eq!(settings.iam.password.expose(), "p:w");
    assert_eq!(settings.iam.token_ttl, Duration::from_secs(1));
}

#[test]
fn what_cannot_be_is_refused() {
    let check = |words: &[&str], expected: &str| {
        let error = parse(words).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    check(&["--qps-huawei", "many"], "must be a number, or unlimited");
    check(&["--keys-huawei", "a"], "must be AK:SK");
    check(&["--iam-user", "a:b"], "must be DOMAIN:USER:PASSWORD");
    check(&["--throttle-volcengine", "503"], "must be 429, 400 or inside-200");
    check(&["--rules", "/nowhere/rules.toml"], "cannot be read");
}

#[test]
fn the_greeting_shows_only_secrets_that_everybody_has() {
    let own = parse(&["--keys-volcengine", "own:hunter2:hunter3", "--iam-user", "d:u:hunter4"]).unwrap();
    let text = greeting(&own);
    assert!(
        text.contains("volcengine ((as given):(as given):(as given))") && text.contains("sandbox-ak:sandbox-sk"),
        "{text}"
    );
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn faulty_rules_are_refused_by_name() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, b"[[rule]]\ndo = 'explode'").unwrap();
    let error = parse(&["--rules", file.path().to_str().unwrap()]).unwrap_err();
    assert!(error.contains(r#"rule 1: do: "explode" is no fault"#), "{error}");
}

#[tokio::test]
async fn an_address_that_others_reach_must_be_meant() {
    let line = Line::try_parse_from(["sandbox", "--listen", "0.0.0.0:0"]).unwrap();
    assert_eq!(run(line.args).await.unwrap(), ExitCode::from(2));
}

#[test]
fn the_help_holds_the_table_of_faults() {
    use clap::CommandFactory;
    let help = Line::command().render_long_help().to_string();
    assert!(help.contains("fail500x2- fails twice") && help.contains("--qps-volcengine"), "{help}");
}
