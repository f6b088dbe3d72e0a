//! Of which paths is it known which route they match?
//!
//! A router tells it only inside, behind a layer around each route that costs every request some 800 instructions. The
//! paths of a team's routes without parameters are few and stay what they are, so who asks for one of them the second
//! time need not ask the router. Paths with parameters are as many as there are callers, and are never kept.

use std::sync::OnceLock;

/// Routes by path, for paths that are routes.
pub(super) struct Learned(Box<[Place]>);

/// A path and the number of its route.
type Place = OnceLock<(Box<str>, u32)>;

impl Learned {
    /// The number of the route that `path` matches, if it was learned.
    #[inline]
    pub(super) fn route(&self, path: &str) -> Option<u32> {
        for place in places(path) {
            let (known, route) = self.0[place].get()?;
            if **known == *path {
                return Some(*route);
            }
        }
        None
    }

    /// `path` matches `route`, and always will. Where there is no place for it, it is found out each time.
    pub(super) fn learn(&self, path: &str, route: u32) {
        for place in places(path) {
            let (known, _) = self.0[place].get_or_init(|| (Box::from(path), route));
            if **known == *path {
                return;
            }
        }
    }
}

impl Default for Learned {
    fn default() -> Self {
        Learned(std::iter::repeat_with(OnceLock::new).take(PLACES).collect())
    }
}

/// Where a path may be.
#[inline]
fn places(path: &str) -> impl Iterator<Item = usize> + use<> {
    let hash = hash(path.as_bytes()) as usize;
    (hash..hash + TRIES).map(|place| place % PLACES)
}

/// Nobody but the team that writes the routes can make two of them meet: a fast hash is enough (FxHash).
#[inline]
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let mut add = |word: u64| hash = (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        add(u64::from_le_bytes(*word));
    }
    add(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    // The low bits of a product know nothing of the high bits of its factors.
    hash >> 32
}

/// Twice what a large service has; 16 KiB in all.
const PLACES: usize = 512;
/// Of half of its places taken, one path in sixteen finds none.
const TRIES: usize = 4;
const FACTOR: u64 = 0x517c_c1b7_2722_0a95;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_known_and_nothing_else() {
        let learned = Learned::default();
        assert_eq!(learned.route("/films"), None);
        let paths: Vec<String> = (0..100).map(|number| format!("/films/of/{number}")).collect();
        for (number, path) in (1..).zip(&paths) {
            learned.learn(path, number);
        }
        for (number, path) in (1..).zip(&paths) {
            assert_eq!(learned.route(path), Some(number), "{path}");
            assert_eq!(learned.route(&format!("{path}/")), None);
        }
        assert_eq!(learned.route(""), None);
    }

    #[test]
    fn the_first_lesson_stays() {
        let learned = Learned::default();
        learned.learn("/", 1);
        learned.learn("/", 2);
        assert_eq!(learned.route("/"), Some(1));
    }

    #[test]
    fn who_finds_no_place_is_not_known_and_takes_none() {
        let learned = Learned::default();
        let paths: Vec<String> = (0..10_000).map(|number| format!("/{number}")).collect();
        for path in &paths {
            learned.learn(path, path.len() as u32);
        }
        let known = paths.iter().filter(|path| learned.route(path) == Some(path.len() as u32)).count();
        assert!((PLACES / 2..=PLACES).contains(&known), "{known}");
        assert!(paths.iter().all(|path| learned.route(path).is_none_or(|route| route == path.len() as u32)));
    }
}
