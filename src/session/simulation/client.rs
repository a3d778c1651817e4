//! The client: reads, loses its connection, comes back after the last event it saw.

use bytestring::ByteString;

use super::event::{At, Event, Refusal};
use super::witness::answers;
use super::world::{HEALED, World};

pub(super) struct Client {
    connection: Option<At>,
    /// The number of the last event it saw.
    last: u64,
    /// What came without a number.
    unnumbered: Vec<ByteString>,
    heard: Vec<ByteString>,
    /// The outcome of each request, once there is one.
    outcomes: Vec<Option<ByteString>>,
    /// It was told that what it missed is no longer kept.
    gave_up: bool,
}

impl Client {
    pub(super) fn new(requests: usize) -> Self {
        Self {
            connection: None,
            last: 0,
            unnumbered: Vec::new(),
            heard: Vec::new(),
            outcomes: vec![None; requests],
            gave_up: false,
        }
    }

    /// Whether it will not come back.
    pub(super) fn is_done(&self) -> bool {
        self.gave_up || self.outcomes.iter().all(Option::is_some)
    }

    pub(super) const fn is_on(&mut self, connection: At) {
        self.connection = Some(connection);
    }
}

impl World {
    pub(super) fn client_hears(&mut self, connection: At, seq: Option<u64>, data: &ByteString) {
        let gone = self.was_gone(0);
        let client = &mut self.client;
        if client.connection != Some(connection) {
            return;
        }
        let came_without_number = client.unnumbered.contains(data);
        assert!(
            !client.heard.contains(data) || came_without_number,
            "the client heard {data} twice"
        );
        client.heard.push(data.clone());
        match seq {
            None => client.unnumbered.push(data.clone()),
            Some(seq) => {
                assert!(seq > client.last, "numbers rise");
                for skipped in client.last + 1..seq {
                    let said = self.witness.logged(skipped).expect("what left is there");
                    let mut heard = client.unnumbered.iter();
                    assert!(
                        heard.any(|heard| heard.as_bytes() == said),
                        "the client never heard event {skipped}"
                    );
                }
                client.last = seq;
            }
        }
        for (request, outcome) in client.outcomes.iter_mut().enumerate() {
            if !answers(data.as_bytes(), request) {
                continue;
            }
            match outcome {
                None => *outcome = Some(data.clone()),
                // Half of a batch that could not be stored came, and nobody else knew of it when its
                // node was gone. To the client that request is answered.
                Some(first) => assert!(
                    first == data || client.unnumbered.contains(first) && gone,
                    "the client heard {first} and {data}"
                ),
            }
        }
        if self.client.is_done() {
            let unknown = data.starts_with('u');
            let seen = &mut self.witness.seen;
            *(if unknown {
                &mut seen.unknown
            } else {
                &mut seen.results
            }) += 1;
            self.client_goes(connection);
        } else if self.now < HEALED && self.random.one_in(8) {
            self.client_left(connection);
        }
    }

    /// The client's connection is no more; it comes back soon.
    pub(super) fn client_left(&mut self, connection: At) {
        if self.client.connection == Some(connection) {
            self.client_goes(connection);
            let rest = self.random.between(1, 200);
            self.after(rest, Event::Returns);
        }
    }

    pub(super) fn client_impatient(&mut self, connection: At) {
        self.client_left(connection);
    }

    pub(super) fn client_refused(&mut self, connection: At, refusal: Refusal) {
        if self.client.connection != Some(connection) {
            return;
        }
        let missed = self.client.last < self.witness.dropped();
        assert!(
            refusal == Refusal::Unknown && missed,
            "the client was told {refusal:?} of a stream whose end it has not seen"
        );
        self.client.gave_up = true;
        self.witness.seen.dropped += 1;
        self.client_goes(connection);
    }

    pub(super) fn client_returns(&mut self) {
        if self.client.connection.is_some() || self.client.is_done() {
            return;
        }
        let node = self.random.one_of(self.nodes.len());
        self.witness.seen.resumed += 1;
        self.witness.seen.resumed_elsewhere += u64::from(node != 0);
        let connection = self.open_connection(node);
        if self.nodes[node].dead {
            self.send_client(connection, Event::Ends(connection));
            return;
        }
        let delay = self.delay();
        let after = self.client.last;
        self.after(delay, Event::ComesBack(connection, after));
    }

    fn client_goes(&mut self, connection: At) {
        self.client.connection = None;
        // The server may take long to notice.
        let delay = if self.random.one_in(3) {
            self.random.between(100, 2_000)
        } else {
            self.delay()
        };
        self.after(delay, Event::Broken(connection));
    }
}
