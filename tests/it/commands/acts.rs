//! `pause` and `resume`.

use super::books::{Books, provider};

pub async fn a_pause_is_seen_by_all_and_stays_as_it_was_first_asked_for(books: &Books) {
    let said = books.run("resume volcengine").await.ends(0);
    assert_eq!(said.out, "volcengine was not paused\n");
    let said = books.run("pause volcengine --reason maintenance").await.ends(0);
    assert!(
        said.out.starts_with("volcengine is paused, by ada@") && said.out.contains("(maintenance)"),
        "{}",
        said.out
    );
    let said = books.run("pause volcengine --by grace").await.ends(0);
    assert!(said.out.starts_with("volcengine is paused already, by ada@"), "{}", said.out);
    let paused = books.ledger.controls().await.unwrap().paused;
    let act = &paused[&provider("volcengine")];
    assert!(paused.len() == 1 && act.by.starts_with("ada@"), "{paused:?}");
    assert_eq!(act.why.as_deref(), Some("maintenance"));

    let said = books.run("resume volcengine").await.ends(0);
    assert!(said.out.starts_with("volcengine is resumed; it was paused by ada@"), "{}", said.out);
    assert!(said.out.contains("(maintenance)"), "{}", said.out);
    assert!(books.ledger.controls().await.unwrap().paused.is_empty());
}

pub async fn a_provider_that_is_not_configured_is_refused_by_name(books: &Books) {
    for command in ["pause", "resume"] {
        let said = books.run(&format!("{command} volc")).await.ends(2);
        assert!(said.err.contains("volc is not configured (configured: huawei, volcengine)"), "{}", said.err);
        assert!(said.out.is_empty());
    }
    assert!(books.ledger.controls().await.unwrap().paused.is_empty());
}
