//! The commands that ask the ledger, as an operator meets them: the same rules over every ledger.

mod absent;
mod acts;
mod batches;
mod books;
mod embedded;
mod history;
mod told;
mod watching;

use books::{Books, Kind};

/// All rules, for both kinds of ledger.
macro_rules! books {
    ($($module:ident::$rule:ident)*) => {
        mod postgres {
            $(
                #[tokio::test]
                async fn $rule() {
                    super::$module::$rule(&super::Books::new(super::Kind::Postgres).await).await;
                }
            )*
        }
        mod sqlite {
            $(
                #[tokio::test]
                async fn $rule() {
                    super::$module::$rule(&super::Books::new(super::Kind::Sqlite).await).await;
                }
            )*
        }
    };
}

books! {
    batches::a_list_shows_the_newest_first_and_how_each_stands
    batches::show_tells_all_of_one_batch_in_words_or_json
    batches::nothing_is_cancelled_unasked
    batches::a_cancelled_batch_is_on_record_and_stays_as_it_was
    batches::a_batch_of_which_nobody_heard_may_be_cancelled_all_the_same
    watching::a_batch_that_is_over_tells_by_its_exit_code_whether_anything_failed
    watching::watching_ends_with_the_batch
    watching::an_interrupted_watching_leaves_the_batch_alone
    watching::at_a_terminal_a_bar_is_drawn_and_a_question_asked
    acts::a_pause_is_seen_by_all_and_stays_as_it_was_first_asked_for
    acts::a_provider_that_is_not_configured_is_refused_by_name
    history::every_filter_finds_its_results_and_only_those
    history::csv_and_json_tell_the_same
    history::a_table_shows_few_results_with_their_attempts
    history::all_pages_hold_each_result_once
    history::many_results_are_written_in_little_memory
    history::a_reader_that_has_seen_enough_ends_it_quietly
    told::check_says_that_the_ledger_is_fit
    told::enqueue_tells_the_ledger_of_a_batch_before_anything_is_published
}
