//! Records as keys in etcd.
//!
//! One lease for each registration: etcd removes the record when the lease ends, and nobody else counts. A renewal
//! keeps the lease alive and writes nothing, so that a thousand instances do not wake a thousand watchers every ten
//! seconds; the record is written again only when it says something else, or when it or its lease is gone.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use platform_core::{Error, ErrorKind, Result};
use tokio::{sync, time::Instant};

use super::{
    Pending, Register,
    taken::{is_taken, taken},
};
use crate::{
    config::Config,
    etcd::{
        Cluster, Compare, Failure, KeyValue, LeaseAnswer, LeaseGrantRequest, LeaseRequest, LeaseRevoked, MOD,
        PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse, call,
    },
    record::Record,
    task::aside,
    unix_ms,
};

/// Writes `PREFIX/NAME/INSTANCE`, under a lease of its own.
///
/// | what happens | what becomes of it |
/// |---|---|
/// | a renewal is due | the lease is kept alive; nothing is written |
/// | the key is gone, and the lease is not | written again within three or four seconds |
/// | the lease has ended: etcd was frozen, wiped or away for longer | a new one, and the record with it, as soon as etcd answers |
/// | the name is somebody else's, who lives, listens and does not drain | refused, and tried again, less and less often, down to once a renewal |
/// | it drains | written at once, under a lease that was just renewed |
/// | it is withdrawn | the lease is revoked, and what was written under it goes with it |
///
/// # Traps
///
/// etcd grants no lease shorter than one and a half of its elections (two seconds by default); whoever asks for less
/// is believed in for longer. A `lease` that is no whole number of seconds is rounded up.
#[derive(Debug)]
pub struct Etcd {
    cluster: Cluster,
    /// Whole seconds, which is how etcd counts.
    ttl: i64,
    /// Held while something is written, so that there is one lease.
    writing: sync::Mutex<()>,
    held: Mutex<Held>,
}

/// What this registration has in etcd, as far as it knows.
#[derive(Debug, Default)]
struct Held {
    lease: Option<i64>,
    /// What was written under that lease; `None` if it has to be written, again or for the first time.
    written: Option<Record>,
    /// When the key was last written, as far as we know; 0 is never.
    revision: i64,
    looked: Option<Instant>,
}

/// A lease, and when it ends.
#[derive(Clone, Copy)]
struct Lent {
    lease: i64,
    expires_unix_ms: u64,
}

impl Etcd {
    /// The cluster of this configuration; nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] without a member, and if a certificate or the password cannot be read.
    pub fn of(config: &Config) -> Result<Self> {
        Ok(Etcd {
            cluster: Cluster::new(config.etcd.clone())?,
            ttl: whole_seconds(config.register.lease),
            writing: sync::Mutex::default(),
            held: Mutex::default(),
        })
    }

    async fn write(&self, record: Record) -> Result<()> {
        let _alone = self.writing.lock().await;
        // The lease may end between the two; then once more.
        for _ in 0..2 {
            let lent = self.lend().await?;
            if self.held().written.as_ref().is_some_and(|written| written.says_the_same(&record)) {
                return Ok(());
            }
            let record = Record { expires_unix_ms: lent.expires_unix_ms, ..record.clone() };
            match self.store(lent.lease, record).await {
                Err(Stored::Failed(failure)) if failure.is_lost_lease() => *self.held() = Held::default(),
                stored => return stored.map_err(Error::from),
            }
        }
        Err(Error::new(ErrorKind::Unreachable, "etcd forgets leases as soon as it has granted them"))
    }

    /// The lease, alive for its whole length from now: kept alive, else a new one.
    async fn lend(&self) -> Result<Lent, Failure> {
        let known = self.held().lease;
        // Counted from before the question: what we say ends before what etcd does, never after.
        let asked = SystemTime::now();
        if let Some(lease) = known {
            let answer: LeaseAnswer = self.cluster.call(call::KEEP_ALIVE, LeaseRequest { id: lease }).await?;
            if answer.ttl > 0 {
                return Ok(Lent { lease, expires_unix_ms: ends(asked, answer.ttl) });
            }
            *self.held() = Held::default();
            tracing::warn!("the lease of this instance's record has ended; it is registered anew");
        }
        let answer: LeaseAnswer = self.cluster.call(call::GRANT, LeaseGrantRequest { ttl: self.ttl }).await?;
        self.held().lease = Some(answer.id);
        Ok(Lent { lease: answer.id, expires_unix_ms: ends(asked, answer.ttl) })
    }

    /// Writes the record if nobody has written there since we looked; else looks at who it was.
    async fn store(&self, lease: i64, record: Record) -> Result<(), Stored> {
        let mut seen = self.held().revision;
        for _ in 0..TRIES {
            let answer: TxnResponse = self.cluster.call(call::TXN, self.put_if(seen, lease, &record)).await?;
            if answer.succeeded {
                let revision = answer.header.map_or(0, |header| header.revision);
                let mut held = self.held();
                (held.revision, held.written) = (revision, Some(record));
                return Ok(());
            }
            let found = answer.responses.into_iter().find_map(|response| response.range);
            let there = found.and_then(|found| found.kvs.into_iter().next());
            seen = there.as_ref().map_or(0, |there| there.mod_revision);
            if let Some(there) = there.filter(|there| there.lease != lease) {
                self.refuse_if_taken(&there, &record).await?;
            }
        }
        Err(Stored::Refused(Error::new(
            ErrorKind::Start,
            format!(
                "the record of \"{}\" is written by somebody else all the time; give this instance a service.instance \
                 of its own",
                record.instance
            ),
        )))
    }

    fn put_if(&self, seen: i64, lease: i64, record: &Record) -> TxnRequest {
        let key = self.key(record);
        let put = PutRequest { key: key.clone(), value: record.to_json(), lease };
        let look = RangeRequest { key: key.clone(), ..RangeRequest::default() };
        TxnRequest {
            compare: vec![Compare { result: 0, target: MOD, key, mod_revision: Some(seen) }],
            success: vec![RequestOp { put: Some(put), range: None }],
            failure: vec![RequestOp { range: Some(look), put: None }],
        }
    }

    async fn refuse_if_taken(&self, there: &KeyValue, own: &Record) -> Result<(), Stored> {
        let Ok(other) = Record::read(&there.value, &own.name, &own.instance) else { return Ok(()) };
        let now = unix_ms(SystemTime::now());
        // etcd ends leases; what the record says of its end is only true without one.
        if there.lease == 0 && !other.is_alive(now) {
            return Ok(());
        }
        let (address, state, asked) = (other.address, other.state, own.clone());
        if !aside(move || is_taken(address, state, &asked)).await? {
            return Ok(());
        }
        let left = match there.lease {
            0 => other.expires_unix_ms.saturating_sub(now) / 1000 + 1,
            id => {
                let answer: LeaseAnswer = self.cluster.call(call::TIME_TO_LIVE, LeaseRequest { id }).await?;
                u64::try_from(answer.ttl).unwrap_or(0)
            }
        };
        Err(Stored::Refused(taken(address, own, Some(left))))
    }

    async fn erase(&self) -> Result<()> {
        let _alone = self.writing.lock().await;
        let Some(id) = self.held().lease else { return Ok(()) };
        // With the lease goes what was written under it, and nothing that somebody else wrote there since.
        match self.cluster.call::<_, LeaseRevoked>(call::REVOKE, LeaseRequest { id }).await {
            Err(failure) if !failure.is_lost_lease() => Err(failure.into()),
            _ => {
                *self.held() = Held::default();
                Ok(())
            }
        }
    }

    async fn look(&self, record: &Record) -> Result<bool> {
        let lease = {
            let held = self.held();
            let lately = held.looked.is_some_and(|looked| looked.elapsed() < LOOK);
            match held.lease {
                Some(lease) if held.written.is_some() && !lately => lease,
                _ => return Ok(true),
            }
        };
        // What one member knows is enough: who is behind only makes us write once more.
        let question = RangeRequest {
            key: self.key(record),
            serializable: true,
            keys_only: true,
            ..RangeRequest::default()
        };
        let answer: RangeResponse = self.cluster.call(call::RANGE, question).await?;
        let there = answer.kvs.first().is_some_and(|kv| kv.lease == lease);
        let mut held = self.held();
        held.looked = Some(Instant::now());
        if !there && held.lease == Some(lease) {
            held.written = None;
        }
        Ok(there)
    }

    fn key(&self, record: &Record) -> Vec<u8> {
        (self.cluster.prefix_of(&record.name) + &record.instance).into_bytes()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Register for Etcd {
    fn publish(&self, record: Record) -> Pending<'_, ()> {
        Box::pin(self.write(record))
    }

    fn remove(&self, _record: Record) -> Pending<'_, ()> {
        Box::pin(self.erase())
    }

    fn holds<'a>(&'a self, record: &'a Record) -> Pending<'a, bool> {
        Box::pin(self.look(record))
    }
}

/// Why a record was not stored.
enum Stored {
    Failed(Failure),
    Refused(Error),
}

impl From<Failure> for Stored {
    fn from(failure: Failure) -> Self {
        Stored::Failed(failure)
    }
}

impl From<Error> for Stored {
    fn from(error: Error) -> Self {
        Stored::Refused(error)
    }
}

impl From<Stored> for Error {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Failed(failure) => failure.into(),
            Stored::Refused(error) => error,
        }
    }
}

fn ends(asked: SystemTime, ttl: i64) -> u64 {
    unix_ms(asked).saturating_add(u64::try_from(ttl).unwrap_or(0).saturating_mul(1000))
}

/// Never shorter than what was asked for.
fn whole_seconds(length: Duration) -> i64 {
    let seconds = length.as_secs() + u64::from(length.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// Others who write the same key come once; who comes three times in a row lives here.
const TRIES: usize = 3;
/// How often the key itself is looked for: a third of the hold of vanished endpoints, so that whoever empties etcd
/// disturbs nobody, and a thousand instances are three hundred small questions a second.
const LOOK: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    /// What is under it is `record.json`. Who looks elsewhere finds nobody.
    #[test]
    fn a_record_is_where_every_version_looks_for_it() {
        let text = r#"{"name":"catalog","instance":"i-1","address":"10.0.0.1:80","expires_unix_ms":0}"#;
        let record = Record::read(text.as_bytes(), "catalog", "i-1").unwrap();
        let etcd = Etcd::of(&Config::default()).unwrap();
        let key = String::from_utf8(etcd.key(&record)).unwrap();
        crate::golden::is("etcd.key.txt", &format!("{key}\n"));
        for (version, text) in crate::golden::of_every_version("etcd.key.txt") {
            assert_eq!(text, format!("{}i-1\n", etcd.cluster.prefix_of("catalog")), "{version}");
        }
    }

    #[test]
    fn a_lease_is_whole_seconds_and_never_shorter_than_asked() {
        for (ms, seconds) in [(30_000, 30), (1_500, 2), (1, 1), (2_001, 3)] {
            assert_eq!(whole_seconds(Duration::from_millis(ms)), seconds);
        }
        let asked = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        assert_eq!((ends(asked, 30), ends(asked, -1)), (35_000, 5_000));
    }
}
