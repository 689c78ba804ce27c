//! One file per finding. Its header is what `bailiwick explain` prints; its `RULE` is data; its
//! `find` is pure; its tests are at the bottom. A new one needs a line here and a line in
//! [`CATALOGUE`](crate::rule::CATALOGUE).

pub(crate) mod bad_referral;
pub(crate) mod delegation_missing;
pub(crate) mod delegation_too_deep;
pub(crate) mod glue_dead_address;
pub(crate) mod glue_differs_from_expected;
pub(crate) mod glue_duplicate_address;
pub(crate) mod glue_extra_family;
pub(crate) mod glue_foreign_zone_content;
pub(crate) mod glue_lame_address;
pub(crate) mod glue_mismatch;
pub(crate) mod glue_missing_all;
pub(crate) mod glue_missing_family_a;
pub(crate) mod glue_missing_family_aaaa;
pub(crate) mod glue_missing_in_domain;
pub(crate) mod glue_partial_overlap;
pub(crate) mod glue_special_use_address;
pub(crate) mod glue_stale_address;
pub(crate) mod glue_truncated_without_tc;
pub(crate) mod glue_ttl_anomalous;
pub(crate) mod glue_unrelated_present;
pub(crate) mod ns_below_minimum;
pub(crate) mod ns_child_only;
pub(crate) mod ns_cycle;
pub(crate) mod ns_is_alias;
pub(crate) mod ns_parent_only;
pub(crate) mod ns_set_truncated;
pub(crate) mod ns_sets_disjoint;
pub(crate) mod ns_unresolvable;
pub(crate) mod parent_family_divergent;
pub(crate) mod referral_oversize;
pub(crate) mod sibling_cycle_unbroken;
pub(crate) mod sibling_glue_mismatch;
pub(crate) mod sibling_glue_missing;
