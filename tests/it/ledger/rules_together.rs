//! Many at once.

use std::collections::BTreeMap;

use roomsweep::model::job::Lane;
use roomsweep::model::ledger::HistoryFilter;
use roomsweep::model::result::{DismissResult, Outcome};
use tokio::task::JoinSet;

use super::House;
use super::sample::{all, attempt, batch, of_batch, part, request, told};

const RECORDERS: u32 = 6;
const GROUPS: u32 = 10;
const GROUP: u32 = 40;
/// So few that most results meet others of the same job.
const JOBS: u32 = 300;

/// What recorder `recorder` writes in its group `group`: of jobs that the others write too, and in another order.
fn group(recorder: u32, group: u32) -> Vec<DismissResult> {
    (0..GROUP)
        .map(|n| {
            let nth = recorder * 7919 + group * 104_729 + n * (2 * recorder + 1);
            let (job, run) = (nth % JOBS, 1 + nth / JOBS % 2);
            let outcome = Outcome::ALL[nth as usize % 7];
            let seconds = f64::from(nth % 100_000) / 1024.0;
            let mut result = of_batch(&format!("job-{job}"), &format!("batch-{}", job % 3), outcome, seconds);
            let id = format!("r-{recorder}-{group}-{n}");
            result.attempt_log = vec![attempt(&id, f64::from(nth) / 1024.0, result.attempt_log[0].verdict)];
            result.request_id = Some(request(&id));
            result.run = run;
            result
        })
        .collect()
}

pub async fn many_recorders_at_once_count_exactly(house: &impl House) {
    let mut recorders = JoinSet::new();
    for recorder in 0..RECORDERS {
        let ledger = house.open().await;
        recorders.spawn(async move {
            for n in 0..GROUPS {
                ledger.record(&group(recorder, n)).await.unwrap();
                if n % 3 == 0 {
                    ledger.record(&group(recorder, n)).await.unwrap();
                }
            }
            ledger.close().await;
        });
    }
    while let Some(ended) = recorders.join_next().await {
        ended.unwrap();
    }
    let ledger = house.open().await;
    let found = all(&*ledger, &HistoryFilter::default(), 1000).await;
    let mut last: BTreeMap<&str, &DismissResult> = BTreeMap::new();
    for result in &found {
        let there = last.entry(result.job_id.as_str()).or_insert(result);
        if there.run < result.run {
            *there = result;
        }
    }
    let written: Vec<DismissResult> =
        (0..RECORDERS).flat_map(|recorder| (0..GROUPS).flat_map(move |n| group(recorder, n))).collect();
    for n in 0..3 {
        let id = batch(&format!("batch-{n}"));
        let stands = ledger.batch(&id).await.unwrap().unwrap();
        let mut counted: BTreeMap<Outcome, u64> = BTreeMap::new();
        for result in last.values().filter(|result| result.batch_id.as_ref() == Some(&id)) {
            *counted.entry(result.outcome).or_default() += 1;
        }
        assert_eq!(stands.settled, counted, "{id}");
        let times =
            written.iter().filter(|result| result.batch_id.as_ref() == Some(&id)).map(|result| result.settled_at);
        assert_eq!(stands.last_settled_at, times.max(), "{id}");
    }
    let attempts: usize = found.iter().map(|result| result.attempt_log.len()).sum();
    assert_eq!(attempts, written.len(), "every attempt of every recorder is there once");
    let asked = written[written.len() / 2].request_id.clone();
    let filter = HistoryFilter { request_id: asked, ..HistoryFilter::default() };
    assert_eq!(ledger.history(&filter, None, 10).await.unwrap().len(), 1);
}

pub async fn many_tell_of_one_batch_at_once(house: &impl House) {
    let mut tellers = JoinSet::new();
    for n in 0..RECORDERS {
        let ledger = house.open().await;
        tellers.spawn(async move {
            for again in 0..GROUPS {
                let size = (n == 3).then_some(60);
                let parts = vec![part("volcengine", Lane::Bulk, Some(40)), part("huawei", Lane::Bulk, size)];
                ledger.register(&told("b", size, parts, 1.0)).await.unwrap();
                ledger.record(&[of_batch(&format!("{n}-{again}"), "b", Outcome::Dismissed, 2.0)]).await.unwrap();
            }
        });
    }
    while let Some(ended) = tellers.join_next().await {
        ended.unwrap();
    }
    let stands = house.open().await.batch(&batch("b")).await.unwrap().unwrap();
    assert_eq!((stands.size, stands.over(), stands.left()), (Some(60), 60, Some(0)));
    assert_eq!(stands.parts, [part("huawei", Lane::Bulk, Some(60)), part("volcengine", Lane::Bulk, Some(40))]);
}
