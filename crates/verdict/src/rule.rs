//! What a finding is made of, and the list of all of them.
//!
//! One file per finding in `findings/`: its header is what `bailiwick explain` prints, its
//! [`Rule`] is data, its `find` is a pure function from a [`Picture`] to findings.

use std::net::IpAddr;

use bailiwick_core::{
    finding::{Actor, Code, Finding, Severity, Source},
    name::Name,
    server::Server,
};

use crate::{findings::*, picture::Picture};

/// A rule: what it looks for, how bad that is, who can change it, and why it is so.
#[derive(Debug)]
pub struct Rule {
    /// The stable name.
    pub code: &'static str,
    /// How bad it is where nothing else is known; the measured consequence may move it one step.
    pub severity: Severity,
    /// Who can change it.
    pub actor: Actor,
    /// In a few words.
    pub title: &'static str,
    /// The source of the whole rule file; [`Rule::explanation`] reads its header.
    pub text: &'static str,
    /// Why it is wrong: a standard with its section, or another source.
    pub source: &'static str,
    /// Topics under which people look for it, such as `servfail`.
    pub related: &'static [&'static str],
    /// Finds it.
    pub find: fn(&Picture) -> Vec<Finding>,
}

impl Rule {
    /// Returns a finding of this rule about `subject`, to be completed with the methods of
    /// [`Draft`].
    pub fn about(&self, subject: &Name) -> Draft {
        Draft(Finding {
            code: Code(self.code),
            severity: self.severity,
            actor: self.actor,
            subject: subject.clone(),
            server: None,
            address: None,
            detail: String::new(),
            remedy: String::new(),
            evidence: Vec::new(),
        })
    }

    /// Returns the explanation that users read: the header of the rule's file.
    #[must_use]
    pub fn explanation(&self) -> String {
        let mut lines = Vec::new();
        for line in self.text.lines() {
            let Some(rest) = line.strip_prefix("//!") else {
                break;
            };
            lines.push(rest.strip_prefix(' ').unwrap_or(rest));
        }
        lines.join("\n")
    }
}

/// A finding in the making.
#[derive(Clone, Debug)]
#[must_use]
pub struct Draft(Finding);

impl Draft {
    /// Says which server showed it, or is at fault.
    pub fn server(mut self, server: &Server) -> Self {
        self.0.server = Some(server.name.clone());
        self.0.address = Some(server.address);
        self
    }

    /// Says which server it was, if it was one only.
    pub fn server_if(self, server: Option<&Server>) -> Self {
        match server {
            Some(server) => self.server(server),
            None => self,
        }
    }

    /// Says which name server it was, at more than one address.
    pub fn server_name(mut self, name: &Name) -> Self {
        self.0.server = Some(name.clone());
        self
    }

    /// Says which address is at fault.
    pub fn address(mut self, address: IpAddr) -> Self {
        self.0.address = Some(address);
        self
    }

    /// Gives it another severity than the rule has, by its measured consequence.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.0.severity = severity;
        self
    }

    /// Gives it another actor than the rule has.
    pub fn actor(mut self, actor: Actor) -> Self {
        self.0.actor = actor;
        self
    }

    /// States the fact, in one sentence without the final stop.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Says what to do, filled in with names and addresses.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = remedy.into();
        self
    }

    /// Adds what it rests on.
    pub fn evidence(mut self, sources: impl IntoIterator<Item = Source>) -> Self {
        self.0.evidence.extend(sources);
        self
    }

    /// Returns the finding, with its evidence in order and each piece once.
    #[must_use]
    pub fn done(mut self) -> Finding {
        self.0.evidence.sort();
        self.0.evidence.dedup();
        self.0
    }
}

/// Every rule, in the order in which the findings are documented.
pub const CATALOGUE: &[&Rule] = &[
    // Glue at the parent.
    &glue_missing_in_domain::RULE,
    &glue_missing_all::RULE,
    &glue_missing_family_aaaa::RULE,
    &glue_missing_family_a::RULE,
    &glue_stale_address::RULE,
    &glue_mismatch::RULE,
    &glue_differs_from_expected::RULE,
    &glue_partial_overlap::RULE,
    &glue_extra_family::RULE,
    &glue_dead_address::RULE,
    &glue_lame_address::RULE,
    &glue_foreign_zone_content::RULE,
    &glue_special_use_address::RULE,
    &glue_duplicate_address::RULE,
    &glue_unrelated_present::RULE,
    &sibling_glue_missing::RULE,
    &sibling_cycle_unbroken::RULE,
    &sibling_glue_mismatch::RULE,
    &glue_truncated_without_tc::RULE,
    &referral_oversize::RULE,
    &glue_ttl_anomalous::RULE,
    // The NS set of the delegation.
    &ns_parent_only::RULE,
    &ns_child_only::RULE,
    &ns_sets_disjoint::RULE,
    &ns_is_alias::RULE,
    &ns_unresolvable::RULE,
    &ns_below_minimum::RULE,
    &delegation_missing::RULE,
    &ns_cycle::RULE,
    &bad_referral::RULE,
    &delegation_too_deep::RULE,
    &ns_set_truncated::RULE,
    // The parent's publication.
    &parent_servers_divergent::RULE,
    &parent_instances_divergent::RULE,
    &parent_instance_lagging::RULE,
    &parent_instance_contradicts::RULE,
    &parent_family_divergent::RULE,
    &parent_transport_divergent::RULE,
    &glue_partially_updated::RULE,
    // The zone's servers.
    &child_unreachable_from_vantage::RULE,
    &child_acl_split::RULE,
    &child_tcp_blocked::RULE,
    &child_udp_blocked::RULE,
    &child_edns_broken::RULE,
    &child_family_unreachable::RULE,
    &child_ns_host_missing::RULE,
    &child_ns_host_inconsistent::RULE,
    &ns_sets_differ_between_children::RULE,
    &soa_serial_divergent_children::RULE,
    &old_address_still_authoritative::RULE,
    &ds_broken_after_move::RULE,
    // Resolvers.
    &cold_start_model_fails::RULE,
    &resolver_servfail_glue::RULE,
    &resolver_servfail_dnssec::RULE,
    &resolver_stale_answer::RULE,
    &resolver_negative_cached::RULE,
    &resolver_pop_outlier::RULE,
    // The vantage point and the run: never about the domain.
    &vantage_intercepted::RULE,
    &vantage_lossy::RULE,
    &vantage_family_missing::RULE,
    &vantage_resolver_hijacked::RULE,
    &vantage_clock_skew::RULE,
    &vantage_mislabelled::RULE,
    &vantage_without_vote::RULE,
    &parent_coverage_incomplete::RULE,
    &quorum_not_met::RULE,
];

/// Findings that tell what follows from another one. They are no culprits while there is another,
/// and whoever can change the cause can change them.
pub(crate) const CONSEQUENCES: [&str; 2] = ["cold-start-model-fails", "resolver-servfail-glue"];

/// Findings that are documented but need what a single check from one place does not have, each
/// with what it waits for.
pub const WAITING: &[(&str, &str)] = &[
    (
        "parent-regressed",
        "an earlier round of the same vantage point",
    ),
    ("publication-overdue", "a declared change with its time"),
    ("glue-unrouted-address", "a table of routes"),
    ("orphan-glue", "the registry's data (RDAP)"),
    ("ns-registrable-domain", "the registry's data (RDAP)"),
    ("delegation-on-hold", "the registry's data (RDAP)"),
    ("csync-disagrees", "a question for CSYNC"),
    (
        "old-address-decommissioned-early",
        "a declared change with the addresses before it",
    ),
    (
        "old-address-reassigned",
        "a declared change with the addresses before it",
    ),
    (
        "resolver-on-old-servers",
        "a declared change and a marker in the zone",
    ),
    ("resolver-mixed-cache-lines", "many samples of one resolver"),
    ("resolver-failure-cached", "an earlier round that failed"),
    ("resolver-beyond-bound", "a declared change with its time"),
    (
        "resolver-path-hijacked",
        "known identities; vantage-resolver-hijacked says what is seen",
    ),
    ("rdap-glue-differs", "the registry's data (RDAP)"),
    ("rdap-ns-differs", "the registry's data (RDAP)"),
    ("registrar-rdap-differs", "the registrar's data"),
    ("host-object-locked", "the registry's data (RDAP)"),
    ("host-object-foreign-sponsor", "the registrar's data"),
    ("orphan-host-object", "the registry's data (RDAP)"),
    ("dependency-expiring", "the registry's data (RDAP)"),
    ("tld-policy-limit", "a profile of the registry"),
    (
        "zone-updated-glue-not",
        "an earlier round, or a declared change",
    ),
    (
        "glue-updated-zone-not",
        "an earlier round, or a declared change",
    ),
    ("drift-from-inventory", "an inventory of the wanted glue"),
    ("unexpected-glue-change", "an earlier round"),
    ("baseline-missing", "a declared change"),
    ("evidence-stale", "standing plans with several rounds"),
];

/// Returns the rule with this code.
#[must_use]
pub fn named(code: &str) -> Option<&'static Rule> {
    CATALOGUE.iter().copied().find(|rule| rule.code == code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fixture::Fixture;

    const TOPICS: [&str; 5] = [
        "domain-transfer",
        "nameserver-not-responding",
        "resolution-failure",
        "servfail",
        "zone-transfer",
    ];

    #[test]
    fn every_rule_explains_itself() {
        let mut codes = BTreeSet::new();
        for rule in CATALOGUE {
            let code = rule.code;
            let text = rule.explanation();
            assert!(codes.insert(code), "{code} is there twice");
            assert!(text.starts_with(&format!("`{code}`: ")), "{code}: header");
            assert!(
                text.split("\n\n").count() >= 3,
                "{code}: what, why, what to do"
            );
            assert!(
                !rule.title.is_empty() && !rule.title.ends_with('.'),
                "{code}"
            );
            assert!(!rule.source.is_empty(), "{code}");
            let known = |topic: &&str| TOPICS.contains(topic);
            assert!(rule.related.iter().all(known), "{code}: {:?}", rule.related);
        }
    }

    #[test]
    fn headers_refer_to_findings_that_exist() {
        for rule in CATALOGUE {
            // Words in backquotes that look like the code of a finding.
            let text = rule.explanation();
            let quoted = text.split('`').skip(1).step_by(2);
            let codes = quoted.filter(|word| {
                let family = word.split('-').next().unwrap_or_default();
                let model = word.starts_with("parent-strict") || *word == "child-centric";
                let families = ["glue", "ns", "sibling", "child", "parent"];
                !model && word.contains('-') && families.contains(&family)
            });
            for code in codes {
                let waiting = WAITING.iter().any(|(known, _)| *known == code);
                assert!(named(code).is_some() || waiting, "{}: {code}", rule.code);
            }
        }
    }

    #[test]
    fn nothing_is_wrong_in_a_healthy_world() {
        let worlds = [
            "ns1.example.com. 192.0.2.1; ns2.example.com. 192.0.2.2",
            "ns1.example.com. 192.0.2.1 2001:db8::1; ns2.example.com. 192.0.2.2 2001:db8::2",
            "example.com. 192.0.2.1; ns2.example.com. 192.0.2.2",
        ];
        for text in worlds {
            let evidence = Fixture::healthy(text).evidence();
            let picture = Picture::of(&evidence);
            let found: Vec<Finding> = CATALOGUE
                .iter()
                .flat_map(|rule| (rule.find)(&picture))
                .filter(|finding| finding.severity > Severity::Info)
                .collect();
            assert_eq!(found, [], "{text}");
        }
    }
}
