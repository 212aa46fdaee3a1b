//! The contract of the ledger seam: the same rules for everything that stands behind it.

mod postgres_open;
mod postgres_search;
mod rules_batch;
mod rules_control;
mod rules_forget;
mod rules_history;
mod rules_record;
mod rules_together;
pub mod sample;

use std::sync::Arc;

use async_trait::async_trait;
use roomsweep::adapters::memory_ledger::MemoryLedger;
use roomsweep::adapters::postgres::PostgresLedger;
use roomsweep::adapters::sqlite::SqliteLedger;
use roomsweep::ports::ledger::{Ledger, Migrate};

use crate::support::database::Database;

/// A ledger of one test's own, empty at first.
#[async_trait]
trait House: Sync {
    /// With connections of its own each time, as another replica has.
    async fn open(&self) -> Arc<dyn Ledger>;
}

/// Runs every rule over one implementation.
macro_rules! keeps {
    ($name:ident: $house:ident) => {
        mod $name {
            keeps! { @each $house:
                rules_record::a_result_is_found_again_as_it_was
                rules_record::any_text_survives
                rules_record::a_result_that_comes_again_changes_nothing
                rules_record::dismissed_stands_before_already_gone_before_others_in_whatever_order_they_come
                rules_record::the_attempts_of_both_are_kept_and_each_request_id_finds_the_entry
                rules_record::what_a_result_became_is_what_it_is_found_by
                rules_record::a_group_is_seen_as_a_whole_or_not_at_all
                rules_record::nothing_recorded_changes_nothing
                rules_record::the_last_run_of_each_job_is_told_in_one_question
                rules_batch::a_batch_is_made_by_its_first_results
                rules_batch::a_batch_that_nobody_told_of_is_not_there
                rules_batch::registering_again_changes_nothing
                rules_batch::what_was_missing_is_added_and_what_is_known_stays
                rules_batch::a_job_counts_once_by_its_last_run
                rules_batch::a_joined_result_counts_once_as_what_it_became
                rules_batch::results_without_a_provider_count_too
                rules_batch::a_batch_tells_its_span_and_what_was_settled_lately
                rules_batch::the_newest_batches_come_first
                rules_control::who_cancelled_first_stays_on_record
                rules_control::a_batch_never_heard_of_is_cancelled_for_when_its_jobs_surface
                rules_control::who_paused_first_stays_on_record_until_it_is_resumed
                rules_control::a_report_replaces_what_was_told_of_that_provider
                rules_control::every_replica_sees_what_was_asked_for
                rules_history::each_filter_finds_what_agrees_and_nothing_else
                rules_history::filters_together_find_what_agrees_with_all
                rules_history::pages_hold_each_entry_once_though_many_were_settled_at_one_time
                rules_history::a_job_is_found_with_all_its_runs
                rules_forget::only_what_is_older_goes_and_in_steps
                rules_forget::what_is_forgotten_is_found_by_no_request_id
                rules_forget::counts_stay_when_the_results_of_a_batch_go
                rules_forget::a_batch_goes_when_it_is_over_and_nothing_is_left_of_it
                rules_forget::a_batch_that_is_not_over_stays
                rules_forget::what_happened_to_a_batch_lately_keeps_it
                rules_forget::that_a_batch_of_unknown_size_was_cancelled_is_known_for_longer
                rules_forget::batches_go_in_steps_and_those_that_never_end_are_in_nobodys_way
                rules_together::many_recorders_at_once_count_exactly
                rules_together::many_tell_of_one_batch_at_once
            }
        }
    };
    (@each $house:ident: $($rules:ident::$rule:ident)*) => {
        $(
            #[tokio::test]
            async fn $rule() {
                super::$rules::$rule(&super::$house::new().await).await;
            }
        )*
    };
}

struct Memory(MemoryLedger);

impl Memory {
    async fn new() -> Self {
        Self(MemoryLedger::default())
    }
}

#[async_trait]
impl House for Memory {
    async fn open(&self) -> Arc<dyn Ledger> {
        Arc::new(self.0.clone())
    }
}

keeps! { memory: Memory }

struct Postgres(Database);

impl Postgres {
    async fn new() -> Self {
        Self(Database::new().await)
    }
}

#[async_trait]
impl House for Postgres {
    async fn open(&self) -> Arc<dyn Ledger> {
        Arc::new(PostgresLedger::open(self.0.url(), Migrate::Yes).await.expect("a database"))
    }
}

keeps! { postgres: Postgres }

struct Sqlite(tempfile::TempDir);

impl Sqlite {
    async fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }
}

#[async_trait]
impl House for Sqlite {
    async fn open(&self) -> Arc<dyn Ledger> {
        Arc::new(SqliteLedger::open(&self.0.path().join("ledger.db")).await.expect("the file"))
    }
}

keeps! { sqlite: Sqlite }
