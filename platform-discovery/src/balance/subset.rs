//! Which of very many does this client know?
//!
//! A hundred clients that all know a thousand endpoints keep a hundred thousand connections, and each endpoint
//! spends its memory on peers that ask it once a minute. So a client keeps to a few. Three things matter: that all
//! clients together spread evenly, that a change moves few connections, and that nobody needs to be asked.
//!
//! * **Numbered** clients stand on a ring at their number times the golden ratio, so that each next one falls into
//!   the largest gap; endpoints stand there too, by the number at the end of their name or by its hash. A client
//!   takes the next few from where it stands, counted in endpoints and not in degrees, which makes gaps irrelevant.
//! * **Others** go by rendezvous: of a hash of client and endpoint the smallest few. It moves least, and is as uneven
//!   as chance.
//!
//! Both need to know how many clients there are, which the registry tells a service that is registered: a few clients
//! that each kept to twelve of a thousand would leave most of them idle. One that has heard of no equals, such as a
//! job, knows everybody.
//!
//! # What it costs in evenness and in churn
//!
//! 100 clients, 60 endpoints, 10 for each; a test holds these figures. Least and most loaded endpoint in percent of
//! the mean, and the share of all connections that move when 6 endpoints are added (9.1 % must).
//!
//! | clients | endpoints | least and most | one added | six added |
//! |---|---|---|---|---|
//! | numbered | numbered | 96 to 108 % | 4 % | 10 % |
//! | numbered | named at random | 96 to 108 % | 6 % | 21 % |
//! | by rendezvous | any | 40 to 160 % | 1 to 2 % | 10 % |
//!
//! Taking the ordinals of one zone only leaves it nearly as even (every second: 84 to 108 %).

use std::collections::BTreeSet;

use super::hash;

/// Which of the clients of a target this one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    /// It has heard of no other, which does not mean that there is none: it knows everybody.
    Alone,
    /// One of `count`, from 0 on.
    Numbered { ordinal: u32, count: u32 },
    /// One of `count`; the seed is its own.
    Seeded { seed: u64, count: u32 },
}

impl Seat {
    /// The seat of a process of this name among its equals: a numbered one if all their names end in a number, as
    /// `orders-7` does, and most numbers up to the highest are there.
    pub(crate) fn among<'a>(instance: &str, equals: impl Iterator<Item = &'a str>) -> Self {
        let mut names: BTreeSet<&str> = equals.collect();
        if names.is_empty() {
            return Seat::Alone;
        }
        names.insert(instance);
        let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
        let numbers: Option<BTreeSet<u32>> = names.iter().map(|name| number(name)).collect();
        if let (Some(ordinal), Some(numbers)) = (number(instance), numbers) {
            // Who restarts is missing for a moment, and leaves its seat empty.
            let seats = numbers.last().map_or(1, |last| last.saturating_add(1));
            // Names that end in digits by chance end in larger ones.
            if seats <= count(numbers.len()).saturating_mul(SPARSE) {
                return Seat::Numbered { ordinal, count: seats };
            }
        }
        Seat::Seeded { seed: hash::of(instance), count: count(names.len()) }
    }

    /// The indices of those of `names` that this client keeps to, in ascending order: `at_least` as many, and all
    /// if there are no more.
    pub(super) fn subset<'a>(
        self,
        names: impl ExactSizeIterator<Item = &'a str>,
        at_least: usize,
    ) -> Vec<usize> {
        let count = names.len();
        let wanted = self.wanted(count, at_least);
        if count <= wanted {
            return (0..count).collect();
        }
        let mut ranked: Vec<(u64, u64, usize)> = names
            .enumerate()
            .map(|(index, name)| {
                let own = hash::of(name);
                let place = match self {
                    Seat::Numbered { .. } => {
                        number(name).map_or(own, |number| hash::golden(number.into()).wrapping_add(QUARTER))
                    }
                    Seat::Seeded { seed, .. } => hash::mix(own ^ seed),
                    Seat::Alone => own,
                };
                (place, own, index)
            })
            .collect();
        let from = match self {
            Seat::Numbered { ordinal, .. } => {
                ranked.sort_unstable();
                along(hash::golden(ordinal.into()), count)
            }
            Seat::Seeded { .. } | Seat::Alone => {
                ranked.select_nth_unstable(wanted);
                0
            }
        };
        let mut kept: Vec<usize> = (0..wanted).map(|step| ranked[(from + step) % count].2).collect();
        kept.sort_unstable();
        kept
    }

    /// Few clients have to know many endpoints each, or some of those would be known to none.
    fn wanted(self, endpoints: usize, at_least: usize) -> usize {
        let (width, count) = match self {
            Seat::Alone => return endpoints,
            Seat::Numbered { count, .. } => (NUMBERED, count),
            Seat::Seeded { count, .. } => (SEEDED, count),
        };
        at_least.max((endpoints * width).div_ceil(usize::try_from(count).unwrap_or(usize::MAX).max(1)))
    }
}

/// The number at the end of a name, behind the last `-`.
fn number(name: &str) -> Option<u32> {
    let (_, digits) = name.rsplit_once('-')?;
    // `parse` would also take a sign.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// A place on the ring, as one of `count` steps around it.
fn along(place: u64, count: usize) -> usize {
    usize::try_from((u128::from(place) * count as u128) >> 64).expect("it is below a usize")
}

/// Half of the numbers may be missing.
const SPARSE: u32 = 2;
/// Endpoints stand a quarter away from the clients of their number, or each would begin with its namesake.
const QUARTER: u64 = 1 << 62;
/// Clients stand at most 1.9 even shares apart, so two cover every gap.
const NUMBERED: usize = 2;
/// Chance leaves out one endpoint in e⁸, which is 3,000.
const SEEDED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbered(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("catalog-{number}")).collect()
    }

    /// As a Deployment names its pods.
    fn random(count: usize) -> Vec<String> {
        (0..count as u64).map(|n| format!("catalog-{:x}q", hash::mix(n) >> 40)).collect()
    }

    fn subset(seat: Seat, names: &[String], at_least: usize) -> BTreeSet<&str> {
        let kept = seat.subset(names.iter().map(String::as_str), at_least);
        kept.into_iter().map(|index| names[index].as_str()).collect()
    }

    fn seats(count: u32, know: bool) -> Vec<Seat> {
        let names: Vec<String> = (0..count).map(|n| format!("orders-{n}")).collect();
        let seat = |own: &String| match Seat::among(own, names.iter().map(String::as_str)) {
            Seat::Numbered { count, .. } if !know => Seat::Seeded { seed: hash::of(own), count },
            seat => seat,
        };
        names.iter().map(seat).collect()
    }

    /// Clients, how endpoints are called, least and most, and what moves when one is added, or six.
    type Row<'a> = (&'a [Seat], fn(usize) -> Vec<String>, (usize, usize), usize, usize);

    /// The least and the most loaded, in percent of the mean.
    fn spread(seats: &[Seat], names: &[String], each: usize) -> (usize, usize) {
        let mut load = vec![0_usize; names.len()];
        for seat in seats {
            seat.subset(names.iter().map(String::as_str), each)
                .into_iter()
                .for_each(|index| load[index] += 1);
        }
        let total: usize = load.iter().sum();
        let percent = |load: usize| (100 * load * names.len() + total / 2) / total;
        (percent(*load.iter().min().unwrap()), percent(*load.iter().max().unwrap()))
    }

    /// Connections that are new, in thousandths of all.
    fn moved(seats: &[Seat], before: &[String], after: &[String], each: usize) -> usize {
        let (mut new, mut all) = (0, 0);
        for seat in seats {
            let (before, after) = (subset(*seat, before, each), subset(*seat, after, each));
            new += after.difference(&before).count();
            all += after.len();
        }
        1000 * new / all
    }

    #[test]
    fn the_figures_of_the_page_are_those_of_the_code() {
        let (known, unknown) = (seats(100, true), seats(100, false));
        let table: [Row<'_>; 3] = [
            (&known, numbered, (96, 108), 45, 105),
            (&known, random, (96, 108), 65, 215),
            (&unknown, random, (40, 160), 20, 110),
        ];
        for (seats, names, (least, most), one, six) in table {
            let spread = spread(seats, &names(60), 10);
            assert!(spread.0 >= least && spread.1 <= most, "{spread:?} within {least} to {most}");
            let moves = [61, 66].map(|count| moved(seats, &names(60), &names(count), 10));
            assert!(moves[0] <= one && moves[1] <= six, "{moves:?}");
        }
        let every_second: Vec<Seat> = known.iter().step_by(2).copied().collect();
        let spread = spread(&every_second, &numbered(60), 10);
        assert!(spread.0 >= 84 && spread.1 <= 108, "{spread:?}");
    }

    #[test]
    fn who_is_numbered_and_who_is_not() {
        let numbered = |ordinal, count| Seat::Numbered { ordinal, count };
        let seeded = |instance, count| Seat::Seeded { seed: hash::of(instance), count };
        let table: [(&str, &[&str], Seat); 10] = [
            ("orders-1", &["orders-0", "orders-1", "orders-2"], numbered(1, 3)),
            ("orders-2", &["orders-0", "orders-1"], numbered(2, 3)),
            ("orders-0", &["orders-3", "orders-1"], numbered(0, 4)),
            ("orders-0", &["orders-0"], numbered(0, 1)),
            ("orders-0", &[], Seat::Alone),
            ("orders-7", &["orders-7"], seeded("orders-7", 1)),
            ("orders-0", &["orders-7d4f"], seeded("orders-0", 2)),
            ("orders-7d4f", &["orders-0"], seeded("orders-7d4f", 2)),
            ("orders-", &["orders-"], seeded("orders-", 1)),
            ("orders-+0", &["orders-+0"], seeded("orders-+0", 1)),
        ];
        for (instance, equals, seat) in table {
            assert_eq!(Seat::among(instance, equals.iter().copied()), seat, "{instance} {equals:?}");
        }
        assert_eq!(number("orders-99999999999"), None);
    }

    #[test]
    fn small_sets_are_whole_and_few_clients_know_many() {
        let one = Seat::Numbered { ordinal: 0, count: 1 };
        assert_eq!(subset(one, &numbered(1000), 12).len(), 1000);
        let three = Seat::Numbered { ordinal: 0, count: 3 };
        assert_eq!(subset(three, &numbered(60), 12).len(), 40);
        let seeded = |count| Seat::Seeded { seed: 1, count };
        assert_eq!(subset(Seat::Alone, &numbered(1000), 12).len(), 1000);
        assert_eq!(subset(seeded(3), &numbered(60), 12).len(), 60);
        assert_eq!(subset(seeded(20), &numbered(60), 12).len(), 24);
        for seat in [one, seeded(100), Seat::Alone] {
            assert_eq!(subset(seat, &numbered(12), 12).len(), 12);
            assert!(subset(seat, &[], 12).is_empty());
        }
        assert_eq!(subset(seeded(100), &numbered(13), 12).len(), 12);
    }

    proptest! {
        #[test]
        fn everybody_is_somebodys_if_all_clients_are_numbered(clients in 1_u32..60, endpoints in 1_usize..200) {
            let names = random(endpoints);
            let (least, _) = spread(&seats(clients, true), &names, 12);
            prop_assert!(least > 0);
        }

        /// What leaves takes only its own connections with it, what comes takes as many as it should.
        #[test]
        fn rendezvous_moves_only_what_it_must(seed: u64, endpoints in 14_usize..100, gone in 0_usize..100) {
            let names = random(endpoints);
            let mut fewer = names.clone();
            let gone = fewer.remove(gone % endpoints);
            let seat = Seat::Seeded { seed, count: 1_000 };
            let (before, after) = (subset(seat, &names, 12), subset(seat, &fewer, 12));
            let new = after.difference(&before).count();
            prop_assert_eq!(new, usize::from(before.contains(gone.as_str())));
        }

        #[test]
        fn the_order_of_the_names_does_not_matter(seed: u64, ordinal in 0_u32..9, endpoints in 1_usize..60) {
            let names = numbered(endpoints);
            let turned: Vec<String> = names.iter().rev().cloned().collect();
            for seat in [Seat::Seeded { seed, count: 1_000 }, Seat::Numbered { ordinal, count: 9 }] {
                prop_assert_eq!(subset(seat, &names, 12), subset(seat, &turned, 12));
            }
        }
    }
}
