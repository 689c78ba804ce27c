//! What sending costs at most: per check, and per machine and second.
//!
//! A [`Ledger`] belongs to one check and refuses (limits B1, B2, B3, B8, B9). A
//! [`Pace`] belongs to the machine and delays (limit B12). Neither reads a
//! clock: time is an argument.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bailiwick_core::{
    check::Counter, limit::Limits, message::Question, observation::Withheld, query::Via,
};

/// Locks; a panic elsewhere cannot leave counts in a state that is worse than none.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The limits of one check, and how much of them is used.
#[derive(Debug)]
pub(crate) struct Ledger {
    limits: Limits,
    packets: Counter,
    octets: AtomicUsize,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    to_address: HashMap<IpAddr, u32>,
    asked: HashMap<(IpAddr, Via, Question), u32>,
}

impl Ledger {
    /// Begins a check.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            packets: Counter::default(),
            octets: AtomicUsize::new(0),
            book: Mutex::default(),
        }
    }

    /// Returns how many packets were sent.
    pub(crate) fn packets(&self) -> u32 {
        self.packets.taken()
    }

    /// Books octets of replies (limit B9).
    pub(crate) fn receive(&self, octets: usize) {
        self.octets.fetch_add(octets, Ordering::Relaxed);
    }

    /// Returns why nothing may be sent to this address any more, if so.
    pub(crate) fn refusal(&self, now: Duration, to: IpAddr) -> Option<Withheld> {
        self.refusal_by(&lock(&self.book), now, to)
    }

    fn refusal_by(&self, book: &Book, now: Duration, to: IpAddr) -> Option<Withheld> {
        if now >= self.limits.wall_time {
            Some(Withheld::Time)
        } else if self.octets.load(Ordering::Relaxed) >= self.limits.octets {
            Some(Withheld::Octets)
        } else if book.to_address.get(&to).copied().unwrap_or(0) >= self.limits.packets_per_address
        {
            Some(Withheld::PacketsToAddress)
        } else if self.packets.taken() >= self.limits.packets {
            Some(Withheld::Packets)
        } else {
            None
        }
    }

    /// Books one asking of a question, unless it was asked often enough (limit B3).
    pub(crate) fn ask(&self, to: IpAddr, via: Via, question: &Question) -> Result<(), Withheld> {
        let mut book = lock(&self.book);
        let asked = book.asked.entry((to, via, question.clone())).or_default();
        if *asked >= self.limits.same_question {
            return Err(Withheld::SameQuestion);
        }
        *asked += 1;
        Ok(())
    }

    /// Sends one packet and books it. What never left the machine is not booked.
    ///
    /// The book stays locked while `send` runs, so that no two packets can take
    /// the last place; `send` must not block.
    pub(crate) fn send<T>(
        &self,
        now: Duration,
        to: IpAddr,
        send: impl FnOnce() -> io::Result<T>,
    ) -> Result<io::Result<T>, Withheld> {
        let mut book = lock(&self.book);
        if let Some(refusal) = self.refusal_by(&book, now, to) {
            return Err(refusal);
        }
        let sent = send();
        if sent.is_ok() {
            *book.to_address.entry(to).or_default() += 1;
            let _ = self.packets.take(self.limits.packets);
        }
        Ok(sent)
    }
}

/// Sustained packets a second and the burst on top of silence (limit B12).
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// One packet each.
    every: Duration,
    burst: u32,
}

const TOTAL: Rate = Rate {
    every: Duration::from_millis(20),
    burst: 320,
};
const PER_ADDRESS: Rate = Rate {
    every: Duration::from_millis(200),
    burst: 12,
};
const PER_PREFIX: Rate = Rate {
    every: Duration::from_millis(100),
    burst: 96,
};

/// A token bucket, kept as the moment at which it will be full again.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: Duration,
}

impl Bucket {
    /// Returns when a token is there, not before `now`.
    fn ready(self, rate: Rate, now: Duration) -> Duration {
        let depth = rate.every * (rate.burst - 1);
        self.full_at.saturating_sub(depth).max(now)
    }

    fn take(&mut self, rate: Rate, at: Duration) {
        self.full_at = self.full_at.max(at) + rate.every;
    }
}

/// How fast this machine sends, over all its checks.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    total: Bucket,
    addresses: HashMap<IpAddr, Bucket>,
    prefixes: HashMap<IpAddr, Bucket>,
}

/// How many buckets are kept before full ones are looked for and forgotten.
const BUCKETS: usize = 4096;

impl Pace {
    /// Takes a place for one packet and returns when to send it, not before `now`.
    ///
    /// `None`, and no place taken, if that would be later than `latest`.
    pub(crate) fn reserve(
        &mut self,
        now: Duration,
        to: IpAddr,
        latest: Duration,
    ) -> Option<Duration> {
        self.forget(now);
        let address = self.addresses.entry(to).or_default();
        let prefix = self.prefixes.entry(prefix(to)).or_default();
        let at = self
            .total
            .ready(TOTAL, now)
            .max(address.ready(PER_ADDRESS, now))
            .max(prefix.ready(PER_PREFIX, now));
        if at > latest {
            return None;
        }
        self.total.take(TOTAL, at);
        address.take(PER_ADDRESS, at);
        prefix.take(PER_PREFIX, at);
        Some(at)
    }

    /// Forgets full buckets: they say the same as none.
    fn forget(&mut self, now: Duration) {
        for buckets in [&mut self.addresses, &mut self.prefixes] {
            if buckets.len() >= BUCKETS {
                buckets.retain(|_, bucket| bucket.full_at > now);
            }
        }
    }
}

/// Returns the first address of the /24 or /48.
fn prefix(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> 80 << 80;
            Ipv6Addr::from_bits(bits).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_core::record::RecordType;

    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn question(text: &str) -> Question {
        Question::new(text.parse().unwrap(), RecordType::NS)
    }

    fn sent(ledger: &Ledger, to: &str) -> Result<(), Withheld> {
        let sent = ledger.send(NOW, address(to), || Ok(()))?;
        sent.map_err(|_| unreachable!("this closure sends"))
    }

    #[test]
    fn a_check_has_so_many_packets() {
        let limits = Limits {
            packets: 5,
            ..Limits::FULL_ROUND
        };
        let ledger = Ledger::new(limits);
        let results = (0..7).map(|host| sent(&ledger, &format!("192.0.2.{host}")));
        let refused = results.filter(|r| *r == Err(Withheld::Packets)).count();
        assert_eq!((ledger.packets(), refused), (5, 2));
    }

    #[test]
    fn an_address_has_its_share() {
        let ledger = Ledger::new(Limits::FULL_ROUND);
        let results: Vec<_> = (0..14).map(|_| sent(&ledger, "192.0.2.1")).collect();
        assert_eq!(
            results[11..],
            [
                Ok(()),
                Err(Withheld::PacketsToAddress),
                Err(Withheld::PacketsToAddress)
            ]
        );
        assert_eq!(
            sent(&ledger, "192.0.2.2"),
            Ok(()),
            "another address has its own share"
        );
        assert_eq!(ledger.packets(), 13);
    }

    #[test]
    fn a_question_is_asked_so_often_of_one_address_by_one_way() {
        let ledger = Ledger::new(Limits::FULL_ROUND);
        let ask = |to, via, name| ledger.ask(address(to), via, &question(name));
        for _ in 0..3 {
            assert_eq!(ask("192.0.2.1", Via::Udp, "example."), Ok(()));
        }
        let cases = [
            (
                "192.0.2.1",
                Via::Udp,
                "example.",
                Err(Withheld::SameQuestion),
                "the fourth time",
            ),
            (
                "192.0.2.1",
                Via::Udp,
                "EXAMPLE",
                Err(Withheld::SameQuestion),
                "however it is written",
            ),
            ("192.0.2.1", Via::Tcp, "example.", Ok(()), "another way"),
            ("192.0.2.2", Via::Udp, "example.", Ok(()), "another address"),
            (
                "192.0.2.1",
                Via::Udp,
                "www.example.",
                Ok(()),
                "another question",
            ),
        ];
        for (to, via, name, expected, why) in cases {
            assert_eq!(ask(to, via, name), expected, "{why}");
        }
    }

    #[test]
    fn what_did_not_leave_the_machine_is_not_booked() {
        let ledger = Ledger::new(Limits::FULL_ROUND);
        for _ in 0..20 {
            let unsent = ledger.send(NOW, address("192.0.2.1"), || {
                Err::<(), _>(io::ErrorKind::NetworkUnreachable.into())
            });
            assert!(unsent.is_ok_and(|sent| sent.is_err()));
        }
        assert_eq!((ledger.packets(), sent(&ledger, "192.0.2.1")), (0, Ok(())));
    }

    #[test]
    fn time_and_octets_end_a_check() {
        let ledger = Ledger::new(Limits::FULL_ROUND);
        let to = address("192.0.2.1");
        let end = Limits::FULL_ROUND.wall_time;
        assert_eq!(ledger.refusal(end - Duration::from_nanos(1), to), None);
        assert_eq!(ledger.refusal(end, to), Some(Withheld::Time));
        ledger.receive(Limits::FULL_ROUND.octets - 1);
        assert_eq!(ledger.refusal(NOW, to), None);
        ledger.receive(1);
        assert_eq!(ledger.refusal(NOW, to), Some(Withheld::Octets));
        let mut called = false;
        let refused = ledger.send(NOW, to, || {
            called = true;
            Ok(())
        });
        assert!(
            matches!(refused, Err(Withheld::Octets)) && !called,
            "nothing is sent"
        );
    }

    /// Reserves again and again, and returns when each packet may go.
    fn reserve(pace: &mut Pace, packets: u32, to: impl Fn(u32) -> IpAddr) -> Vec<Duration> {
        (0..packets)
            .map(|packet| pace.reserve(NOW, to(packet), Duration::MAX).unwrap())
            .collect()
    }

    #[test]
    fn bursts_go_at_once_and_then_packets_are_delayed() {
        let other_prefix = |n: u32| IpAddr::from((n << 8).to_be_bytes());
        let same_prefix = |n: u32| IpAddr::from((0xc000_0200 | (n % 256)).to_be_bytes());
        let same_address = |_| address("192.0.2.1");
        let prefix = 0x2001_0db8_0001_u128 << 80;
        let same_48 = |n: u32| IpAddr::V6((prefix | u128::from(n) << 16).into());
        type Case<'a> = (&'a dyn Fn(u32) -> IpAddr, usize, u64, &'a str);
        let cases: [Case<'_>; 4] = [
            (&other_prefix, 320, 20, "50 a second in all"),
            (&same_address, 12, 200, "5 a second to one address"),
            (&same_prefix, 96, 100, "10 a second to a /24"),
            (&same_48, 96, 100, "10 a second to a /48"),
        ];
        for (to, burst, every, why) in cases {
            let times = reserve(&mut Pace::default(), 400, to);
            assert!(
                times[..burst].iter().all(|&at| at == NOW),
                "{why}: a burst of {burst}"
            );
            let expected = (1..).map(|n| Duration::from_millis(every * n));
            assert!(
                times[burst..]
                    .iter()
                    .copied()
                    .eq(expected.take(400 - burst)),
                "{why}"
            );
        }
    }

    #[test]
    fn silence_fills_the_buckets_again() {
        let mut pace = Pace::default();
        let to = address("192.0.2.1");
        reserve(&mut pace, 12, |_| to);
        let later = Duration::from_secs(1);
        let at: Vec<_> = (0..6)
            .map(|_| pace.reserve(later, to, Duration::MAX).unwrap() - later)
            .collect();
        let wait = Duration::from_millis(200);
        assert_eq!(at, [NOW, NOW, NOW, NOW, NOW, wait], "five in a second");
        let much_later = Duration::from_secs(60);
        let full = (0..12).all(|_| pace.reserve(much_later, to, Duration::MAX) == Some(much_later));
        assert!(full, "but never more than the burst");
        assert!(pace.reserve(much_later, to, Duration::MAX).unwrap() > much_later);
    }

    #[test]
    fn who_would_come_too_late_takes_no_place() {
        let mut pace = Pace::default();
        let to = address("192.0.2.1");
        reserve(&mut pace, 12, |_| to);
        for _ in 0..100 {
            assert_eq!(pace.reserve(NOW, to, Duration::from_millis(199)), None);
        }
        let next = pace.reserve(NOW, to, Duration::from_millis(200));
        assert_eq!(next, Some(Duration::from_millis(200)));
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let mut pace = Pace::default();
        let hosts = u32::try_from(BUCKETS).unwrap() * 4;
        for n in 0..hosts {
            // A packet a second: every bucket is full again before the next.
            let now = Duration::from_secs(n.into());
            let to = IpAddr::from((n << 8).to_be_bytes());
            assert_eq!(pace.reserve(now, to, Duration::MAX), Some(now));
        }
        assert!(pace.addresses.len() <= BUCKETS && pace.prefixes.len() <= BUCKETS);
    }
}
