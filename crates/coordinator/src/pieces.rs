//! What changed in a plan, in messages of a bounded size.

use std::time::Duration;

use bailiwick_core::time::Timestamp;
use bailiwick_rpc::agent::{self, PlanDelta};
use prost::Message as _;

/// Octets of the items in one message, unless one item alone is larger.
const PIECE: usize = 16 * 1024;

/// Cuts what changed in a plan into pieces of a bounded size. All but the last say that the agent
/// holds what it held before.
pub(crate) fn pieces(
    delta: bailiwick_store::PlanDelta,
    held: u64,
    now: Timestamp,
) -> Vec<PlanDelta> {
    let mut pieces = vec![PlanDelta {
        revision: held,
        whole: delta.whole,
        ..PlanDelta::default()
    }];
    let mut octets = 0;
    let mut room_for = |more: usize, pieces: &mut Vec<PlanDelta>| {
        if octets + more > PIECE && octets > 0 {
            octets = 0;
            pieces.push(PlanDelta {
                revision: held,
                ..PlanDelta::default()
            });
        }
        octets += more;
    };
    for id in delta.removed {
        let id = id.0.to_be_bytes().to_vec();
        room_for(id.len(), &mut pieces);
        let piece = pieces.last_mut().expect("there is a first piece");
        piece.removed.push(id.into());
    }
    for item in delta.items {
        let size = item.spec.len();
        // What could be written can be read.
        let Ok(mut spec) = agent::PlanItem::decode(item.spec) else {
            continue;
        };
        let left = Duration::from_micros(item.not_after.0.saturating_sub(now.0));
        spec.valid_for_ns = i64::try_from(left.as_nanos()).unwrap_or(i64::MAX);
        room_for(size, &mut pieces);
        let piece = pieces.last_mut().expect("there is a first piece");
        piece.items.push(spec);
    }
    let last = pieces.last_mut().expect("there is a first piece");
    last.revision = delta.revision;
    pieces
}

#[cfg(test)]
mod tests {
    use bailiwick_core::check::CheckId;
    use bailiwick_store::{ItemId, PlanItem};

    use super::*;

    fn item(number: u128, octets: usize) -> PlanItem {
        let spec = agent::PlanItem {
            id: vec![7; octets].into(),
            ..agent::PlanItem::default()
        };
        PlanItem {
            id: CheckId(number).into(),
            spec: spec.encode_to_vec().into(),
            not_after: Timestamp(2_000_000),
        }
    }

    fn delta(items: Vec<PlanItem>, whole: bool) -> bailiwick_store::PlanDelta {
        bailiwick_store::PlanDelta {
            revision: 9,
            whole,
            items,
            removed: vec![ItemId(1), ItemId(2)],
        }
    }

    #[test]
    fn a_plan_comes_in_pieces_and_the_last_says_that_it_was_the_last() {
        let cases: [(Vec<usize>, &[usize], &str); 4] = [
            (vec![], &[0], "what is taken out alone"),
            (vec![100; 10], &[10], "all fits into one"),
            (vec![6_000; 7], &[2, 2, 2, 1], "two in each"),
            (vec![100, 40_000, 100], &[1, 1, 1], "a large one goes alone"),
        ];
        for (sizes, wanted, why) in cases {
            let items = sizes.iter().map(|size| item(3, *size)).collect();
            let cut = pieces(delta(items, true), 0, Timestamp(1_000_000));
            let found: Vec<_> = cut.iter().map(|piece| piece.items.len()).collect();
            assert_eq!(found, wanted, "{why}");
            let whole: Vec<_> = cut.iter().map(|piece| piece.whole).collect();
            assert!(whole[0] && !whole[1..].contains(&true), "{why}");
            let (last, before) = cut.split_last().unwrap();
            assert_eq!(last.revision, 9, "{why}");
            assert!(before.iter().all(|piece| piece.revision == 0), "{why}");
            assert_eq!(cut[0].removed.len(), 2, "{why}");
            let items = cut.iter().flat_map(|piece| &piece.items);
            assert!(
                items
                    .map(|item| item.valid_for_ns)
                    .all(|ns| ns == 1_000_000_000)
            );
        }
    }
}
