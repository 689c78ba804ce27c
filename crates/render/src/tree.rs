//! Every path of the delegation graph that a resolver could take, drawn as a tree.
//!
//! A zone holds its name servers, a name server its addresses, and the zone
//! that they refer to comes last. A leaf that leads nowhere says `FAILS`.

use bailiwick_core::{name::Name, observation::Outcome, report::Cut, trace::Trace};

use crate::{
    Style,
    layout::{Paint, Sheet},
    names::both,
    trace::{best, briefly, footer, headline},
    words::{self, count},
};

/// Shows a walk as a tree.
#[must_use]
pub fn tree(trace: &Trace, style: Style) -> String {
    let mut sheet = Sheet::new(style);
    headline(&mut sheet, trace);
    sheet.blank();
    if let Some(root) = node(trace, &trace.path) {
        sheet.paragraph("", 2, &root.text, root.paint);
        children(&mut sheet, &root, "");
        let failing = root.failing();
        sheet.blank();
        let line = match failing {
            0 => "No path fails.".to_owned(),
            1 => "1 of these paths fails.".to_owned(),
            number => format!("{number} of these paths fail."),
        };
        let paint = if failing == 0 {
            Paint::Good
        } else {
            Paint::Bad
        };
        sheet.paragraph("", 2, &line, paint);
    }
    footer(&mut sheet, trace);
    sheet.finish()
}

struct Node {
    text: String,
    paint: Paint,
    fails: bool,
    children: Vec<Node>,
}

impl Node {
    fn leaf(text: String, paint: Paint) -> Self {
        Self {
            text,
            paint,
            fails: false,
            children: Vec::new(),
        }
    }

    fn failing_leaf(why: &str) -> Self {
        Self {
            fails: true,
            ..Self::leaf(format!("FAILS: {why}"), Paint::Bad)
        }
    }

    fn failing(&self) -> usize {
        usize::from(self.fails) + self.children.iter().map(Self::failing).sum::<usize>()
    }
}

fn children(sheet: &mut Sheet, parent: &Node, lead: &str) {
    for (at, child) in parent.children.iter().enumerate() {
        let last = at + 1 == parent.children.len();
        let (branch, below) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let hang = lead.chars().count() + 5;
        sheet.paragraph(&format!("{lead}{branch}"), hang, &child.text, child.paint);
        children(sheet, child, &format!("{lead}{below}"));
    }
}

/// Returns the node of the first zone, with all that lies below it.
fn node(trace: &Trace, path: &[Cut]) -> Option<Node> {
    let (cut, below) = path.split_first()?;
    let mut children: Vec<Node> = cut
        .names
        .iter()
        .map(|name| host(trace, cut, name))
        .collect();
    children.extend(node(trace, below));
    Some(Node {
        text: format!(
            "{} ({})",
            both(&cut.zone),
            count(cut.names.len(), "name server")
        ),
        paint: Paint::Strong,
        fails: false,
        children,
    })
}

fn host(trace: &Trace, cut: &Cut, name: &Name) -> Node {
    let mut children: Vec<Node> = cut
        .servers
        .iter()
        .filter(|server| server.name == *name)
        .map(|server| address(trace, cut, server.address))
        .collect();
    if children.is_empty() {
        let why = trace.lookups.get(name).map(words::lookup);
        children.push(Node::failing_leaf(
            &why.unwrap_or_else(|| "no glue and no other address known".to_owned()),
        ));
    }
    Node {
        text: name.to_string(),
        paint: Paint::Plain,
        fails: false,
        children,
    }
}

fn address(trace: &Trace, cut: &Cut, address: std::net::IpAddr) -> Node {
    let Some(step) = best(trace, &cut.zone, address) else {
        return Node::leaf(format!("{address} was not asked"), Paint::Dim);
    };
    let (text, paint) = briefly(step);
    let fails = paint == Paint::Bad;
    let took = match step.outcome {
        Outcome::Reply(_) | Outcome::Late(_) => format!(", {}", words::round_trip(step.elapsed)),
        _ => String::new(),
    };
    Node {
        text: if fails {
            format!("{address} FAILS: {text}{took}")
        } else {
            format!("{address} {text}{took}")
        },
        paint,
        fails,
        children: Vec::new(),
    }
}
