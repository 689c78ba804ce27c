//! What every store does, case by case.
//!
//! A case is a little story over an empty store. Each store runs all of them: to add a store,
//! write one test at the end of this file; to add a case, write one function and name it in
//! [`CASES`].

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod agents;
mod checks;
mod operators;
mod plans;
mod reports;
mod tokens;
mod watches;
mod world;

use std::{future::Future, pin::Pin, sync::Arc};

use bailiwick_store::{Location, Options, Reserve, Store, open_with};

type Story = Pin<Box<dyn Future<Output = ()> + Send>>;
type Case = (&'static str, fn(Arc<dyn Store>) -> Story);

macro_rules! cases {
    ($($group:ident { $($case:ident)* })*) => {
        /// Every case, by its name.
        const CASES: &[Case] = &[
            $($((
                concat!(stringify!($group), "::", stringify!($case)),
                |store| Box::pin($group::$case(store)),
            ),)*)*
        ];
    };
}

cases! {
    tokens {
        a_token_comes_back_as_it_was
        an_unknown_token_is_not_there
        an_identity_is_given_once
        a_token_makes_an_agent
        a_token_with_approval_makes_a_pending_agent
        a_token_makes_an_operator
        a_wrong_secret_is_refused_and_costs_nothing
        an_unknown_token_is_refused
        an_expired_token_is_refused
        a_used_token_is_refused_to_another_key
        the_same_key_gets_the_same_identity_for_ten_minutes
        the_retry_needs_the_secret
        the_retry_ends_when_another_key_is_enrolled
        a_key_is_one_identity
        a_banned_agent_stays_banned
        a_new_token_gives_an_agent_a_new_key_and_keeps_the_rest
        a_thousand_redemptions_give_one_identity
        hostile_text_comes_back
    }
    agents {
        agents_are_listed_by_name
        an_agent_is_found_by_its_key
        states_change_and_are_noted
        nobody_is_changed_who_is_not_there
        a_certificate_is_next_until_it_is_used
        a_certificate_before_the_current_one_is_worth_nothing
        a_certificate_that_was_never_used_is_replaced
        what_was_seen_comes_back
        what_was_seen_last_holds
        each_session_has_a_greater_epoch
        a_program_that_starts_again_takes_over_once
        two_machines_with_one_key_are_counted
        old_takeovers_are_forgotten
    }
    operators {
        operators_are_listed_by_name
        roles_change_and_are_noted
        an_operator_can_be_removed
        nobody_is_changed_who_is_not_there
        notes_come_latest_first
        equal_notes_are_one
        a_refused_call_is_not_noted
    }
    checks {
        a_check_comes_back_as_it_was
        an_identity_is_given_once
        only_agents_are_asked
        a_check_is_closed_once
        an_open_check_is_not_revised
        revisions_keep_the_first_and_the_latest
        the_same_verdict_again_is_no_revision
        other_rules_are_a_revision
        checks_come_latest_first
        checks_are_listed_by_zone
        open_checks_come_by_deadline
        vantage_points_that_reported_are_counted_once
        nothing_is_known_of_an_unknown_check
        a_check_is_in_the_plans_until_it_is_closed
        a_refused_check_leaves_nothing
    }
    watches {
        a_watch_comes_back_as_it_was
        only_agents_are_asked
        a_watch_is_in_the_plans_until_it_is_removed
        a_removed_watch_is_remembered_and_ends_once
        rounds_of_a_watch_are_checks
        a_round_of_no_watch_is_refused_with_the_others
        old_rounds_are_forgotten_and_checks_stay
    }
    plans {
        revisions_have_no_gaps
        a_delta_has_what_changed
        a_changed_item_comes_once
        removing_what_is_not_there_changes_nothing
        the_whole_plan_has_no_removals
        an_unknown_revision_gets_the_whole_plan
        items_end_by_themselves
        plans_are_of_one_agent
        a_removed_item_can_come_back
    }
    reports {
        a_report_comes_back_as_it_was
        the_first_report_moves_the_mark
        a_hole_holds_the_mark
        the_hole_is_filled_late
        gaps_fill_holes
        a_gap_before_anything
        overlapping_gaps_are_no_trouble
        gaps_that_touch_are_one
        a_report_that_was_said_to_be_lost_is_kept
        duplicates_have_no_effect
        a_duplicate_keeps_the_first_moment
        duplicates_in_one_batch
        equivocation_is_refused_and_noted
        equivocation_on_another_day_is_found
        equivocation_in_one_batch
        one_equivocation_is_counted_once
        a_thousand_equivocations
        lanes_and_epochs_are_apart
        great_epochs_are_told_apart
        agents_are_apart
        made_up_epochs_are_forgotten
        a_batch_of_made_up_epochs
        impossible_numbers_are_refused_whole
        the_greatest_number_is_possible
        unknown_agents_are_refused
        banned_agents_are_refused_and_their_evidence_stays
        an_empty_batch
        empty_octets_come_back
        large_reports_come_back
        equal_answers_are_shared_by_reports
        evidence_comes_in_pages
        evidence_is_of_one_check
        routine_reports_belong_to_no_check
        every_order_gives_the_same
        ten_thousand_shuffles_give_the_same
        batches_again_and_again_give_the_same
        many_agents_at_once
        lately_reported_checks_are_counted
        usage_counts
        old_reports_are_forgotten
        what_is_forgotten_is_known
        answers_stay_as_long_as_a_report_needs_them
        forgetting_makes_room
    }
}

/// Runs all cases, each on a store of its own, and names those that failed.
fn run(open: impl AsyncFn() -> (Arc<dyn Store>, Option<tempfile::TempDir>)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let only = std::env::var("BAILIWICK_CASE").unwrap_or_default();
    let mut failed = Vec::new();
    for (name, case) in CASES.iter().filter(|(name, _)| name.contains(&only)) {
        let outcome = runtime.block_on(async {
            let (store, _folder) = open().await;
            tokio::spawn(case(store)).await
        });
        if outcome.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

/// Bounds that no small disk gets in the way of.
fn options() -> Options {
    Options {
        reserve: Reserve {
            octets: 0,
            percent: 0,
        },
        ..Options::default()
    }
}

#[test]
fn memory_does_all() {
    run(async || {
        (
            open_with(&Location::Memory, &options()).await.unwrap(),
            None,
        )
    });
}

#[test]
fn sqlite_does_all() {
    run(async || {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("store.db"));
        let store = open_with(&location, &options()).await.unwrap();
        (store, Some(folder))
    });
}
