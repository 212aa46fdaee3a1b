//! `batch list`, `show` and `cancel`.

use roomsweep::model::result::Outcome;
use serde_json::{Value, json};

use super::books::{Books, batch, of_batch, result};

/// Two that are known from their jobs, and one that somebody registered.
async fn three(books: &Books) {
    books.record(&[of_batch("unknown-size", result("u1", Outcome::AlreadyGone, 5))]).await;
    books.register("half-way", 4).await;
    let done = [("h1", Outcome::Dismissed), ("h2", Outcome::Rejected)];
    books.record(&done.map(|(id, outcome)| of_batch("half-way", result(id, outcome, 4)))).await;
    books.register("over", 1).await;
    books.record(&[of_batch("over", result("o1", Outcome::Dismissed, 2))]).await;
}

pub async fn a_list_shows_the_newest_first_and_how_each_stands(books: &Books) {
    let said = books.run("batch list").await.ends(0);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", "the ledger knows no batch\n"));
    three(books).await;
    books.report().await;
    let said = books.run("batch list --json").await.ends(0);
    let rows: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<_> = rows.iter().map(|row| (&row["id"], &row["state"], &row["size"], &row["over"])).collect();
    let (over, half, unknown) = (json!("over"), json!("half-way"), json!("unknown-size"));
    let expected = [
        (&over, &json!("finished"), &json!(1), &json!(1)),
        (&half, &json!("running"), &json!(4), &json!(2)),
        (&unknown, &json!("running"), &Value::Null, &json!(1)),
    ];
    assert_eq!(told, expected);
    assert!(rows[1]["eta_seconds"].as_u64().is_some_and(|eta| eta > 0), "{}", rows[1]);

    let said = books.run("batch list --limit 2").await.ends(0);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(
        lines.len() == 3 && lines[0].starts_with("BATCH     STATE     SETTLED  OF  FAILED  CREATED"),
        "{}",
        said.out
    );
    assert!(lines[1].starts_with("over      finished  1        1   0"), "{}", said.out);
    assert!(lines[2].starts_with("half-way  running   2        4   1") && lines[2].contains("Z  in "), "{}", said.out);
    books.run("batch list --limit 0").await.ends(2);
}

pub async fn show_tells_all_of_one_batch_in_words_or_json(books: &Books) {
    three(books).await;
    let said = books.run("batch show half-way").await.ends(0);
    for line in [
        "batch      half-way",
        "settled    2 of 4: 1 dismissed, 1 rejected",
        "part       4 bulk at volcengine",
        "ends       unknown: no worker sends for volcengine",
    ] {
        assert!(said.out.lines().any(|said| said == line), "{line} in {}", said.out);
    }
    let said = books.run("batch show half-way --json").await.ends(0);
    let view: Value = serde_json::from_str(&said.out).expect("one object");
    assert_eq!((&view["settled"], &view["left"]), (&json!({"dismissed": 1, "rejected": 1}), &json!(2)));
    let said = books.run("batch show unknown-size").await.ends(0);
    assert!(said.out.contains("settled    1, total unknown: 1 already_gone"), "{}", said.out);

    let said = books.run("batch show nothing").await.ends(1);
    assert!(said.out.is_empty() && said.err.contains("the ledger knows no batch nothing"), "{}", said.err);
}

pub async fn nothing_is_cancelled_unasked(books: &Books) {
    three(books).await;
    let said = books.run("batch cancel half-way").await.ends(1);
    let told = "half-way is running; settled: 2 of 4: 1 dismissed, 1 rejected; 2 left";
    assert!(said.out.is_empty() && said.err.contains(told), "{}", said.err);
    assert!(said.err.contains("no terminal to ask at: add --yes; nothing was cancelled"), "{}", said.err);
    assert!(books.ledger.controls().await.unwrap().cancelled.is_empty());
}

pub async fn a_cancelled_batch_is_on_record_and_stays_as_it_was(books: &Books) {
    three(books).await;
    let said = books.command("batch cancel half-way --yes --reason").arg("wrong list").spawn().expect("starts");
    let said = super::books::Said::of(said).await.ends(0);
    assert!(
        said.out.starts_with("half-way is cancelled, by ada@") && said.out.contains("(wrong list)"),
        "{}",
        said.out
    );
    assert_eq!(books.ledger.controls().await.unwrap().cancelled, [batch("half-way")].into());
    let said = books.run("batch cancel half-way --yes --by grace").await.ends(0);
    assert!(said.out.starts_with("half-way is cancelled already, by ada@"), "{}", said.out);
    let act = books.ledger.batch(&batch("half-way")).await.unwrap().unwrap().cancelled.expect("cancelled");
    assert!(act.by.starts_with("ada@") && act.why.as_deref() == Some("wrong list"), "{act:?}");
    let said = books.run("batch show half-way").await.ends(0);
    assert!(said.out.contains("state      being cancelled"), "{}", said.out);
    assert!(said.out.contains("cancelled  by ada@") && said.out.contains("(wrong list)"), "{}", said.out);

    let rest = ["h3", "h4"].map(|id| of_batch("half-way", result(id, Outcome::Cancelled, 0)));
    books.record(&rest).await;
    let said = books.run("batch show half-way").await.ends(0);
    assert!(said.out.contains("state      cancelled"), "{}", said.out);
    assert!(said.out.contains("settled    4 of 4: 1 dismissed, 1 rejected, 2 cancelled"), "{}", said.out);
}

pub async fn a_batch_of_which_nobody_heard_may_be_cancelled_all_the_same(books: &Books) {
    let said = books.run("batch cancel later --yes --by grace").await.ends(0);
    assert!(
        said.err.contains("the ledger knows no batch later: if jobs of it come, they will end cancelled"),
        "{}",
        said.err
    );
    assert!(said.out.starts_with("later is cancelled, by grace at "), "{}", said.out);
    assert_eq!(books.ledger.controls().await.unwrap().cancelled, [batch("later")].into());
}
