//! Has this connection outlived its welcome?
//!
//! One tender looks at every connection about ten times within the shortest limit, and at least once a second.
//! A limit is therefore kept to within a tenth or a second, always later and never earlier, and requests arm no
//! timer of their own.

use std::time::Duration;

use tokio::time::Instant;

use super::{config::Times, line::Sight};

/// What has been seen of one connection.
#[derive(Debug)]
pub(super) struct Age {
    born: Instant,
    /// When its peer should open another one, and why.
    retires: Option<(Instant, &'static str)>,
    doing: Doing,
    /// Tells one turn of the same doing from the next.
    mark: u32,
    since: Instant,
    told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// The headers of a request are under way, or a new connection has not said anything.
    Head,
    /// At least one request is in flight.
    Busy,
    /// A reply is under way and the peer takes no byte of it.
    Stalled,
    Idle,
    Upgraded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    LastReply,
    End { at: Instant, turns: Option<u32> },
}

/// What else there is to know when looking.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mood {
    /// Everyone is asked to leave.
    pub(super) draining: bool,
    /// No place is left for new connections.
    pub(super) full: bool,
}

/// What to tell a connection, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Stay,
    /// The next HTTP/1 reply says that it is the last. A client that waits is not cut off, so its next request
    /// cannot cross our close.
    LastReply,
    /// No new requests: `connection: close`, or GOAWAY. An idle connection closes at once.
    End(&'static str),
    /// Close, whatever is in flight.
    Cut(&'static str),
}

impl Age {
    /// A connection that begins now; `dice` in 0..1 spreads the ends of those that began together.
    pub(super) fn new(now: Instant, times: &Times, dice: f64) -> Self {
        let retires = times.connection_age.map(|age| now + age.mul_f64(1.0 - JITTER + 2.0 * JITTER * dice));
        let retires = retires.map(|at| (at, "older than server.times.connection_age"));
        Age { born: now, retires, doing: Doing::Head, mark: 0, since: now, told: Told::Nothing }
    }

    /// Its peer should have opened another one by then, elsewhere if it has heard that we leave.
    pub(super) fn leave_by(&mut self, at: Instant) {
        if self.retires.is_none_or(|(retires, _)| at < retires) {
            self.retires = Some((at, "the service is about to stop"));
        }
    }

    /// Looks once.
    pub(super) fn look(&mut self, now: Instant, sight: Sight, times: &Times, mood: Mood) -> Order {
        let long = self.observe(now, sight);
        match self.doing {
            Doing::Head if long >= times.header => {
                return Order::Cut("no complete request headers within server.times.header");
            }
            Doing::Stalled if long >= times.body_idle => {
                return Order::Cut("the peer took no byte of the reply for server.times.body_idle");
            }
            _ => {}
        }
        if let Told::End { at, turns } = &mut self.told {
            // Requests in flight may take their time. Who has none and stays, or begins new ones long after it was
            // told, does not listen.
            // A reply that has been handed over may still be on its way out: only who has stayed idle since stays.
            let stays = sight.in_flight == 0 && long >= times.header;
            let begins = now >= *at + times.header && *turns.get_or_insert(sight.turns) != sight.turns;
            let leaves = sight.upgraded || !(stays || begins);
            return if leaves { Order::Stay } else { Order::Cut("it did not leave when asked to") };
        }
        if mood.draining {
            if !self.is_newborn(now, sight) {
                return self.tell_end(now, "draining");
            }
            return self.tell_last_reply();
        }
        // When there is no place for others, waiting for nothing becomes less welcome.
        let patience = if mood.full { times.keep_alive.min(times.header) } else { times.keep_alive };
        if self.doing == Doing::Idle && long >= patience {
            return self.tell_end(now, "idle for server.times.keep_alive");
        }
        if self.told == Told::Nothing
            && self.doing != Doing::Upgraded
            && let Some((_, why)) = self.retires.filter(|(at, _)| now >= *at)
        {
            if sight.http2 {
                return self.tell_end(now, why);
            }
            return self.tell_last_reply();
        }
        Order::Stay
    }

    /// For how long has it been doing what it does?
    fn observe(&mut self, now: Instant, sight: Sight) -> Duration {
        let (doing, mark) = if sight.upgraded {
            (Doing::Upgraded, 0)
        } else if sight.is_stalled() {
            (Doing::Stalled, sight.stalls)
        } else if sight.in_flight > 0 {
            (Doing::Busy, sight.turns)
        } else if !sight.http2 && (sight.turns == 0 || sight.has_unread()) {
            (Doing::Head, sight.turns)
        } else {
            (Doing::Idle, sight.turns)
        };
        if (doing, mark) != (self.doing, self.mark) {
            (self.doing, self.mark, self.since) = (doing, mark, now);
        }
        now - self.since
    }

    /// Has it just been opened? Then its first request may be on its way, and gets its answer.
    fn is_newborn(&self, now: Instant, sight: Sight) -> bool {
        sight.turns == 0 && now < self.born + NEWBORN
    }

    fn tell_last_reply(&mut self) -> Order {
        if self.told == Told::LastReply {
            return Order::Stay;
        }
        self.told = Told::LastReply;
        Order::LastReply
    }

    fn tell_end(&mut self, now: Instant, why: &'static str) -> Order {
        self.told = Told::End { at: now, turns: None };
        Order::End(why)
    }
}

/// How often to look, so that `times` are kept.
pub(super) fn period(times: &Times) -> Duration {
    let shortest = times.header.min(times.body_idle).min(times.keep_alive);
    (shortest / LOOKS).clamp(SHORTEST_PERIOD, LONGEST_PERIOD)
}

/// A tenth: connections opened together do not end together.
const JITTER: f64 = 0.1;
/// A limit is kept to within a tenth.
const LOOKS: u32 = 10;
/// Ten thousand looks cost well under a millisecond.
const LONGEST_PERIOD: Duration = Duration::from_secs(1);
/// For limits that only tests set.
const SHORTEST_PERIOD: Duration = Duration::from_millis(5);
/// A round trip and a slow client's first write.
const NEWBORN: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Mood = Mood { draining: false, full: false };
    const DRAINING: Mood = Mood { draining: true, full: false };
    const FULL: Mood = Mood { draining: false, full: true };

    fn silent() -> Sight {
        Sight::default()
    }

    fn busy(turns: u32) -> Sight {
        Sight { in_flight: 1, turns, fed: turns, ..Sight::default() }
    }

    fn idle(turns: u32) -> Sight {
        Sight { turns, fed: turns, ..Sight::default() }
    }

    fn head(turns: u32) -> Sight {
        Sight { turns, fed: turns + 1, ..Sight::default() }
    }

    fn http2(sight: Sight) -> Sight {
        Sight { http2: true, ..sight }
    }

    /// Plays a script of (seconds since birth, sight, mood) and collects the orders.
    fn play(script: &[(u64, Sight, Mood)]) -> Vec<Order> {
        let (born, times) = (Instant::now(), Times::default());
        let mut age = Age::new(born, &times, 0.5);
        script
            .iter()
            .map(|(second, sight, mood)| age.look(born + Duration::from_secs(*second), *sight, &times, *mood))
            .collect()
    }

    #[track_caller]
    fn ends(orders: &[Order], why: &str) {
        let (last, before) = orders.split_last().unwrap();
        assert!(before.iter().all(|order| *order == Order::Stay), "{orders:?}");
        assert!(matches!(last, Order::End(told) if told.contains(why)), "{orders:?}");
    }

    #[track_caller]
    fn cuts(orders: &[Order], why: &str) {
        let (last, before) = orders.split_last().unwrap();
        assert!(before.iter().all(|order| !matches!(order, Order::Cut(_))), "{orders:?}");
        assert!(matches!(last, Order::Cut(told) if told.contains(why)), "{orders:?}");
    }

    #[test]
    fn silence_and_trickling_headers_are_cut() {
        cuts(&play(&[(1, silent(), NONE), (9, silent(), NONE), (10, silent(), NONE)]), "header");
        cuts(&play(&[(5, silent(), NONE), (9, head(0), NONE), (10, head(0), NONE)]), "header");
        cuts(
            &play(&[(5, idle(1), NONE), (20, head(1), NONE), (29, head(1), NONE), (30, head(1), NONE)]),
            "header",
        );
    }

    #[test]
    fn headers_of_the_next_request_have_their_own_time() {
        let orders =
            play(&[(1, head(0), NONE), (9, busy(1), NONE), (12, head(1), NONE), (21, head(1), NONE)]);
        assert_eq!(orders, [Order::Stay; 4]);
    }

    #[test]
    fn an_idle_connection_ends_after_its_keep_alive_and_sooner_when_there_is_no_place() {
        ends(&play(&[(1, idle(1), NONE), (75, idle(1), NONE), (76, idle(1), NONE)]), "keep_alive");
        ends(
            &play(&[(1, idle(1), NONE), (70, idle(2), NONE), (144, idle(2), NONE), (145, idle(2), NONE)]),
            "keep",
        );
        ends(&play(&[(1, idle(1), NONE), (10, idle(1), FULL), (11, idle(1), FULL)]), "keep_alive");
    }

    #[test]
    fn an_http2_connection_without_a_request_is_idle() {
        ends(
            &play(&[(1, http2(head(0)), NONE), (75, http2(head(0)), NONE), (76, http2(head(0)), NONE)]),
            "keep",
        );
    }

    #[test]
    fn a_request_takes_as_long_as_it_takes() {
        assert_eq!(play(&[(1, busy(1), NONE), (500, busy(1), NONE)]), [Order::Stay; 2]);
    }

    #[test]
    fn a_peer_that_takes_no_bytes_is_cut_and_one_that_takes_some_is_not() {
        let stalled = |stalls| Sight { stalls, ..busy(1) };
        cuts(&play(&[(1, stalled(1), NONE), (30, stalled(1), NONE), (31, stalled(1), NONE)]), "body_idle");
        assert_eq!(
            play(&[(1, stalled(1), NONE), (30, stalled(3), NONE), (59, stalled(3), NONE)]),
            [Order::Stay; 3]
        );
    }

    #[test]
    fn an_old_connection_is_asked_to_leave_once() {
        let orders = play(&[(599, busy(1), NONE), (600, busy(2), NONE), (601, busy(2), NONE)]);
        assert_eq!(orders, [Order::Stay, Order::LastReply, Order::Stay]);
        ends(&play(&[(599, http2(busy(9)), NONE), (600, http2(busy(9)), NONE)]), "connection_age");
    }

    #[test]
    fn its_age_varies_by_a_tenth() {
        let (born, times) = (Instant::now(), Times::default());
        let retires = |dice| Age::new(born, &times, dice).retires.unwrap().0 - born;
        assert_eq!((retires(0.0).as_secs(), retires(0.5).as_secs()), (540, 600));
        assert!((659..=660).contains(&retires(0.9999).as_secs()));
    }

    #[test]
    fn who_hears_that_we_leave_retires_before_his_time() {
        let (born, times) = (Instant::now(), Times::default());
        let at = |seconds| born + Duration::from_secs(seconds);
        let look = |age: &mut Age, seconds, sight| age.look(at(seconds), sight, &times, NONE);
        let mut age = Age::new(born, &times, 0.5);
        age.leave_by(at(20));
        age.leave_by(at(10));
        age.leave_by(at(15));
        assert_eq!(look(&mut age, 9, busy(1)), Order::Stay);
        assert_eq!(
            look(&mut age, 10, idle(1)),
            Order::LastReply,
            "an idle one is not closed: its peer may be asking"
        );
        assert_eq!(look(&mut age, 11, busy(2)), Order::Stay);
        let mut age = Age::new(born, &times, 0.5);
        age.leave_by(at(10));
        assert_eq!(look(&mut age, 10, http2(busy(1))), Order::End("the service is about to stop"));
        let mut age = Age::new(born, &times, 0.5);
        age.leave_by(at(700));
        let why = "older than server.times.connection_age";
        assert_eq!(look(&mut age, 600, http2(busy(1))), Order::End(why), "it was to go before that");
    }

    #[test]
    fn a_drain_ends_everyone_but_who_has_just_come() {
        ends(&play(&[(1, idle(1), DRAINING)]), "draining");
        ends(&play(&[(1, busy(1), DRAINING)]), "draining");
        ends(&play(&[(1, silent(), DRAINING)]), "draining");
        let newborn = play(&[(0, silent(), DRAINING), (0, head(0), DRAINING), (0, busy(1), DRAINING)]);
        assert_eq!(newborn[..2], [Order::LastReply, Order::Stay]);
        ends(&newborn[2..], "draining");
    }

    #[test]
    fn who_does_not_leave_when_asked_is_cut_but_a_long_request_is_not() {
        let told = (0, http2(busy(1)), DRAINING);
        let (long, over) = (http2(busy(1)), http2(idle(1)));
        let orders = play(&[told, (10, long, DRAINING), (600, long, DRAINING), (601, over, DRAINING)]);
        assert_eq!(orders[1..], [Order::Stay; 3]);
        cuts(
            &play(&[told, (600, over, DRAINING), (609, over, DRAINING), (610, over, DRAINING)]),
            "did not leave",
        );
        cuts(&play(&[told, (10, http2(busy(8)), DRAINING), (11, http2(busy(9)), DRAINING)]), "did not leave");
    }

    #[test]
    fn a_web_socket_stays() {
        let upgraded = Sight { upgraded: true, ..idle(1) };
        assert_eq!(
            play(&[(1, upgraded, NONE), (900, upgraded, NONE), (9000, upgraded, NONE)]),
            [Order::Stay; 3]
        );
    }

    #[test]
    fn looks_ten_times_within_the_shortest_limit() {
        assert_eq!(period(&Times::default()), Duration::from_secs(1));
        let brief = Times { header: Duration::from_millis(100), ..Times::default() };
        assert_eq!(period(&brief), Duration::from_millis(10));
    }
}
