//! What is peculiar to letters that somebody can have in hand: RabbitMQ's.

use std::collections::HashSet;

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, ExchangeDeleteOptions};
use lapin::types::FieldTable;
use roomsweep::ports::dead::Others;
use rustix::process::{Pid, Signal, kill_process};

use super::house::{House, RabbitMq, Said, graves};
use super::rules::{ById, redrive};
use crate::edges_rig::SOON;
use crate::support::eventually;

const LETTERS: usize = 5_000;

#[tokio::test]
async fn interrupted_half_way_a_redrive_says_how_far_it_came_and_doubles_nothing() {
    let house = RabbitMq::new().await;
    house.bury(&graves(LETTERS)).await;
    let running = house.start(&["redrive", "--yes"]);
    house.half_way().await;
    kill_process(Pid::from_child(&running), Signal::INT).expect("our own child");
    let Said { code, out, err } = Said::of(running).await;
    assert_eq!(code, Some(130), "{err}");
    assert!(err.contains("stopping: what is not done stays a dead letter"), "{err}");
    let (jobs, dead) = house.take_all().await;
    assert_eq!(out, format!("{} redriven\n", jobs.len()));
    assert!(!dead.is_empty(), "it was half-way");
    let somewhere: HashSet<&String> = jobs.iter().chain(&dead).collect();
    assert_eq!((jobs.len() + dead.len(), somewhere.len()), (LETTERS, LETTERS));
}

#[tokio::test]
async fn who_comes_second_sees_the_rest_and_is_told() {
    let house = RabbitMq::new().await;
    house.bury(&graves(20)).await;
    let dead = house.dead().await;
    assert_eq!(dead.count().await.unwrap().others, Others::Nobody);
    let channel = house.namespace.channel().await;
    channel.basic_qos(15, BasicQosOptions::default()).await.unwrap();
    let (queue, options) = (house.namespace.of("dead"), BasicConsumeOptions::default());
    let consumer = channel.basic_consume(queue.into(), "another".into(), options, FieldTable::default()).await.unwrap();
    let taken: Vec<_> = consumer.take(15).collect().await;
    assert_eq!(taken.len(), 15);

    let count = dead.count().await.unwrap();
    assert_eq!((count.letters, count.others), (5, Others::Somebody));
    let said = house.run("list").await;
    assert_eq!((said.code, said.out.lines().count()), (Some(0), 1 + 5), "{}", said.err);
    assert!(said.err.contains("somebody else has dead letters in hand just now"), "{}", said.err);
    channel.close(200, "done".into()).await.unwrap();
    eventually("all are back", SOON, || async { (dead.count().await.unwrap().letters == 20).then_some(()) }).await;
}

#[tokio::test]
async fn a_letter_stays_until_its_job_is_confirmed() {
    let house = RabbitMq::new().await;
    house.bury(&graves(20)).await;
    let dead = house.dead().await;
    let exchange = house.namespace.of("jobs");
    let channel = house.namespace.channel().await;
    channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await.unwrap();
    let mut sorter = ById { fate: &|_, letter| redrive(letter), done: 0 };
    dead.sort(&mut sorter).await.expect_err("nothing takes them");
    assert_eq!(sorter.done, 0);
    drop(dead);
    eventually("all are back", SOON, || async {
        (house.namespace.depth(&house.namespace.of("dead")).await == Some(20)).then_some(())
    })
    .await;
}
