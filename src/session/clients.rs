//! Clients that are alike, kept once.
//!
//! What a client says of itself is the same in each of its sessions, and most sessions of a server
//! come from a few kinds of clients. Each kind lives for as long as a session of it does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::service::Client;

/// Kinds that are known, the latest first. A kind beyond them is kept for each of its sessions
/// instead of once: some 250 bytes each. Looking through all of them takes a microsecond.
const KINDS_MAX: usize = 32;

/// See the module docs.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<VecDeque<Weak<Client>>>);

impl Clients {
    /// The one client that is like this one.
    pub(super) fn share(&self, client: Client) -> Arc<Client> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = None;
        kinds.retain(|kind| match kind.upgrade() {
            Some(kind) if known.is_none() && *kind == client => {
                known = Some(kind);
                false
            }
            kind => kind.is_some(),
        });
        let kind = known.unwrap_or_else(|| Arc::new(client));
        kinds.push_front(Arc::downgrade(&kind));
        kinds.truncate(KINDS_MAX);
        kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::lifecycle::Implementation;

    fn client(name: &str) -> Client {
        let info = Implementation {
            name: name.to_owned(),
            version: "1".to_owned(),
            title: None,
            description: None,
            website_url: None,
        };
        Client {
            info: Some(info),
            ..Client::unknown()
        }
    }

    #[test]
    fn clients_that_are_alike_are_one_and_others_are_not() {
        let clients = Clients::default();
        let first = clients.share(client("a"));
        assert!(Arc::ptr_eq(&first, &clients.share(client("a"))));
        assert!(!Arc::ptr_eq(&first, &clients.share(client("b"))));
    }

    #[test]
    fn only_so_many_kinds_are_known_and_none_for_longer_than_it_lives() {
        let clients = Clients::default();
        let alive: Vec<_> = (0..KINDS_MAX + 3)
            .map(|number| clients.share(client(&number.to_string())))
            .collect();
        let known = || clients.0.lock().unwrap().len();
        assert_eq!(known(), KINDS_MAX);
        drop(alive);
        clients.share(client("a"));
        assert_eq!(known(), 1);
    }
}
