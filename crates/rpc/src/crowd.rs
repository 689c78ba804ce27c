//! How many may be inside at once, and who must go when one more comes.
//!
//! Connections cost memory before anybody has shown who he is. When there are too many, the group
//! that has most of them loses its oldest. So whoever opens connections and says nothing takes the
//! places of his own neighbours first, and of those who have waited longest; a healthy handshake
//! is over long before.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::oneshot;

/// A bounded number of seats, by group.
pub(crate) struct Crowd<G> {
    seats: Arc<Mutex<Seats<G>>>,
    most: usize,
    most_of_one: usize,
}

struct Seats<G> {
    groups: HashMap<G, VecDeque<Taken>>,
    total: usize,
    next: u64,
}

struct Taken {
    number: u64,
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
            })),
            most,
            most_of_one,
        }
    }

    /// Takes a place, if need be that of another.
    pub(crate) fn enter(&self, group: G) -> Seat<G> {
        let mut seats = lock(&self.seats);
        if seats.groups.get(&group).map_or(0, VecDeque::len) >= self.most_of_one {
            seats.leave_oldest(&group);
        }
        if seats.total >= self.most {
            let crowded = seats.groups.iter().max_by_key(|(_, taken)| taken.len());
            if let Some(crowded) = crowded.map(|(group, _)| group.clone()) {
                seats.leave_oldest(&crowded);
            }
        }
        let (sender, keep) = oneshot::channel();
        let number = seats.next;
        seats.next += 1;
        seats.total += 1;
        let taken = Taken {
            number,
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
