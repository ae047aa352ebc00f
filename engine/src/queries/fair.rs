//! A queue that is fair between users: one of each in turn, each user's own in their order.

use std::collections::{HashMap, VecDeque};

/// What tells entries apart.
pub(super) type Ticket = u64;

/// Entries of users. A user is in `turns` exactly when he has entries.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    users: HashMap<String, VecDeque<(Ticket, T)>>,
    turns: VecDeque<String>,
    len: usize,
    next: Ticket,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { users: HashMap::new(), turns: VecDeque::new(), len: 0, next: 0 }
    }
}

impl<T> FairQueue<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an entry behind the user's others.
    pub(super) fn push(&mut self, user: &str, entry: T) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        self.len += 1;
        match self.users.get_mut(user) {
            Some(entries) => entries.push_back((ticket, entry)),
            None => {
                self.users.insert(user.to_owned(), VecDeque::from([(ticket, entry)]));
                self.turns.push_back(user.to_owned());
            }
        }
        ticket
    }

    /// Takes the entry whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let user = self.turns.pop_front()?;
        let entries = self.users.get_mut(&user)?;
        let (_, entry) = entries.pop_front()?;
        self.len -= 1;
        if entries.is_empty() {
            self.users.remove(&user);
        } else {
            self.turns.push_back(user);
        }
        Some(entry)
    }

    /// Takes an entry out of the middle; `None` when it has been taken already.
    pub(super) fn remove(&mut self, user: &str, ticket: Ticket) -> Option<T> {
        let entries = self.users.get_mut(user)?;
        let at = entries.iter().position(|(t, _)| *t == ticket)?;
        let (_, entry) = entries.remove(at)?;
        self.len -= 1;
        if entries.is_empty() {
            self.users.remove(user);
            self.turns.retain(|turn| turn != user);
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(queue: &mut FairQueue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn users_take_turns_and_each_keeps_his_order() {
        let mut queue = FairQueue::default();
        for entry in ["a1", "a2", "a3"] {
            queue.push("a", entry);
        }
        queue.push("b", "b1");
        queue.push("c", "c1");
        queue.push("b", "b2");
        assert_eq!(drained(&mut queue), ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert!(queue.is_empty() && queue.users.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn who_leaves_the_queue_leaves_nothing_behind() {
        let mut queue = FairQueue::default();
        let first = queue.push("a", "a1");
        queue.push("b", "b1");
        let third = queue.push("a", "a2");
        assert_eq!(queue.remove("a", first), Some("a1"));
        assert_eq!(queue.remove("a", first), None);
        assert_eq!(queue.remove("a", third), Some("a2"));
        assert_eq!(queue.len(), 1);
        assert_eq!(drained(&mut queue), ["b1"]);
        queue.push("a", "a3");
        assert_eq!(drained(&mut queue), ["a3"]);
    }
}
