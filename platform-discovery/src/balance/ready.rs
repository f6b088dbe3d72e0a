//! Who may be chosen?

use std::{fmt, sync::Arc};

use super::{
    average::Decay,
    draw::{Draw, two_of},
    hash,
    load::{Load, WHOLE},
    member::Member,
    ring::{self, Ring},
    ring_hash,
};

/// The endpoints that take calls now: an immutable set, swapped whole.
///
/// `C` is what a caller keeps for each endpoint: its connections, most likely. How busy and how quick a member is are
/// atomics on the member, read while choosing.
pub struct ReadySet<C> {
    members: Box<[Arc<Member<C>>]>,
    /// Absent where all weigh the same.
    draw: Option<Draw>,
    /// By how much an older latency counts less, as an exponent of two per millisecond.
    decay: Decay,
    /// There where keys have a place, with the weight of all that this process calls: the calls in flight are counted
    /// over all of them.
    ring: Option<(Ring, u64)>,
}

impl<C> ReadySet<C> {
    pub(super) fn new(members: impl IntoIterator<Item = Arc<Member<C>>>) -> Self {
        let members: Box<[_]> = members.into_iter().collect();
        let weights: Vec<u32> = members.iter().map(|member| member.endpoint().weight).collect();
        let decay = members.first().map_or(Decay::default(), |member| member.shared().scale.decay);
        ReadySet { members, draw: Draw::by(&weights), decay, ring: None }
    }

    /// The same, with a place for every key, of `all` that may be called.
    pub(super) fn with_ring(members: impl IntoIterator<Item = Arc<Member<C>>>, all: &ReadySet<C>) -> Self {
        let set = ReadySet::new(members);
        let named =
            set.members.iter().map(|member| (member.endpoint().instance.as_str(), member.endpoint().weight));
        let ring = Ring::new(named);
        let weight =
            ring::weight(all.members.iter().map(|member| member.endpoint().weight)).max(ring.weight());
        ReadySet { ring: Some((ring, weight)), ..set }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members, in order of instance and address.
    pub fn members(&self) -> &[Arc<Member<C>>] {
        &self.members
    }

    /// How many calls of this process the member at `index` has not finished.
    ///
    /// # Panics
    ///
    /// If there is no such member.
    pub fn in_flight(&self, index: usize) -> u32 {
        self.members[index].in_flight()
    }

    /// One member by 32 random bits, as often as it weighs; `None` of an empty set.
    pub fn one_by(&self, bits: u32) -> Option<usize> {
        two_of(self.len(), self.draw.as_ref(), u64::from(bits) << 32).map(|(first, _)| first)
    }

    /// Whose turn number `turn` is: the turns of each are spread evenly, as many as it weighs; `None` of an empty set.
    pub fn turn(&self, turn: u32) -> Option<usize> {
        match &self.draw {
            None => usize::try_from(turn).unwrap_or_default().checked_rem(self.len()),
            // Bits in reverse fill the line evenly whenever one stops (van der Corput).
            Some(draw) => Some(draw.one(u64::from(turn.reverse_bits()))),
        }
    }

    /// The member to which 64 bits of a key belong, or the next one on the ring that has less than
    /// [`BOUND`](super::ring_hash::BOUND) times its share of the calls in flight, of all of the balancer's or of those in
    /// here, whichever is more; by chance where there is no ring.
    pub(super) fn by_key(&self, key: u64) -> Option<usize> {
        let Some((ring, weight)) = &self.ring else { return self.one_by((key >> 32) as u32) };
        let all = self.members.first()?.shared().all.as_ref().map_or(0, Load::in_flight);
        let share =
            |calls: u32, weight: u64| ring_hash::BOUND * (f64::from(calls) + 1.0) / weight.max(1) as f64;
        let has_room = |index: &usize, each: f64| {
            let member = &self.members[*index];
            let most = f64::from(member.endpoint().weight.max(1)) * each;
            f64::from(member.in_flight()) < most.ceil()
        };
        let of_all = share(all, *weight);
        let owner = ring.from(key).next()?;
        if has_room(&owner, of_all) {
            return Some(owner);
        }
        // These may get more of the traffic than they weigh, and then they share that.
        let here: u32 = self.members.iter().map(|member| member.in_flight()).fold(0, u32::saturating_add);
        let each = of_all.max(share(here, ring.weight()));
        ring.from(key).find(|index| has_room(index, each)).or(Some(owner))
    }

    /// Two different members by 64 random bits, each as often as it weighs, or the same one twice if there is no
    /// other; `None` of an empty set. It costs the same whatever the size of the set.
    pub fn two_by(&self, roll: u64) -> Option<(usize, usize)> {
        two_of(self.len(), self.draw.as_ref(), roll)
    }

    /// Of two members the one that is asked, by what a call is expected to cost there: the average latency times the
    /// calls in flight, the new one included, for its weight. The first where they differ by less than a fifth, so that
    /// it is the weights that decide between equals and not who was asked last.
    ///
    /// One that nobody has an answer of yet gets one call at a time, and one that warms up only a share of those
    /// choices that it would win; `roll` decides which.
    ///
    /// # Panics
    ///
    /// If there is no such member.
    #[inline]
    pub fn cheaper(&self, first: usize, second: usize, roll: u64) -> usize {
        self.cheaper_and_fails(first, second, roll).0
    }

    /// The same, and whether it failed when it last answered.
    #[inline(always)]
    pub(super) fn cheaper_and_fails(&self, first: usize, second: usize, roll: u64) -> (usize, bool) {
        let (one, other) = (self.members[first].load(), self.members[second].load());
        let is_second =
            warmer(one, other, roll).unwrap_or_else(|| self.costs_less((second, other), (first, one)));
        if is_second { (second, other.fails()) } else { (first, one.fails()) }
    }

    /// Is a call expected to cost clearly less at the first of these?
    #[inline(always)]
    fn costs_less(&self, (second, other): (usize, &Load), (first, one): (usize, &Load)) -> bool {
        let is_due = |load: &Load, busy: u32| busy > 0 && load.is_untried();
        let (calls, other_calls) = (one.in_flight(), other.in_flight());
        match (is_due(one, calls), is_due(other, other_calls)) {
            (true, false) => true,
            (false, true) => false,
            _ => {
                let (busy, other_busy) = (self.busy(first, calls), self.busy(second, other_calls));
                let (own, others) = (one.average(), other.average());
                // Of two that were never asked only the calls are known.
                let (own_cost, others_cost) = if own.seconds() == 0.0 && others.seconds() == 0.0 {
                    (busy, other_busy)
                } else {
                    (own.cost(busy, others, self.decay), others.seconds() * other_busy)
                };
                others_cost * NOISE < own_cost
            }
        }
    }

    /// Did the member at `index` fail when it last answered?
    ///
    /// # Panics
    ///
    /// If there is no such member.
    pub fn fails(&self, index: usize) -> bool {
        self.members[index].load().fails()
    }

    /// Of two members the one with fewer calls in flight for its weight; latency is not looked at.
    ///
    /// # Panics
    ///
    /// If there is no such member.
    pub fn idler(&self, first: usize, second: usize, roll: u64) -> usize {
        let (one, other) = (self.members[first].load(), self.members[second].load());
        if let Some(is_second) = warmer(one, other, roll) {
            return if is_second { second } else { first };
        }
        let busy = |index: usize| self.busy(index, self.in_flight(index));
        if busy(second) < busy(first) { second } else { first }
    }

    /// Calls in flight for its weight, and the one that would come.
    fn busy(&self, index: usize, calls: u32) -> f32 {
        match &self.draw {
            None => calls as f32 + 1.0,
            Some(draw) => calls as f32 * draw.lightness(index) + 1.0,
        }
    }

    /// Does the dice give the member at `index` its turn? Always, unless it warms up.
    pub(super) fn is_warm_enough(&self, index: usize, roll: u64) -> bool {
        let warmth = self.members[index].load().warmth();
        warmth == WHOLE || roll.wrapping_mul(hash::GOLDEN) >> 48 < u64::from(warmth)
    }
}

/// Is it the second that is warmer, unless it is the cooler one's turn? Nothing where they are as warm as each other.
fn warmer(first: &Load, second: &Load, roll: u64) -> Option<bool> {
    if first.is_as_warm_as(second) {
        return None;
    }
    let (warmth, others) = (first.warmth(), second.warmth());
    let (cool, warm) = (warmth.min(others), warmth.max(others));
    // The roll has decided who is compared; stirred, so that every bit reaches the highest ones, it decides once more.
    let dice = roll.wrapping_mul(hash::GOLDEN) >> 48;
    (u64::from(warm) * dice >= u64::from(cool) * u64::from(WHOLE)).then_some(warmth < others)
}

// By hand: what is kept for an endpoint need not be printable.
impl<C> fmt::Debug for ReadySet<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.members).finish()
    }
}

/// A smaller difference is chance: the peak of many answers is higher than that of a few.
const NOISE: f32 = 1.25;

#[cfg(test)]
pub(super) mod tests {
    use super::super::{average::Average, load::Scale, member::Shared, metrics::Picks, picked::Picked};
    use super::*;
    use crate::endpoint::Endpoint;
    use platform_core::{Context, identity::Identity, telemetry::Metrics};
    use std::{net::SocketAddr, time::Duration};
    use tokio::time::Instant;

    /// What a member is like in a test.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::balance) struct Like {
        pub(in crate::balance) calls: u32,
        pub(in crate::balance) millis: u32,
        pub(in crate::balance) weight: u32,
        pub(in crate::balance) warmth: f64,
        pub(in crate::balance) untried: bool,
        pub(in crate::balance) failed: bool,
    }

    impl Default for Like {
        fn default() -> Self {
            Like { calls: 0, millis: 0, weight: 1, warmth: 1.0, untried: false, failed: false }
        }
    }

    /// A set of endpoints with so many calls in flight.
    pub(in crate::balance) fn set(loads: &[u32]) -> ReadySet<()> {
        set_of(&loads.iter().map(|calls| Like { calls: *calls, ..Like::default() }).collect::<Vec<_>>())
    }

    pub(in crate::balance) fn set_of(likes: &[Like]) -> ReadySet<()> {
        let metrics = Metrics::new(&Identity::default());
        let mut picks = Picks::new(&metrics, &Arc::from("catalog"), &Arc::from(""));
        let (ewma, penalty) = (Duration::from_secs(10), Duration::from_secs(5));
        let shared = Arc::new(Shared::new(Scale::new(ewma, penalty), 0));
        ReadySet::new((1_u16..).zip(likes).map(|(port, like)| {
            let mut endpoint = Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)));
            endpoint.weight = like.weight;
            let picks = picks.of(&endpoint);
            let average = Average::of(like.millis as f32 / 1e3, 0);
            let member = Member::new(Arc::new(endpoint), (), picks, &shared, average);
            if !like.untried {
                member.load().tried_for_a_test();
            }
            member.load().warm_to((like.warmth * f64::from(WHOLE)) as u32);
            if like.failed {
                member.load().failed_for_a_test();
            }
            (0..like.calls).for_each(|_| member.load().begin());
            Arc::new(member)
        }))
    }

    #[test]
    fn a_call_is_in_flight_until_its_guard_is_dropped_whichever_that_is() {
        let ready = set(&[0]);
        let context = Context::root(Instant::now());
        let picked = Picked::new(Arc::clone(&ready.members()[0]), &context);
        assert_eq!(ready.in_flight(0), 1);
        let other = Picked::new(Arc::clone(&ready.members()[0]), &context);
        let guard = picked.into_guard();
        assert_eq!(ready.in_flight(0), 2);
        drop(other);
        assert_eq!(ready.in_flight(0), 1);
        drop(guard);
        assert_eq!(ready.in_flight(0), 0);
    }
}
