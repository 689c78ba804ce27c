//! How many may be inside at once, and who must go when one more comes.
//!
//! Connections cost memory before anybody has shown who he is. When there are too many, the group
//! that has most of them loses its oldest. So whoever opens connections and says nothing takes the
//! places of his own neighbours first, and of those who have waited longest; a healthy handshake
//! is over long before.
//!
//! When a whole crowd comes at once, as after a restart, taking each other's places would only
//! throw away what is done already. So neighbours have patience with each other
//! ([`Crowd::enter_in_turn`]); with a larger crowd than their own they have none.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout_at},
};

/// A bounded number of seats, by group.
pub(crate) struct Crowd<G> {
    seats: Arc<Mutex<Seats<G>>>,
    most: usize,
    most_of_one: usize,
    /// Who waits for a place waits here, in the order of coming.
    turn: tokio::sync::Mutex<()>,
}

struct Seats<G> {
    groups: HashMap<G, VecDeque<Taken>>,
    total: usize,
    next: u64,
    /// How many wait for a place.
    waiting: usize,
    /// Told when a place is free.
    left: Arc<Notify>,
}

struct Taken {
    number: u64,
    since: Instant,
    /// Dropped to tell the holder to go.
    _keep: oneshot::Sender<()>,
}

/// One place inside. It is free again when this is dropped.
pub(crate) struct Seat<G: Eq + Hash> {
    seats: Arc<Mutex<Seats<G>>>,
    group: G,
    number: u64,
    keep: oneshot::Receiver<()>,
}

impl<G: Clone + Eq + Hash> Crowd<G> {
    /// Lets in so many in all, and of one group.
    pub(crate) fn new(most: usize, most_of_one: usize) -> Self {
        Self {
            seats: Arc::new(Mutex::new(Seats {
                groups: HashMap::new(),
                total: 0,
                next: 0,
                waiting: 0,
                left: Arc::default(),
            })),
            most,
            most_of_one,
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Takes a place, if need be that of another.
    pub(crate) fn enter(&self, group: G) -> Seat<G> {
        let mut seats = lock(&self.seats);
        if seats.groups.get(&group).map_or(0, VecDeque::len) >= self.most_of_one {
            seats.leave_oldest(&group);
        }
        if seats.total >= self.most
            && let Some(crowded) = seats.crowded()
        {
            seats.leave_oldest(&crowded);
        }
        self.take(&mut seats, group)
    }

    /// Takes a place that is free, or that of one who has had it for longer than `patience`, or
    /// of a group that has more places than that of whoever comes; and waits until there is one.
    /// None at once if `most` wait already.
    pub(crate) async fn enter_in_turn(
        &self,
        group: G,
        patience: Duration,
        most: usize,
    ) -> Option<Seat<G>> {
        let waiting = {
            let mut seats = lock(&self.seats);
            let first = seats.waiting == 0;
            if let Some(seat) = self.take_if(&mut seats, &group, patience, first) {
                return Some(seat);
            }
            if seats.waiting >= most {
                return None;
            }
            Waiting::new(&self.seats, &mut seats)
        };
        let _turn = self.turn.lock().await;
        loop {
            let (left, until) = {
                let mut seats = lock(&self.seats);
                if let Some(seat) = self.take_if(&mut seats, &group, patience, true) {
                    return Some(seat);
                }
                let oldest = seats.crowded().and_then(|crowded| seats.oldest(&crowded));
                let left = Arc::clone(&waiting.left);
                (left, oldest.unwrap_or_else(Instant::now) + patience)
            };
            // Too late is as good: then somebody has had his time.
            let _ = timeout_at(until, left.notified()).await;
        }
    }

    fn take_if(
        &self,
        seats: &mut Seats<G>,
        group: &G,
        patience: Duration,
        first: bool,
    ) -> Option<Seat<G>> {
        if seats.total < self.most {
            return first.then(|| self.take(seats, group.clone()));
        }
        let crowded = seats.crowded()?;
        let of_group = seats.groups.get(group).map_or(0, VecDeque::len);
        let larger = seats.groups.get(&crowded).map_or(0, VecDeque::len) > of_group + 1;
        let long = seats.oldest(&crowded)?.elapsed() >= patience;
        if !(larger || (first && long)) {
            return None;
        }
        seats.leave_oldest(&crowded);
        Some(self.take(seats, group.clone()))
    }

    fn take(&self, seats: &mut Seats<G>, group: G) -> Seat<G> {
        let (sender, keep) = oneshot::channel();
        let number = seats.next;
        seats.next += 1;
        seats.total += 1;
        let taken = Taken {
            number,
            since: Instant::now(),
            _keep: sender,
        };
        seats
            .groups
            .entry(group.clone())
            .or_default()
            .push_back(taken);
        Seat {
            seats: Arc::clone(&self.seats),
            group,
            number,
            keep,
        }
    }
}

/// Somebody who waits.
struct Waiting<G> {
    seats: Arc<Mutex<Seats<G>>>,
    left: Arc<Notify>,
}

impl<G> Waiting<G> {
    fn new(all: &Arc<Mutex<Seats<G>>>, seats: &mut Seats<G>) -> Self {
        seats.waiting += 1;
        Self {
            seats: Arc::clone(all),
            left: Arc::clone(&seats.left),
        }
    }
}

impl<G> Drop for Waiting<G> {
    fn drop(&mut self) {
        lock(&self.seats).waiting -= 1;
    }
}

impl<G: Clone + Eq + Hash> Seats<G> {
    /// The group that has most places.
    fn crowded(&self) -> Option<G> {
        let crowded = self.groups.iter().max_by_key(|(_, taken)| taken.len());
        crowded.map(|(group, _)| group.clone())
    }

    /// Since when the oldest of a group is inside.
    fn oldest(&self, group: &G) -> Option<Instant> {
        Some(self.groups.get(group)?.front()?.since)
    }
}

impl<G: Eq + Hash> Seats<G> {
    fn leave_oldest(&mut self, group: &G) {
        if let Some(oldest) = self.groups.get(group).and_then(VecDeque::front) {
            let number = oldest.number;
            self.leave(group, number);
        }
    }

    fn leave(&mut self, group: &G, number: u64) {
        let Some(taken) = self.groups.get_mut(group) else {
            return;
        };
        if let Ok(at) = taken.binary_search_by_key(&number, |taken| taken.number) {
            taken.remove(at);
            self.total -= 1;
            self.left.notify_one();
        }
        if taken.is_empty() {
            self.groups.remove(group);
        }
    }
}

impl<G: Eq + Hash> Seat<G> {
    /// Ends when another has taken the place.
    pub(crate) async fn lost(&mut self) {
        let _ = (&mut self.keep).await;
    }
}

impl<G: Eq + Hash> Drop for Seat<G> {
    fn drop(&mut self) {
        lock(&self.seats).leave(&self.group, self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_lost(seat: &mut Seat<char>) -> bool {
        seat.keep.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn the_oldest_of_the_most_crowded_goes() {
        let crowd = Crowd::new(5, 9);
        let mut seats: Vec<_> = "abbab".chars().map(|group| crowd.enter(group)).collect();
        assert!(!seats.iter_mut().any(is_lost), "as many as may be inside");
        let mut new = crowd.enter('c');
        let lost: Vec<bool> = seats.iter_mut().map(is_lost).collect();
        assert_eq!(lost, [false, true, false, false, false], "the first b");
        assert!(!is_lost(&mut new));
    }

    #[test]
    fn a_group_has_its_own_bound() {
        let crowd = Crowd::new(99, 2);
        let mut seats: Vec<_> = "aabaa".chars().map(|group| crowd.enter(group)).collect();
        let lost: Vec<bool> = seats.iter_mut().map(is_lost).collect();
        assert_eq!(lost, [true, true, false, false, false]);
    }

    const PATIENCE: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn neighbours_wait_for_each_other_in_the_order_of_coming() {
        let crowd = Arc::new(Crowd::new(2, 2));
        let mut seats: Vec<_> = "aa".chars().map(|group| crowd.enter(group)).collect();
        let wait = |name| {
            let crowd = Arc::clone(&crowd);
            tokio::spawn(async move { (name, crowd.enter_in_turn('a', PATIENCE, 2).await) })
        };
        let (first, second) = (wait(1), wait(2));
        tokio::task::yield_now().await;
        // Two wait; a third is one too many, and nobody was sent away for any of them.
        assert!(crowd.enter_in_turn('a', PATIENCE, 2).await.is_none());
        assert!(!seats.iter_mut().any(is_lost));
        drop(seats.remove(1));
        let (_, first) = first.await.unwrap();
        assert!(first.is_some() && !second.is_finished());
        // Nobody leaves: who is inside for long makes room.
        let began = Instant::now();
        let (_, second) = second.await.unwrap();
        assert!(second.is_some() && is_lost(&mut seats[0]));
        assert!(began.elapsed() <= PATIENCE + Duration::from_millis(1));
        drop((first, second, seats));
        assert_eq!(lock(&crowd.seats).waiting, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_larger_crowd_makes_room_at_once() {
        let crowd = Crowd::new(3, 3);
        let mut seats: Vec<_> = "aaa".chars().map(|group| crowd.enter(group)).collect();
        let began = Instant::now();
        let guest = crowd.enter_in_turn('b', PATIENCE, 0).await;
        assert!(guest.is_some() && began.elapsed().is_zero());
        assert!(is_lost(&mut seats[0]) && !is_lost(&mut seats[1]));
        // Two against one: that is not a crowd any more that others would have to give way to.
        assert!(crowd.enter_in_turn('b', PATIENCE, 0).await.is_none());
    }

    #[test]
    fn who_leaves_makes_room_and_nothing_is_kept() {
        let crowd = Crowd::new(2, 2);
        for _ in 0..1000 {
            let mut one = crowd.enter('a');
            let mut two = crowd.enter('b');
            assert!(!is_lost(&mut one) && !is_lost(&mut two));
            let three = crowd.enter('c');
            assert!(is_lost(&mut one) ^ is_lost(&mut two));
            drop((two, three, one));
        }
        let seats = lock(&crowd.seats);
        assert_eq!((seats.groups.len(), seats.total), (0, 0));
    }
}
