//! Who came, who stayed, who left, who is left out?

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use platform_core::config::Mode;
use tokio::{sync::watch, time::Instant};

use super::{
    average::Average,
    config::{Config, EjectConfig},
    eject::{self, Case, Change, Row, Ruling},
    link::{Health, Link},
    load::WHOLE,
    member::{Member, Shared},
    metrics::{Ejections, Picks},
    ready::ReadySet,
};
use crate::{
    endpoint::{Endpoint, EndpointSet, Protocol, State},
    view::Seen,
};

/// Makes what is kept for a new endpoint.
pub(super) type Make<C> = Box<dyn Fn(&Endpoint, Link) -> C + Send + Sync>;

/// The members of all states, with all that is kept for them. The only writer of ready sets.
///
/// Who left is dropped here; the calls it still has keep it alive until they end.
pub(super) struct Pool<C> {
    make: Make<C>,
    picks: Picks,
    ejections: Ejections,
    shared: Arc<Shared>,
    slow_start: Duration,
    configured: Mode,
    mode: Mode,
    eject: eject::Rules,
    /// What is made of what they say of themselves.
    health: Mode,
    /// In the order of the set.
    entries: Vec<Entry<C>>,
    panic: bool,
    sick: usize,
    /// Told when a link changes.
    links: watch::Sender<()>,
}

struct Entry<C> {
    member: Arc<Member<C>>,
    link: Link,
    /// Whether there was a way to it when that was last looked at, and whether it said that it serves nobody.
    connected: bool,
    refuses: bool,
    /// Since when it warms up; `None` when it is warm.
    warming: Option<Instant>,
    case: Case,
}

/// What a look at all of them brought.
pub(super) struct Swept<C> {
    /// The ready set, if it is another one now.
    pub(super) ready: Option<ReadySet<C>>,
    /// There will be something to do in a moment, even if nobody calls.
    pub(super) more: bool,
}

/// The same process: the same name at the same address, speaking the same.
type Key = (String, SocketAddr, Protocol);

impl<C> Pool<C> {
    pub(super) fn new(
        make: Make<C>,
        picks: Picks,
        ejections: Ejections,
        shared: Arc<Shared>,
        config: &Config,
    ) -> Self {
        let EjectConfig { mode, consecutive, base, max, max_share } = config.eject;
        let eject = eject::Rules {
            consecutive,
            base,
            max,
            max_share: max_share.as_f64(),
            panic: config.set.panic.as_f64(),
            enforce: mode.enforces(),
        };
        let slow_start = config.load.slow_start;
        Pool {
            make,
            picks,
            ejections,
            shared,
            slow_start,
            configured: mode,
            mode,
            eject,
            health: config.health.mode,
            entries: Vec::new(),
            panic: false,
            sick: 0,
            links: watch::Sender::new(()),
        }
    }

    /// Wakes when there is a way to somebody, or none any more; [`relink`](Self::relink) is due then.
    pub(super) fn links(&self) -> watch::Receiver<()> {
        self.links.subscribe()
    }

    /// Follows `set`: one pass, and work only for those who changed.
    pub(super) fn apply(&mut self, set: &EndpointSet, now: Instant) -> ReadySet<C> {
        let like = self.usual(now);
        // Where all are new, nobody is newer than the others.
        let joins = !self.entries.is_empty();
        let warming = (joins && !self.slow_start.is_zero()).then_some(now);
        let mut known: HashMap<Key, Entry<C>> =
            self.entries.drain(..).map(|entry| (key(entry.member.endpoint()), entry)).collect();
        for endpoint in set.endpoints() {
            let entry = match known.remove(&key(endpoint)) {
                Some(known) if Arc::ptr_eq(known.member.endpoint(), endpoint) => known,
                Some(known) => {
                    let described = known.member.described(Arc::clone(endpoint), self.picks.of(endpoint));
                    Entry { member: Arc::new(described), ..known }
                }
                None => {
                    // Who joins others says itself when there is a way to it.
                    let link = Link::new(!joins, &self.links);
                    let (service, picks) = ((self.make)(endpoint, link.clone()), self.picks.of(endpoint));
                    let member = Member::new(Arc::clone(endpoint), service, picks, &self.shared, like);
                    let (member, connected) = (Arc::new(member), link.is_connected());
                    Entry { member, link, connected, refuses: false, warming, case: Case::new(now) }
                }
            };
            self.entries.push(entry);
        }
        // Who has left takes its sickness along, and who has come may be left out.
        self.judge(now);
        self.warm(now);
        self.ready()
    }

    /// The set again, after links have changed.
    pub(super) fn relink(&mut self, now: Instant) -> ReadySet<C> {
        let like = self.usual(now);
        for entry in &mut self.entries {
            let connected = entry.link.is_connected();
            let refuses = entry.link.health() == Health::NotServing;
            let serves_again = entry.refuses && !refuses && self.health.enforces();
            if (connected && !entry.connected) || serves_again {
                // What it was like before it went says nothing of what it is like now.
                entry.member.load().begin_anew(like);
            }
            if refuses != entry.refuses && self.health.is_on() {
                if refuses {
                    self.ejections.count(eject::Why::Health, self.health);
                }
                tell_health(self.picks.target(), &entry.member, refuses, self.health);
            }
            (entry.connected, entry.refuses) = (connected, refuses);
        }
        self.ready()
    }

    /// Rules in this mode from now on, or as configured. Does that change who may be chosen?
    pub(super) fn eject_as(&mut self, laid: Option<Mode>) -> bool {
        let mode = laid.unwrap_or(self.configured);
        if mode == self.mode {
            return false;
        }
        (self.mode, self.eject.enforce) = (mode, mode.enforces());
        if !mode.is_on() {
            // Who is judged by nobody is not guilty; what was counted stays.
            self.entries.iter_mut().for_each(|entry| entry.case.acquit());
            (self.sick, self.panic) = (0, false);
        }
        true
    }

    /// The mode that is in force.
    pub(super) fn eject_mode(&self) -> Mode {
        self.mode
    }

    /// What is due once a second, and when failures come in a row.
    pub(super) fn sweep(&mut self, now: Instant) -> Swept<C> {
        self.entries.iter().for_each(|entry| entry.member.load().age_told());
        let (changed, heard) = self.judge(now);
        let warming = self.warm(now);
        let out = self.entries.iter().any(|entry| entry.case.is_out());
        Swept { ready: changed.then(|| self.ready()), more: warming || heard || out || self.panic }
    }

    /// Who is out, and who is back. Did that change who may be chosen, and was there anything to judge?
    fn judge(&mut self, now: Instant) -> (bool, bool) {
        let is_ready = |entry: &&mut Entry<C>| entry.member.endpoint().state == State::Ready;
        let mut rows: Vec<Row<'_>> = self
            .entries
            .iter_mut()
            .filter(is_ready)
            .map(|entry| Row {
                tally: entry.member.load().tally(),
                last_failure: entry.member.load().last_failure(),
                case: &mut entry.case,
            })
            .collect();
        if !self.mode.is_on() {
            // All are counted, and none is judged.
            let heard =
                rows.iter_mut().filter_map(|row| row.case.count(row.tally, now).then_some(())).count();
            return (false, heard > 0);
        }
        let ready = rows.len();
        let ruling = eject::rule(&self.eject, &mut rows, self.panic, now, || fastrand::u64(..));
        let changed = self.mode.enforces() && (!ruling.changes.is_empty() || ruling.panic != self.panic);
        if !ruling.changes.is_empty() {
            self.carry_out(&ruling, now);
        }
        self.sick = ruling.sick;
        if ruling.panic != self.panic {
            self.panic = ruling.panic;
            self.tell_panic(ready);
        }
        (changed, ruling.heard)
    }

    fn carry_out(&mut self, ruling: &Ruling, now: Instant) {
        let like = self.usual(now);
        let ready: Vec<usize> = (0..self.entries.len())
            .filter(|index| self.entries[*index].member.endpoint().state == State::Ready)
            .collect();
        for change in &ruling.changes {
            match change {
                Change::Out { index, why, time } => {
                    self.ejections.count(*why, self.mode);
                    let member = &self.entries[ready[*index]].member;
                    self.tell_out(member, why, *time);
                }
                Change::Back { index, probe: true } => {
                    let entry = &mut self.entries[ready[*index]];
                    entry.member.load().begin_anew(like);
                    entry.warming = (!self.slow_start.is_zero()).then_some(now);
                }
                Change::Back { probe: false, .. } => {}
            }
        }
    }

    /// A line for whoever wonders why one of them has nothing to do.
    fn tell_out(&self, member: &Member<C>, why: &eject::Why, time: Duration) {
        let (called, endpoint) = (self.picks.target(), member.label());
        if self.mode.enforces() {
            tracing::warn!(%called, %endpoint, instance = member.endpoint().instance, why = %why, out_for = ?time, "an endpoint is left out");
        } else {
            tracing::info!(%called, %endpoint, instance = member.endpoint().instance, why = %why, "an endpoint would be left out");
        }
    }

    fn tell_panic(&self, endpoints: usize) {
        let (called, sick) = (self.picks.target(), self.sick);
        if !self.mode.enforces() {
            return;
        }
        if self.panic {
            tracing::warn!(%called, sick, endpoints, "too many endpoints are sick, so all are asked again");
        } else {
            tracing::info!(%called, sick, endpoints, "enough endpoints are well again");
        }
    }

    /// Who takes calls now: those [against](Self::against) whom the least speaks; a set is never emptied here.
    pub(super) fn ready(&self) -> ReadySet<C> {
        let best = self.best();
        let chosen = self.all_ready().filter(|entry| Some(self.against(entry)) == best);
        ReadySet::new(chosen.map(|entry| Arc::clone(&entry.member)))
    }

    /// Is there anybody to whom there is a way, and who does not say that it serves nobody?
    pub(super) fn is_reachable(&self) -> bool {
        self.best().is_some_and(|best| best < REFUSES)
    }

    fn best(&self) -> Option<u8> {
        self.all_ready().map(|entry| self.against(entry)).min()
    }

    fn all_ready(&self) -> impl Iterator<Item = &Entry<C>> {
        self.entries.iter().filter(|entry| entry.member.endpoint().state == State::Ready)
    }

    /// What speaks against asking it, the worst in the highest bit: there is no way to it, or nobody knows yet whether
    /// it serves; it says that it does not; it is left out.
    fn against(&self, entry: &Entry<C>) -> u8 {
        let heard = if self.health.enforces() { entry.link.health() } else { Health::Unknown };
        let away = !entry.link.is_connected() || heard == Health::Awaited;
        let out = self.mode.enforces() && !self.panic && entry.case.is_out();
        u8::from(away) * AWAY + u8::from(heard == Health::NotServing) * REFUSES + u8::from(out) * OUT
    }

    /// Gives those who warm up what they have earned by their age. Does anybody?
    fn warm(&mut self, now: Instant) -> bool {
        let mut any = false;
        for entry in &mut self.entries {
            let Some(since) = entry.warming else { continue };
            let age = now.saturating_duration_since(since);
            let share = (age.as_secs_f64() / self.slow_start.as_secs_f64()).max(LEAST_SHARE);
            entry.member.load().warm_to((share * f64::from(WHOLE)).min(f64::from(WHOLE)) as u32);
            if share >= 1.0 {
                entry.warming = None;
            } else {
                any = true;
            }
        }
        any
    }

    /// What one that nobody has asked is taken to be like: the median of those that were.
    fn usual(&self, now: Instant) -> Average {
        let (tick, decay) = (self.shared.scale.tick(now), self.shared.scale.decay);
        let well = |entry: &&Entry<C>| entry.connected && !entry.case.is_out();
        let known = self.entries.iter().filter(well).map(|entry| entry.member.load());
        let mut seconds: Vec<f32> =
            known.filter(|load| !load.is_untried()).map(|load| load.average().at(tick, decay)).collect();
        seconds.sort_unstable_by(f32::total_cmp);
        seconds.get(seconds.len() / 2).map_or(Average::default(), |median| Average::of(*median, tick))
    }

    /// Who is ready and not among those that may be asked.
    pub(super) fn sick(&self, healthy: &ReadySet<C>) -> Vec<Arc<Member<C>>> {
        let members = self.entries.iter().map(|entry| &entry.member);
        let ready = members.filter(|member| member.endpoint().state == State::Ready);
        if ready.clone().count() == healthy.len() {
            return Vec::new();
        }
        let known: HashSet<*const Member<C>> = healthy.members().iter().map(Arc::as_ptr).collect();
        ready.filter(|member| !known.contains(&Arc::as_ptr(member))).cloned().collect()
    }

    /// Everybody, whatever the state, as an operator sees them.
    pub(super) fn each(&self, now: Instant, show: &mut dyn FnMut(&Endpoint, Seen)) {
        let reachable = self.is_reachable();
        for entry in &self.entries {
            let mut seen = entry.member.seen(now);
            let against = self.against(entry);
            seen.connecting = entry.member.endpoint().state == State::Ready && against >= AWAY;
            // Where all say that they do not serve, all are asked.
            let refuses = reachable && against & REFUSES != 0;
            seen.is_out = refuses || (self.mode.enforces() && !self.panic && entry.case.is_out());
            seen.health = entry.link.health().label().filter(|_| self.health.is_on());
            let own_word = || entry.refuses.then(|| eject::Why::Health.to_string());
            seen.sick = entry.case.tell(now, self.mode.enforces()).or_else(own_word);
            show(entry.member.endpoint(), seen);
        }
    }

    /// Why all are asked although many are sick; nothing if they are not.
    pub(super) fn panic(&self) -> Option<String> {
        let (sick, all) = (self.sick, self.entries.len());
        (self.panic && self.mode.enforces()).then(|| format!("{sick} of {all} are sick, so all are asked"))
    }

    #[cfg(test)]
    pub(super) fn members(&self) -> impl Iterator<Item = &Arc<Member<C>>> {
        self.entries.iter().map(|entry| &entry.member)
    }
}

fn key(endpoint: &Endpoint) -> Key {
    (endpoint.instance.clone(), endpoint.address, endpoint.protocol)
}

/// A line for whoever wonders why one of them has nothing to do; one that drains says so too, and is no trouble.
fn tell_health<C>(called: &str, member: &Member<C>, refuses: bool, mode: Mode) {
    let (endpoint, instance) = (member.label(), &member.endpoint().instance);
    let mode = mode.as_str();
    if refuses {
        tracing::info!(%called, %endpoint, instance, mode, "an endpoint says itself that it is not serving");
    } else {
        tracing::info!(%called, %endpoint, instance, mode, "an endpoint is serving again");
    }
}

/// What speaks against an endpoint. Each outweighs those before it together.
const OUT: u8 = 1;
const REFUSES: u8 = 2;
const AWAY: u8 = 4;
/// Enough to learn how it answers, too little to be missed if it does not.
const LEAST_SHARE: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{load::Scale, picked::Picked};
    use platform_core::{Context, Outcome, Verdict, identity::Identity, telemetry::Metrics};
    use proptest::prelude::*;
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    fn pool() -> Pool<usize> {
        let metrics = Metrics::new(&Identity::default());
        let made = AtomicUsize::new(0);
        let make = Box::new(move |_: &Endpoint, link: Link| {
            link.set(true);
            made.fetch_add(1, Relaxed)
        });
        let (ewma, penalty) = (Duration::from_secs(10), Duration::from_secs(5));
        let shared = Arc::new(Shared::new(Scale::new(ewma, penalty), 5));
        let picks = Picks::new(&metrics, &Arc::from("catalog"), &Arc::from(""));
        let ejections = Ejections::new(&metrics, &Arc::from("catalog"));
        Pool::new(make, picks, ejections, shared, &Config::default())
    }

    fn apply(pool: &mut Pool<usize>, set: &EndpointSet) -> ReadySet<usize> {
        pool.apply(set, Instant::now())
    }

    fn pick(member: &Arc<Member<usize>>) -> Picked<usize> {
        Picked::new(Arc::clone(member), &Context::root(Instant::now()))
    }

    fn endpoint(port: u16, state: State, version: u8) -> Arc<Endpoint> {
        let mut endpoint = Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)));
        endpoint.state = state;
        endpoint.version = version.to_string();
        Arc::new(endpoint)
    }

    #[test]
    fn another_process_at_the_same_address_begins_anew() {
        let mut pool = pool();
        let first = endpoint(1, State::Ready, 0);
        apply(&mut pool, &EndpointSet::new(vec![Arc::clone(&first)], 1));
        let mut restarted = (*first).clone();
        restarted.instance = "another".into();
        let ready = apply(&mut pool, &EndpointSet::new(vec![Arc::new(restarted.clone())], 2));
        assert_eq!(*ready.members()[0].service(), 1);
        restarted.protocol = Protocol::H2;
        let ready = apply(&mut pool, &EndpointSet::new(vec![Arc::new(restarted)], 3));
        assert_eq!(*ready.members()[0].service(), 2);
    }

    #[test]
    fn who_left_lives_until_its_calls_end() {
        let mut pool = pool();
        let ready = apply(&mut pool, &EndpointSet::new(vec![endpoint(1, State::Ready, 0)], 1));
        let picked = pick(&ready.members()[0]);
        let member = Arc::downgrade(&ready.members()[0]);
        drop(ready);
        assert!(apply(&mut pool, &EndpointSet::new(Vec::new(), 2)).is_empty());
        assert_eq!(member.upgrade().unwrap().in_flight(), 1);
        drop(picked);
        assert!(member.upgrade().is_none());
    }

    #[test]
    fn who_joins_others_warms_up_and_is_taken_to_be_like_them() {
        let mut pool = pool();
        let first = [endpoint(1, State::Ready, 0), endpoint(2, State::Ready, 0)];
        let now = Instant::now();
        let ready = pool.apply(&EndpointSet::new(first.to_vec(), 1), now);
        let warmth = |ready: &ReadySet<usize>, index: usize| {
            f64::from(ready.members()[index].load().warmth()) / f64::from(WHOLE)
        };
        assert_eq!((warmth(&ready, 0), warmth(&ready, 1)), (1.0, 1.0), "together from the beginning");
        for member in ready.members() {
            let verdict = Verdict::new(Outcome::Success, now + Duration::from_millis(20));
            let mut picked = Picked::new(Arc::clone(member), &Context::root(now));
            picked.report(&verdict);
        }
        let both = [first[0].clone(), first[1].clone(), endpoint(3, State::Ready, 0)];
        let ready = pool.apply(&EndpointSet::new(both.to_vec(), 2), now);
        assert!((warmth(&ready, 2) - 0.1).abs() < 1e-3);
        let known = pool.shared.scale.tick(now);
        assert!((ready.members()[2].load().average().at(known, pool.shared.scale.decay) - 0.02).abs() < 1e-4);
        assert!(ready.members()[2].load().is_untried());
        for (seconds, share) in [(2, 0.1), (15, 0.5), (29, 0.966)] {
            assert!(pool.warm(now + Duration::from_secs(seconds)));
            assert!((warmth(&ready, 2) - share).abs() < 1e-2, "{seconds}");
        }
        assert!(!pool.warm(now + Duration::from_secs(30)));
        assert_eq!(warmth(&ready, 2), 1.0);
    }

    /// A pool whose links are given out, and the ports of those that would be asked.
    fn linked() -> (Pool<Link>, impl Fn(&ReadySet<Link>) -> Vec<u16>) {
        let metrics = Metrics::new(&Identity::default());
        let (ewma, penalty) = (Duration::from_secs(10), Duration::from_secs(5));
        let shared = Arc::new(Shared::new(Scale::new(ewma, penalty), 5));
        let picks = Picks::new(&metrics, &Arc::from("catalog"), &Arc::from(""));
        let ejections = Ejections::new(&metrics, &Arc::from("catalog"));
        let pool = Pool::new(Box::new(|_, link| link), picks, ejections, shared, &Config::default());
        (pool, |ready| ready.members().iter().map(|member| member.endpoint().address.port()).collect())
    }

    #[test]
    fn who_joins_others_is_asked_when_there_is_a_way_and_a_first_set_at_once() {
        let (mut pool, ports) = linked();
        let now = Instant::now();
        let mut links = pool.links();
        let set = |ports: &[u16]| {
            EndpointSet::new(ports.iter().map(|port| endpoint(*port, State::Ready, 0)).collect(), 1)
        };
        let first = pool.apply(&set(&[1, 2]), now);
        assert_eq!(ports(&first), [1, 2]);
        assert_eq!(ports(&pool.apply(&set(&[1, 2, 3]), now)), [1, 2]);
        assert!(!links.has_changed().unwrap());
        let third = pool.members().find(|member| member.endpoint().address.port() == 3).unwrap();
        assert!(!third.service().is_connected());
        third.service().set(true);
        assert!(links.has_changed().unwrap());
        links.mark_unchanged();
        assert_eq!(ports(&pool.relink(now)), [1, 2, 3]);

        // Who cannot be reached is asked no more, until nobody can.
        first.members()[0].service().set(false);
        first.members()[0].service().set(false);
        assert_eq!(ports(&pool.relink(now)), [2, 3]);
        for member in pool.members() {
            member.service().set(false);
        }
        assert_eq!(ports(&pool.relink(now)), [1, 2, 3]);
        // Who comes back begins anew.
        let away = &first.members()[0];
        let mut picked = Picked::new(Arc::clone(away), &Context::root(now));
        picked.report(&Verdict::new(Outcome::Unreachable, now));
        assert!(away.latency(now) >= Some(Duration::from_secs(5)));
        away.service().set(true);
        assert_eq!(ports(&pool.relink(now)), [1]);
        assert_eq!(away.latency(now), None);
        // All are replaced by others: nobody is connected, and everybody is asked.
        assert_eq!(ports(&pool.apply(&set(&[7, 8]), now)), [7, 8]);
    }

    #[test]
    fn who_says_that_it_serves_nobody_is_asked_last_and_only_where_that_is_heeded() {
        for (mode, heeded) in [(Mode::Enforce, true), (Mode::Observe, false), (Mode::Off, false)] {
            let (mut pool, ports) = linked();
            pool.health = mode;
            let now = Instant::now();
            let first = [endpoint(1, State::Ready, 0), endpoint(2, State::Ready, 0)];
            pool.apply(&EndpointSet::new(first.to_vec(), 1), now);
            let link = |pool: &Pool<Link>, port: u16| {
                let found = pool.members().find(|member| member.endpoint().address.port() == port);
                found.expect("it is in the set").service().clone()
            };
            let of = |seen: &[(u16, Seen)], port: u16| {
                seen.iter().find(|(one, _)| *one == port).expect("it is shown").1.clone()
            };
            let seen = |pool: &Pool<Link>| {
                let mut all = Vec::new();
                pool.each(now, &mut |endpoint, seen| all.push((endpoint.address.port(), seen)));
                all
            };
            link(&pool, 1).says(Health::NotServing);
            let expected: &[u16] = if heeded { &[2] } else { &[1, 2] };
            assert_eq!(ports(&pool.relink(now)), expected, "{mode:?}");
            let shown = of(&seen(&pool), 1);
            assert_eq!(shown.is_out, heeded);
            assert_eq!(shown.health, mode.is_on().then_some("not_serving"));
            assert_eq!(shown.sick.as_deref(), Some("it says itself that it is not serving"));
            // One that is not there is asked after one that says no, and all are asked where all do.
            link(&pool, 2).set(false);
            assert_eq!(ports(&pool.relink(now)), [1], "{mode:?}");
            assert_eq!(pool.is_reachable(), !heeded);
            link(&pool, 2).set(true);
            link(&pool, 2).says(Health::NotServing);
            assert_eq!(ports(&pool.relink(now)), [1, 2], "{mode:?}");
            assert!(!of(&seen(&pool), 1).is_out && pool.is_reachable() != heeded);
            link(&pool, 1).says(Health::Serving);
            let expected: &[u16] = if heeded { &[1] } else { &[1, 2] };
            assert_eq!(ports(&pool.relink(now)), expected, "{mode:?}");
            // A newcomer is asked when it has said something, and not when it only can be reached.
            let third = [first[0].clone(), first[1].clone(), endpoint(3, State::Ready, 0)];
            pool.apply(&EndpointSet::new(third.to_vec(), 2), now);
            link(&pool, 3).says(Health::Awaited);
            link(&pool, 3).set(true);
            assert_eq!(ports(&pool.relink(now)).contains(&3), !heeded, "{mode:?}");
            assert_eq!(of(&seen(&pool), 3).connecting, heeded);
            link(&pool, 3).says(Health::Unknown);
            assert!(ports(&pool.relink(now)).contains(&3), "{mode:?}");
        }
    }

    proptest! {
        /// Whatever set follows whatever set: who stays keeps its service and its calls, who is new gets a new
        /// service, who comes back after leaving begins anew, and the ready set is who is ready.
        #[test]
        fn survivors_keep_all_that_is_theirs(
            sets in prop::collection::vec(prop::collection::btree_map(1_u16..12, (any::<bool>(), 0_u8..3), 0..10), 1..10)
        ) {
            let mut pool = pool();
            // By port: the service's number, and the calls in flight.
            let mut known: BTreeMap<u16, (usize, Vec<Picked<usize>>)> = BTreeMap::new();
            let mut made = 0;
            for (version, said) in sets.iter().enumerate() {
                let endpoints = said.iter().map(|(port, (ready, version))| {
                    endpoint(*port, if *ready { State::Ready } else { State::Draining }, *version)
                }).collect();
                let ready = apply(&mut pool, &EndpointSet::new(endpoints, version as u64 + 1));

                known.retain(|port, _| said.contains_key(port));
                prop_assert_eq!(pool.members().count(), said.len());
                for member in pool.members() {
                    let port = member.endpoint().address.port();
                    if let Some((service, calls)) = known.get(&port) {
                        prop_assert_eq!(member.service(), service);
                        prop_assert_eq!(member.in_flight() as usize, calls.len());
                    } else {
                        prop_assert_eq!(member.in_flight(), 0);
                        prop_assert!(*member.service() >= made);
                        known.insert(port, (*member.service(), Vec::new()));
                    }
                    prop_assert_eq!(&member.endpoint().version, &said[&port].1.to_string());
                }
                made = known.values().map(|(service, _)| service + 1).max().unwrap_or(made).max(made);
                let ports: Vec<u16> = ready.members().iter().map(|m| m.endpoint().address.port()).collect();
                let wanted: Vec<u16> = said.iter().filter(|(_, (ready, _))| *ready).map(|(port, _)| *port).collect();
                prop_assert_eq!(ports, wanted);
                for member in ready.members() {
                    let (_, calls) = known.get_mut(&member.endpoint().address.port()).unwrap();
                    calls.push(pick(member));
                }
            }
        }
    }
}
