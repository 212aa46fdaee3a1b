//! `check` and `enqueue --batch`, where a ledger is configured.

use roomsweep::model::job::Lane;
use roomsweep::model::ledger::Part;

use super::books::{Books, Kind, batch, provider};
use crate::support::database::Database;
use crate::support::free_address;
use crate::support::rabbit::{Namespace, URL};

fn line(out: &str) -> &str {
    out.lines().find(|line| line.contains(" ledger: ")).unwrap_or_else(|| panic!("no line of the ledger in {out}"))
}

pub async fn check_says_that_the_ledger_is_fit(books: &Books) {
    let shown = books.url.replace("postgres@", "");
    for command in ["check", "check --migrate"] {
        let said = books.run(command).await.ends(1);
        assert_eq!(line(&said.out), format!("ok      ledger: {shown}: its schema is up to date"), "{command}");
    }
    books.run("check --migrate --config-only").await.ends(2);
}

pub async fn enqueue_tells_the_ledger_of_a_batch_before_anything_is_published(books: &Books) {
    let namespace = Namespace::new(&["volcengine", "huawei"]).await;
    books.configure(&books.configuration(URL, namespace.name()));
    let rows = "room_id,app_id,provider,lane\na,app,volcengine,urgent\nb,app,huawei,\nc,app,huawei,\n";
    std::fs::write(books.directory.path().join("rooms.csv"), rows).expect("written");
    let said = books.run("enqueue rooms.csv --batch b7").await.ends(0);
    assert_eq!((said.out.as_str(), said.err.contains("warning")), ("3 confirmed\n", false), "{}", said.err);
    let known = books.ledger.batch(&batch("b7")).await.unwrap().expect("registered");
    let mut parts = known.parts;
    parts.sort_by_key(|part| part.provider.clone());
    let expected = [
        Part { provider: provider("huawei"), lane: Lane::Bulk, jobs: Some(2) },
        Part { provider: provider("volcengine"), lane: Lane::Urgent, jobs: Some(1) },
    ];
    assert_eq!((known.size, parts.as_slice()), (Some(3), expected.as_slice()));
    books.run("enqueue rooms.csv").await.ends(0);
    assert_eq!(books.ledger.batches(10).await.unwrap().len(), 1, "no batch, nothing to tell");

    let away = match books.kind {
        Kind::Sqlite => "sqlite:///nowhere/at/all.db".to_owned(),
        Kind::Postgres => format!("postgres://u:hunter2@{}/d", free_address()),
    };
    books.configure(&books.configuration(URL, namespace.name()).replace(&books.url, &away));
    let said = books.run("enqueue rooms.csv --batch b8").await.ends(0);
    assert_eq!(said.out, "3 confirmed\n");
    assert!(said.err.contains("warning: the ledger was not told of batch b8"), "{}", said.err);
    assert!(!said.err.contains("hunter2"), "{}", said.err);

    books.configure(&books.configuration(&format!("amqp://{}", free_address()), namespace.name()));
    books.run("enqueue rooms.csv --batch b9").await.ends(1);
    assert_eq!(books.ledger.batch(&batch("b9")).await.unwrap(), None, "nothing will come of it");
}

#[tokio::test]
async fn a_database_without_our_schema_is_told_with_what_to_do_and_brought_up_to_date_where_asked() {
    let database = Database::new().await;
    let books = Books::new(Kind::Sqlite).await;
    books.configure(&books.configuration("amqp://127.0.0.1:1/%2f", "unused").replace(&books.url, database.url()));
    let shown = database.url().replace("postgres@", "");
    for command in ["history --job j", "batch list", "pause volcengine"] {
        let said = books.run(command).await.ends(2);
        let told = format!("roomsweep: {shown}: the ledger's schema is 0, this version wants 1");
        assert!(said.err.starts_with(&told) && said.err.contains("roomsweep check --migrate"), "{}", said.err);
    }
    let said = books.run("check").await.ends(1);
    let told =
        format!("FAILED  ledger: {shown}: the ledger's schema is 0, this version wants 1: start a worker, or run");
    assert!(line(&said.out).starts_with(&told), "{}", said.out);
    let said = books.run("check --migrate").await.ends(1);
    assert_eq!(line(&said.out), format!("ok      ledger: {shown}: its schema was brought from 0 to 1"));
    let said = books.run("check --migrate").await.ends(1);
    assert_eq!(line(&said.out), format!("ok      ledger: {shown}: its schema is up to date"));
    books.run("history --job j").await.ends(0);
}
