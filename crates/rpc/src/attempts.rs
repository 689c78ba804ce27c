//! How often somebody may guess.
//!
//! A secret of 128 bits is not guessed. This keeps those who try anyway from costing more than
//! they must, and makes a wrong configuration that tries for ever visible and cheap.
//!
//! Times are arguments, and what is kept is bounded whatever comes.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{invitation::TokenId, limited::Group};

/// Failures after which a token is not looked at for [`PAUSE`].
const OF_TOKEN: u32 = 5;
/// Failures from one network within [`MINUTE`] after which it is not heard for [`PAUSE`].
const OF_NETWORK: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(600);
/// Most tokens and most networks that are kept, each.
const MOST: usize = 10_000;

/// Failed attempts to enrol or renew, by token and by network.
#[derive(Debug, Default)]
pub struct Attempts {
    tokens: BTreeMap<TokenId, Failures>,
    networks: BTreeMap<IpAddr, Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    since: Instant,
    paused: Option<Instant>,
}

impl Attempts {
    /// Whether an attempt is looked at. Those of a paused token or network are refused unseen.
    pub fn may(&self, source: IpAddr, token: Option<&TokenId>, now: Instant) -> bool {
        let paused = |failures: &Failures| failures.paused.is_some_and(|until| now < until);
        let token = token.and_then(|token| self.tokens.get(token));
        let network = self.networks.get(&network(source));
        !token.is_some_and(paused) && !network.is_some_and(paused)
    }

    /// Counts an attempt that failed.
    pub fn failed(&mut self, source: IpAddr, token: Option<&TokenId>, now: Instant) {
        if let Some(token) = token {
            count(&mut self.tokens, *token, now, PAUSE, OF_TOKEN);
        }
        count(&mut self.networks, network(source), now, MINUTE, OF_NETWORK);
    }
}

fn network(source: IpAddr) -> IpAddr {
    Group::network_of(source)
}

fn count<K: Copy + Ord>(
    kept: &mut BTreeMap<K, Failures>,
    key: K,
    now: Instant,
    window: Duration,
    most: u32,
) {
    let over = |failures: &Failures| {
        now >= failures.since + window && failures.paused.is_none_or(|until| now >= until)
    };
    if kept.len() >= MOST && !kept.contains_key(&key) {
        kept.retain(|_, failures| !over(failures));
        // Full of others that are watched: the one that began first makes room.
        if kept.len() >= MOST {
            let oldest = kept.iter().min_by_key(|(_, failures)| failures.since);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                kept.remove(&oldest);
            }
        }
    }
    let fresh = Failures {
        count: 0,
        since: now,
        paused: None,
    };
    let failures = kept.entry(key).or_insert(fresh);
    if over(failures) {
        *failures = fresh;
    }
    failures.count = failures.count.saturating_add(1);
    if failures.count >= most {
        failures.paused = Some(now + PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const SECOND: Duration = Duration::from_secs(1);

    fn token(number: u32) -> TokenId {
        let mut octets = [0; 10];
        octets[..4].copy_from_slice(&number.to_be_bytes());
        TokenId(octets)
    }

    fn other(number: u32) -> IpAddr {
        IpAddr::V4(number.to_be_bytes().into())
    }

    #[test]
    fn a_token_rests_after_five_failures_wherever_they_come_from() {
        let (mut attempts, now, one) = (Attempts::default(), Instant::now(), token(1));
        for at in 0..5 {
            let source = other(at << 8);
            assert!(attempts.may(source, Some(&one), now), "{at}");
            attempts.failed(source, Some(&one), now);
        }
        let elsewhere = other(99 << 8);
        assert!(!attempts.may(elsewhere, Some(&one), now));
        assert!(attempts.may(elsewhere, Some(&token(2)), now));
        assert!(attempts.may(elsewhere, None, now));
        assert!(!attempts.may(elsewhere, Some(&one), now + PAUSE - SECOND));
        assert!(attempts.may(elsewhere, Some(&one), now + PAUSE));
        // And from the beginning again.
        attempts.failed(elsewhere, Some(&one), now + PAUSE);
        assert!(attempts.may(elsewhere, Some(&one), now + PAUSE));
    }

    #[test]
    fn a_network_rests_after_twenty_failures_in_a_minute() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let neighbour: IpAddr = "192.0.2.254".parse().unwrap();
        for at in 0..20 {
            assert!(attempts.may(neighbour, Some(&token(at)), now), "{at}");
            attempts.failed(HERE, Some(&token(at)), now);
        }
        assert!(!attempts.may(neighbour, Some(&token(99)), now));
        assert!(!attempts.may(neighbour, None, now + PAUSE - SECOND));
        assert!(attempts.may(neighbour, None, now + PAUSE));
        assert!(attempts.may("192.0.3.1".parse().unwrap(), None, now));

        // A slow one is left alone: nineteen in each minute.
        let mut attempts = Attempts::default();
        for at in 0..190 {
            let now = now + at * MINUTE / 19;
            assert!(attempts.may(HERE, None, now), "{at}");
            attempts.failed(HERE, None, now);
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_makes_room() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let most = u32::try_from(MOST).unwrap();
        for at in 0..most + 100 {
            let later = now + Duration::from_millis(at.into());
            attempts.failed(other(at << 8), Some(&token(at)), later);
        }
        assert_eq!(
            (attempts.tokens.len(), attempts.networks.len()),
            (MOST, MOST)
        );
        assert!(attempts.tokens.contains_key(&token(most + 99)));
        assert!(!attempts.tokens.contains_key(&token(0)));
    }
}
