//! `dead`: the same rules for every queue that keeps dead letters.

mod big;
mod commands;
mod hands;
mod house;
mod kill;
mod rules;
mod worker;

use house::{RabbitMq, Sqlite};

/// Runs every rule over one implementation.
macro_rules! keeps {
    ($house:ident: $($module:ident::$rule:ident)*) => {
        $(
            #[tokio::test]
            async fn $rule() {
                super::$module::$rule(&super::$house::new().await).await;
            }
        )*
    };
}

/// All rules, for both.
macro_rules! houses {
    ($($rules:tt)*) => {
        mod rabbitmq {
            keeps! { RabbitMq: $($rules)* }
        }
        mod sqlite {
            keeps! { Sqlite: $($rules)* }
        }
    };
}

houses! {
    rules::what_ended_badly_lies_there_whole
    rules::looking_changes_nothing_and_may_end_early
    rules::what_is_sorted_goes_where_it_was_decided_and_the_rest_stays
    rules::a_redriven_job_comes_to_its_lane_as_it_was_in_its_next_run
    rules::letters_that_agree_in_everything_are_each_one
    rules::where_nothing_ever_died_there_is_nothing
    commands::a_list_shows_what_matches
    commands::show_tells_all_of_one_job
    commands::nothing_is_done_unasked
    commands::purge_removes_what_matches_and_nothing_else
    commands::redrive_sends_jobs_to_their_lanes_and_leaves_what_is_none
    commands::wrong_filters_are_usage_errors
    kill::a_killed_redrive_loses_nothing
    big::many_letters_are_counted_in_little_memory
    worker::a_redriven_job_is_sent_again_in_its_second_run
}
