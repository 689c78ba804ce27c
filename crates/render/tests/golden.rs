//! What the outputs look like, and that every line keeps within 80 columns.

mod common;

use bailiwick_render::{Style, dig, explain, glue, json, nagios, text, trace, tree};
use common::*;

#[test]
fn verdicts_look_as_before() {
    for (label, verdict) in all_verdicts() {
        insta::assert_snapshot!(format!("check_{label}"), text::check(&page(&verdict, &[])));
    }
}

#[test]
fn every_line_of_text_fits() {
    for (label, verdict) in all_verdicts() {
        for full in [false, true] {
            let page = bailiwick_render::Page {
                full,
                ..page(&verdict, &[])
            };
            fits(label, &text::check(&page));
        }
        fits(label, &glue_of(&verdict));
    }
    fits("trace", &trace::trace(&walk(), Style::PLAIN));
    fits("tree", &tree::tree(&walk(), Style::PLAIN));
}

fn fits(label: &str, text: &str) {
    for line in text.lines() {
        // A command is to be pasted, so it is not broken.
        let fits = line.starts_with("dig ") || line.chars().count() <= 80;
        assert!(fits, "{label}: {line:?}");
        assert_eq!(line, line.trim_end(), "{label}: blanks at the end");
    }
}

fn glue_of(verdict: &bailiwick_core::verdict::Verdict) -> String {
    glue::glue(&published(verdict))
}

fn published(verdict: &bailiwick_core::verdict::Verdict) -> glue::Published<'_> {
    glue::Published {
        zone: &verdict.check.zone,
        parent: verdict.parent.as_ref(),
        parents: &verdict.parents,
        agree: verdict.published.0 == verdict.published.1,
        exit_code: 0,
        elapsed: verdict.elapsed,
        packets: verdict.packets,
        port: 53,
        style: Style::PLAIN,
    }
}

#[test]
fn glue_looks_as_before() {
    insta::assert_snapshot!("glue_partly_published", glue_of(&partly_published()));
    insta::assert_snapshot!("glue_missing", glue_of(&glue_missing()));
}

#[test]
fn every_parent_address_can_be_asked_again_by_hand() {
    let verdict = thirteen();
    let text = glue_of(&verdict);
    for row in &verdict.parents {
        let line = format!(
            "dig +norecurse +nsid +ignore @{} example.com. NS",
            row.server.address
        );
        assert!(text.lines().any(|l| l == line), "{line}");
    }
}

#[test]
fn walks_look_as_before() {
    insta::assert_snapshot!("trace_walk", trace::trace(&walk(), Style::PLAIN));
    insta::assert_snapshot!("trace_lost", trace::trace(&lost_walk(), Style::PLAIN));
    insta::assert_snapshot!("tree_three_servers", tree::tree(&walk(), Style::PLAIN));
}

#[test]
fn one_line_for_monitoring() {
    let lines: String = all_verdicts()
        .iter()
        .map(|(_, verdict)| nagios::check(&page(verdict, &[])))
        .collect();
    insta::assert_snapshot!("nagios", lines);
}

#[test]
fn evidence_can_be_asked_again_by_hand() {
    let reports = [report()];
    insta::assert_snapshot!("dig", dig::check(&page(&glue_missing(), &reports)));
}

#[test]
fn json_looks_as_before() {
    let reports = [report()];
    let verdict = glue_missing();
    insta::assert_snapshot!("json_check", json::check(&page(&verdict, &reports)));
    insta::assert_snapshot!("json_trace", json::trace(&walk(), 0, true));
    insta::assert_snapshot!("json_glue", json::glue(&published(&partly_published())));
}

#[test]
fn colours_change_nothing_but_colours() {
    for (label, verdict) in all_verdicts() {
        let style = Style {
            color: true,
            ..Style::PLAIN
        };
        let coloured = text::check(&bailiwick_render::Page {
            style,
            ..page(&verdict, &[])
        });
        let mut bare = String::new();
        for (at, part) in coloured.split("\u{1b}[").enumerate() {
            bare.push_str(if at == 0 {
                part
            } else {
                part.split_once('m').unwrap().1
            });
        }
        assert_eq!(bare, text::check(&page(&verdict, &[])), "{label}");
    }
}

#[test]
fn glue_and_zone_stand_side_by_side_under_their_labels() {
    let verdict = partly_published();
    let text = text::check(&page(&verdict, &[]));
    let at = text
        .lines()
        .position(|line| {
            line.contains("at the registry (glue)") && line.contains("in your zone (A/AAAA)")
        })
        .unwrap();
    let rows: Vec<&str> = text.lines().skip(at + 1).take(3).collect();
    assert!(rows[0].contains("192.0.2.10") && rows[0].contains("(not there)"));
    assert!(rows[2].contains("registrar") && rows[2].contains("zone"));
}

#[test]
fn every_name_server_is_classified() {
    let verdict = partly_published();
    let text = text::check(&page(&verdict, &[]));
    for sentence in [
        "glue is REQUIRED for ns1.example.com.",
        "glue is optional for ns.sister.com.",
        "glue is not needed for ns.other.net.",
    ] {
        assert!(text.contains(sentence), "{sentence}");
    }
}

#[test]
fn sections_come_in_the_known_order() {
    let verdict = healthy();
    let text = text::check(&page(&verdict, &[]));
    let at = |word: &str| text.find(&format!("\n{word}")).unwrap();
    let order = [
        "PARENT",
        "NS ",
        "SOA",
        "RESOLVERS",
        "DO THIS NOW",
        "NOT COVERED",
    ]
    .map(at);
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn explanations_look_as_before() {
    let one = explanation();
    insta::assert_snapshot!("explain_page", explain::page(&one, Style::PLAIN));
    let all = [one];
    insta::assert_snapshot!("explain_list", explain::list(&all, Style::PLAIN));
    insta::assert_snapshot!("explain_markdown", explain::markdown(&all));
    fits("explain", &explain::page(&all[0], Style::PLAIN));
}
