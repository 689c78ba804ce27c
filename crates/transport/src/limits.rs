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
