//! What do the lists and the watch of one service's keys add up to?
//!
//! | what is heard | what it does |
//! |---|---|
//! | a list | replaces all; who is the same keeps his allocation |
//! | events | change their keys; older ones than the list are old news |
//! | a word of the watch itself | moves on what is known, to resume from there |
//! | the answer to a question for a word | confirms; it may overtake events in members older than 3.5.8, so that nothing is resumed from it |
//! | another cluster, a revision or a term that went back, a compaction, a cancelled watch | is a doubt: list anew |

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use crate::{
    endpoint::Found,
    etcd::{DELETE, Event, Header, KeyValue, NO_WATCH, WatchResponse},
    record::{Record, is_instance_name},
    resolve::Snapshot,
};

/// The keys of one service. Pure: the time is an argument.
#[derive(Debug)]
pub(super) struct Known {
    name: Arc<str>,
    prefix: String,
    entries: BTreeMap<String, Entry>,
    /// Of the last list.
    header: Header,
    /// Everything up to here is in `entries`.
    revision: i64,
    said: Option<Snapshot>,
    changed: bool,
}

#[derive(Debug)]
struct Entry {
    revision: i64,
    /// `None` is a record that makes no sense.
    found: Option<Found>,
}

/// What an answer of the watch is good for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// More of it follows.
    Part,
    /// What is known is true as of now.
    True,
    /// It does not fit what is known, and why.
    Doubt(String),
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) unix_ms: u64,
    pub(super) instant: Instant,
}

impl Known {
    /// Nothing is known of `name`, whose keys begin with `prefix`.
    pub(super) fn new(name: Arc<str>, prefix: String) -> Self {
        Known {
            name,
            prefix,
            entries: BTreeMap::new(),
            header: Header::default(),
            revision: 0,
            said: None,
            changed: false,
        }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Up to where everything is known; 0 before the first list.
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// All keys, as they were at the header's revision. Says what had to be given up, if anything.
    pub(super) fn list(&mut self, header: Header, kvs: &[KeyValue], now: Now) -> Option<String> {
        let doubt = (self.revision > 0).then(|| self.doubt(&header)).flatten();
        let mut old = std::mem::take(&mut self.entries);
        for kv in kvs {
            let Some(instance) = self.instance(&kv.key) else { continue };
            let known = old.remove(&instance);
            self.put(instance, kv, known, now);
        }
        // What is left of the old has gone.
        self.changed |= !old.is_empty();
        (self.header, self.revision) = (header, header.revision);
        doubt
    }

    /// An answer of the watch that began behind [`revision`](Self::revision).
    pub(super) fn hear(&mut self, answer: &WatchResponse, now: Now) -> Heard {
        if answer.compact_revision > 0 {
            return Heard::Doubt(format!("etcd has compacted all before {}", answer.compact_revision));
        }
        if answer.canceled {
            return Heard::Doubt(format!("etcd ended the watch: {}", answer.cancel_reason));
        }
        let Some(header) = answer.header else {
            return Heard::Doubt("etcd answered without a header".to_owned());
        };
        if let Some(doubt) = self.doubt(&header) {
            return Heard::Doubt(doubt);
        }
        for event in &answer.events {
            self.apply(event, now);
        }
        if answer.fragment {
            // A revision that is only half known is told of again after a broken stream.
            return Heard::Part;
        }
        let told = answer.events.iter().filter_map(|event| Some(event.kv.as_ref()?.mod_revision)).max();
        match told {
            Some(told) => self.revision = self.revision.max(told),
            None if answer.watch_id != NO_WATCH && !answer.created => self.revision = header.revision,
            None => {}
        }
        Heard::True
    }

    /// The set, the same as before if nothing changed.
    pub(super) fn say(&mut self) -> Snapshot {
        if let Some(said) = self.said.as_ref().filter(|_| !self.changed) {
            return said.clone();
        }
        let skipped = self.entries.values().filter(|entry| entry.found.is_none()).count();
        let found = self.entries.values().filter_map(|entry| entry.found.clone());
        let snapshot = Snapshot::new(found).skipping(skipped);
        self.said = Some(snapshot.clone());
        self.changed = false;
        snapshot
    }

    /// Whether this can be the cluster that was listed, at a later time.
    fn doubt(&self, header: &Header) -> Option<String> {
        if header.cluster_id != self.header.cluster_id {
            return Some("etcd is another cluster now".to_owned());
        }
        if header.revision < self.revision {
            let (was, is) = (self.revision, header.revision);
            return Some(format!("etcd went back from revision {was} to {is}"));
        }
        if header.raft_term < self.header.raft_term {
            let (was, is) = (self.header.raft_term, header.raft_term);
            return Some(format!("etcd went back from term {was} to {is}"));
        }
        None
    }

    fn apply(&mut self, event: &Event, now: Now) {
        let Some(kv) = &event.kv else { return };
        let Some(instance) = self.instance(&kv.key) else { return };
        if self.entries.get(&instance).is_some_and(|known| known.revision >= kv.mod_revision) {
            return;
        }
        let known = self.entries.remove(&instance);
        if event.kind == DELETE {
            self.changed |= known.is_some();
        } else {
            self.put(instance, kv, known, now);
        }
    }

    fn put(&mut self, instance: String, kv: &KeyValue, known: Option<Entry>, now: Now) {
        let mut found = match Record::read(&kv.value, &self.name, &instance) {
            // Without a lease in etcd the record's own word holds.
            Ok(record) => {
                let expires = (kv.lease == 0).then(|| record.expires(now.unix_ms, now.instant));
                Some(Found { endpoint: Arc::new(record.endpoint()), expires })
            }
            Err(why) => {
                if known.as_ref().is_none_or(|known| known.revision != kv.mod_revision) {
                    let record = format!("{}{instance}", self.prefix);
                    tracing::warn!(record, why, "a record makes no sense and is left out");
                }
                None
            }
        };
        let same = match (&mut found, known.map(|known| known.found)) {
            (Some(new), Some(Some(old))) if new.endpoint == old.endpoint => {
                new.endpoint = old.endpoint;
                // The end of a lease was counted from an earlier moment.
                new.expires.is_none() && old.expires.is_none()
            }
            (None, Some(None)) => true,
            _ => false,
        };
        self.changed |= !same;
        self.entries.insert(instance, Entry { revision: kv.mod_revision, found });
    }

    /// Whose key it is; keys below others are none of ours.
    fn instance(&self, key: &[u8]) -> Option<String> {
        let instance = std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?;
        is_instance_name(instance).then(|| instance.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::MAX_BYTES;
    use proptest::prelude::*;

    const PREFIX: &str = "/platform/services/catalog/";

    fn now() -> Now {
        Now { unix_ms: 1_000, instant: Instant::now() }
    }

    fn header(revision: i64) -> Header {
        Header { cluster_id: 7, revision, raft_term: 2 }
    }

    fn text(instance: &str, port: u16) -> String {
        format!(
            r#"{{"name":"catalog","instance":"{instance}","address":"127.0.0.1:{port}","expires_unix_ms":31000}}"#
        )
    }

    fn kv(instance: &str, port: u16, mod_revision: i64) -> KeyValue {
        KeyValue {
            key: format!("{PREFIX}{instance}").into_bytes(),
            value: text(instance, port).into_bytes(),
            mod_revision,
            lease: 9,
        }
    }

    fn put(kv: KeyValue) -> Event {
        Event { kind: 0, kv: Some(kv) }
    }

    fn gone(instance: &str, mod_revision: i64) -> Event {
        Event { kind: DELETE, kv: Some(KeyValue { value: Vec::new(), ..kv(instance, 0, mod_revision) }) }
    }

    fn told(revision: i64, events: Vec<Event>) -> WatchResponse {
        WatchResponse { header: Some(header(revision)), events, ..WatchResponse::default() }
    }

    fn listed(kvs: &[KeyValue], revision: i64) -> Known {
        let mut known = Known::new(Arc::from("catalog"), PREFIX.to_owned());
        assert_eq!(known.list(header(revision), kvs, now()), None);
        known
    }

    fn ports(snapshot: &Snapshot) -> Vec<u16> {
        snapshot.found().iter().map(|found| found.endpoint.address.port()).collect()
    }

    #[test]
    fn events_change_their_keys_and_nothing_else() {
        let mut known = listed(&[kv("a", 1, 4), kv("b", 2, 5)], 5);
        let first = known.say();
        assert_eq!((ports(&first), known.revision()), (vec![1, 2], 5));
        let events = vec![put(kv("c", 3, 6)), put(kv("a", 4, 7)), gone("b", 8)];
        assert_eq!(known.hear(&told(8, events), now()), Heard::True);
        assert_eq!((ports(&known.say()), known.revision()), (vec![4, 3], 8));
        // Told twice, as after a stream that broke.
        known.hear(&told(9, vec![put(kv("c", 3, 6)), put(kv("a", 1, 4))]), now());
        assert_eq!(ports(&known.say()), [4, 3]);
    }

    #[test]
    fn what_did_not_change_stays_the_same_allocation() {
        let mut known = listed(&[kv("a", 1, 4), kv("b", 2, 5)], 5);
        let first = known.say();
        // Written again with another end of its lease: nobody cares.
        known.hear(&told(6, vec![put(kv("a", 1, 6))]), now());
        assert!(Arc::ptr_eq(first.found(), known.say().found()));
        known.list(header(9), &[kv("a", 1, 9), kv("b", 2, 5)], now());
        assert!(Arc::ptr_eq(first.found(), known.say().found()));
        known.hear(&told(10, vec![put(kv("b", 3, 10))]), now());
        let second = known.say();
        assert!(Arc::ptr_eq(&first.found()[0].endpoint, &second.found()[0].endpoint));
        assert_eq!(ports(&second), [1, 3]);
    }

    #[test]
    fn it_resumes_behind_what_the_watch_has_told_and_not_behind_what_it_was_asked() {
        let mut known = listed(&[], 5);
        let word = WatchResponse { watch_id: NO_WATCH, ..told(8, Vec::new()) };
        assert_eq!((known.hear(&word, now()), known.revision()), (Heard::True, 5));
        let created = WatchResponse { created: true, ..told(8, Vec::new()) };
        assert_eq!((known.hear(&created, now()), known.revision()), (Heard::True, 5));
        assert_eq!((known.hear(&told(8, Vec::new()), now()), known.revision()), (Heard::True, 8));
    }

    #[test]
    fn half_a_revision_is_not_known() {
        let mut known = listed(&[], 5);
        let half = WatchResponse { fragment: true, ..told(6, vec![put(kv("a", 1, 6))]) };
        assert_eq!((known.hear(&half, now()), known.revision()), (Heard::Part, 5));
        assert_eq!(known.hear(&told(6, vec![put(kv("b", 2, 6))]), now()), Heard::True);
        assert_eq!((ports(&known.say()), known.revision()), (vec![1, 2], 6));
    }

    #[test]
    fn every_doubt_is_told() {
        let table = [
            (
                WatchResponse { compact_revision: 7, canceled: true, ..told(9, Vec::new()) },
                "compacted all before 7",
            ),
            (
                WatchResponse { canceled: true, cancel_reason: "denied".into(), ..told(9, Vec::new()) },
                "ended the watch: denied",
            ),
            (WatchResponse::default(), "without a header"),
            (told(4, Vec::new()), "from revision 5 to 4"),
            (
                WatchResponse { header: Some(Header { cluster_id: 8, ..header(9) }), ..told(9, Vec::new()) },
                "another cluster",
            ),
            (
                WatchResponse { header: Some(Header { raft_term: 1, ..header(9) }), ..told(9, Vec::new()) },
                "from term 2 to 1",
            ),
        ];
        for (answer, why) in table {
            let mut known = listed(&[kv("a", 1, 4)], 5);
            let Heard::Doubt(doubt) = known.hear(&answer, now()) else { panic!("{why}") };
            assert!(doubt.contains(why), "{doubt}");
            assert_eq!((ports(&known.say()), known.revision()), (vec![1], 5), "a doubt changes nothing");
        }
    }

    #[test]
    fn a_list_is_the_truth_also_in_another_cluster() {
        let mut known = listed(&[kv("a", 1, 90), kv("b", 2, 91)], 91);
        let doubt = known.list(Header { cluster_id: 8, ..header(3) }, &[kv("b", 2, 2)], now());
        assert!(doubt.unwrap().contains("another cluster"));
        assert_eq!((ports(&known.say()), known.revision()), (vec![2], 3));
        assert_eq!(
            known.hear(
                &WatchResponse {
                    header: Some(Header { cluster_id: 8, ..header(4) }),
                    ..told(4, vec![put(kv("c", 3, 4))])
                },
                now()
            ),
            Heard::True
        );
        assert_eq!(ports(&known.say()), [2, 3]);
    }

    #[test]
    fn records_that_make_no_sense_are_left_out_and_counted() {
        let odd = |instance: &str, value: &str| KeyValue { value: value.into(), ..kv(instance, 0, 4) };
        let mut kvs = vec![
            kv("good", 1, 4),
            odd("torn", &text("torn", 2)[..30]),
            odd("stolen", &text("good", 3)),
            odd("huge", &format!("{}{}", text("huge", 4), " ".repeat(MAX_BYTES))),
            odd("nowhere", &text("nowhere", 0)),
            odd("below/another", &text("below", 5)),
        ];
        let mut known = listed(&kvs, 5);
        let said = known.say();
        assert_eq!((ports(&said), said.skipped()), (vec![1], 4));
        known.hear(&told(6, vec![put(kv("torn", 2, 6))]), now());
        let said = known.say();
        assert_eq!((ports(&said), said.skipped()), (vec![1, 2], 3));
        known.hear(&told(7, vec![put(odd("torn", "{"))]), now());
        assert_eq!(known.say().skipped(), 3, "an older word than the last");
        kvs[1].mod_revision = 8;
        known.hear(&told(8, vec![put(kvs[1].clone())]), now());
        assert_eq!(known.say().skipped(), 4);
    }

    proptest! {
        /// Whatever was written, wherever streams broke, and whatever was told twice or in parts: in the end what is
        /// known is what is stored.
        #[test]
        fn what_is_known_is_what_is_stored(
            steps in prop::collection::vec((0_u16..5, 0_u16..4, 0_u8..8), 1..40)
        ) {
            let mut log: Vec<Event> = Vec::new();
            let mut stored: BTreeMap<String, KeyValue> = BTreeMap::new();
            let mut known = listed(&[], 1);
            let mut sent = 0;
            for (key, port, how) in steps {
                let (instance, revision) = (format!("i{key}"), log.len() as i64 + 2);
                if port == 0 {
                    stored.remove(&instance);
                    log.push(gone(&instance, revision));
                } else {
                    stored.insert(instance.clone(), kv(&instance, port, revision));
                    log.push(put(kv(&instance, port, revision)));
                }
                match how {
                    // Nothing arrives yet.
                    0 | 1 => {}
                    // The stream broke: told again from where it is known, which is never ahead of what was sent.
                    2 => {
                        let from = usize::try_from(known.revision() - 1).unwrap();
                        prop_assert!(from <= sent);
                        sent = from;
                    }
                    // In parts, of which the last does not arrive.
                    3 => {
                        let part = WatchResponse { fragment: true, ..told(revision, log[sent..].to_vec()) };
                        prop_assert_eq!(known.hear(&part, now()), Heard::Part);
                    }
                    4 => {
                        let all: Vec<KeyValue> = stored.values().cloned().collect();
                        prop_assert_eq!(known.list(header(revision), &all, now()), None);
                        sent = log.len();
                    }
                    5 => {
                        let word = WatchResponse { watch_id: NO_WATCH, ..told(revision, Vec::new()) };
                        prop_assert_eq!(known.hear(&word, now()), Heard::True);
                    }
                    _ => {
                        prop_assert_eq!(known.hear(&told(revision, log[sent..].to_vec()), now()), Heard::True);
                        sent = log.len();
                    }
                }
            }
            let from = usize::try_from(known.revision() - 1).unwrap();
            known.hear(&told(log.len() as i64 + 1, log[from..].to_vec()), now());
            let wanted: Vec<String> = stored.keys().cloned().collect();
            let said = known.say();
            prop_assert_eq!(said.found().iter().map(|f| f.endpoint.instance.clone()).collect::<Vec<_>>(), wanted);
            let addresses: Vec<String> = stored.values().map(|kv| String::from_utf8_lossy(&kv.value).into_owned()).collect();
            for (found, text) in said.found().iter().zip(addresses) {
                prop_assert!(text.contains(&found.endpoint.address.to_string()));
            }
        }
    }

    #[test]
    fn a_record_with_a_lease_lives_as_long_as_that_and_one_without_as_it_says() {
        let now = now();
        let mut known = Known::new(Arc::from("catalog"), PREFIX.to_owned());
        let by_hand = KeyValue { lease: 0, ..kv("b", 2, 4) };
        known.list(header(5), &[kv("a", 1, 4), by_hand.clone()], now);
        let said = known.say();
        let expires = |said: &Snapshot| said.found().iter().map(|found| found.expires).collect::<Vec<_>>();
        assert_eq!(expires(&said), [None, Some(now.instant + std::time::Duration::from_secs(30))]);
        // Looked at again, it is counted from then.
        let later = Now { unix_ms: now.unix_ms + 10_000, ..now };
        known.list(header(6), &[kv("a", 1, 4), by_hand], later);
        assert_eq!(expires(&known.say())[1], Some(now.instant + std::time::Duration::from_secs(20)));
    }
}
