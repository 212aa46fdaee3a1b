//! The rooms of the demo: most are plain, some ask the sandbox for trouble.

use uuid::Uuid;

use crate::model::ids::{AppId, JobId, ProviderName, RoomId};
use crate::model::job::{DismissJob, Lane};

/// How many rooms each provider has.
const ROOMS: [(&str, usize); 2] = [("volcengine", 480), ("huawei", 120)];
/// What the room of this number is to meet; the sandbox knows these prefixes.
const TROUBLE: [(usize, &str); 4] = [(20, "fail500x1-"), (30, "gone-"), (40, "throttled1-"), (55, "badparam-")];

/// All of them, those of both providers in turn.
pub fn all() -> Vec<DismissJob> {
    ROOMS.iter().flat_map(|(provider, count)| (1..=*count).map(|number| job(provider, number))).collect()
}

/// As a file that `sweep` reads.
pub fn csv(jobs: &[DismissJob]) -> String {
    let rows = jobs.iter().map(|job| format!("{},{},{},{}\n", job.provider, job.app_id, job.room_id, job.lane));
    format!("provider,app_id,room_id,lane\n{}", rows.collect::<String>())
}

fn job(provider: &str, number: usize) -> DismissJob {
    let trouble = TROUBLE.into_iter().find(|(every, _)| number.is_multiple_of(*every)).map_or("", |(_, prefix)| prefix);
    let ours = "a name of ours";
    DismissJob {
        provider: ProviderName::parse(provider).expect(ours),
        app_id: AppId::parse("demo-app").expect(ours),
        room_id: RoomId::parse(format!("{trouble}room-{number}")).expect(ours),
        job_id: JobId::parse(Uuid::now_v7().to_string()).expect(ours),
        batch_id: None,
        batch_size: None,
        lane: if number.is_multiple_of(10) { Lane::Urgent } else { Lane::Bulk },
        not_before: None,
        expires_at: None,
        reason: Some("demo".to_owned()),
        requested_by: None,
        labels: Default::default(),
    }
}
