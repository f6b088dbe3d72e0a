//! Effects as people, flags and requests write them.
//!
//! Parts with `,` or `:` between them, because a baggage member cannot hold a comma:
//!
//! | part | meaning |
//! |---|---|
//! | `delay=500ms` | waits |
//! | `abort=503`, `abort=UNAVAILABLE`, `abort=unreachable` | answers in the dependency's place |
//! | `share=20%`, `share=0.2` | of both |
//! | `delay_share=…`, `abort_share=…` | of one, stronger than `share` |
//! | `error=20%` | short for `abort=503,abort_share=20%` |

use std::{fmt, str::FromStr};

use http::StatusCode;

use super::{abort::Abort, rule::Effect};
use crate::config::{Ratio, duration};

impl FromStr for Effect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut delay, mut abort, mut share, mut delay_share, mut abort_share) =
            (None, None, None, None, None);
        for part in text.split([',', ':']).map(str::trim) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key {
                "delay" => {
                    let length = duration::parse(value).map_err(|why| format!("delay: {why}"))?;
                    once(key, &mut delay, length)?;
                }
                "abort" => once(key, &mut abort, value.parse()?)?,
                "share" => once(key, &mut share, ratio(key, value)?)?,
                "delay_share" => once(key, &mut delay_share, ratio(key, value)?)?,
                "abort_share" => once(key, &mut abort_share, ratio(key, value)?)?,
                "error" => {
                    once(key, &mut abort, Abort::Status(StatusCode::SERVICE_UNAVAILABLE))?;
                    once(key, &mut abort_share, ratio(key, value)?)?;
                }
                _ => return Err(format!("{part:?} is no part of a fault; write {EXAMPLE}")),
            }
        }
        let share = share.unwrap_or(Ratio::ONE);
        let effect = Effect {
            delay,
            abort,
            delay_share: delay_share.unwrap_or(share),
            abort_share: abort_share.unwrap_or(share),
        };
        effect.refusal().map_or(Ok(effect), Err)
    }
}

/// What was written, in one form: `delay=200ms,delay_share=0.2,abort=503,abort_share=0.05`.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        if let Some(delay) = self.delay {
            // A duration from code may be finer than any text of ours.
            match duration::format(delay) {
                Ok(delay) => write!(f, "delay={delay}")?,
                Err(_) => write!(f, "delay={delay:?}")?,
            }
            between = ",";
        }
        if let Some(abort) = self.abort {
            write!(f, "{between}abort={abort}")?;
        }
        if self.delay_share == self.abort_share {
            return if self.delay_share == Ratio::ONE {
                Ok(())
            } else {
                write!(f, ",share={}", self.delay_share)
            };
        }
        write!(f, ",delay_share={},abort_share={}", self.delay_share, self.abort_share)
    }
}

fn once<T>(key: &str, place: &mut Option<T>, value: T) -> Result<(), String> {
    match place.replace(value) {
        Some(_) => Err(format!("`{key}` says again what was said before; write it once")),
        None => Ok(()),
    }
}

/// `20%` or `0.2`.
fn ratio(key: &str, text: &str) -> Result<Ratio, String> {
    let (number, hundred) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    // Rust reads `inf`, `nan`, signs and exponents as well; a share has none of them.
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value = number.parse::<f64>().ok().filter(|_| plain);
    value.and_then(|value| Ratio::new(value / hundred)).ok_or_else(|| {
        format!("{key}: {text:?} is not a share, which lies between 0 and 1; write 0.2 or 20%")
    })
}

const EXAMPLE: &str = "abort=503, delay=200ms, share=20% or several with `,` between them";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn what_is_a_fault() {
        let busy = Abort::with_status(503).unwrap();
        for (text, effect, shown) in [
            ("abort=503", Effect::abort(busy), "abort=503"),
            ("error=100%", Effect::abort(busy), "abort=503"),
            ("delay=500ms,share=20%", Effect::delay(MS(500)).share(Ratio::of(0.2)), "delay=500ms,share=0.2"),
            // The order of writing is not the order of doing.
            ("abort=503:delay=200ms", Effect::delay(MS(200)).then_abort(busy), "delay=200ms,abort=503"),
            (
                " delay=1s , abort=unreachable, share=0.5, abort_share=5% ",
                Effect::delay(MS(1000))
                    .then_abort(Abort::Unreachable)
                    .delay_share(Ratio::of(0.5))
                    .abort_share(Ratio::of(0.05)),
                "delay=1s,abort=unreachable,delay_share=0.5,abort_share=0.05",
            ),
        ] {
            let read: Effect = text.parse().unwrap();
            assert_eq!(read, effect, "{text}");
            assert_eq!(read.to_string(), shown, "{text}");
            assert_eq!(read.to_string().parse(), Ok(read), "{text}");
        }
    }

    #[test]
    fn what_is_no_fault_and_what_to_write_instead() {
        for (text, told) in [
            ("", "\"\" is no part of a fault; write abort=503"),
            ("down", "\"down\" is no part"),
            ("abort=503,", "is no part"),
            ("abort", "abort: \"\" is not an HTTP status"),
            ("abort=600", "write 503, UNAVAILABLE or unreachable"),
            ("delay=5", "delay: \"5\" has no unit"),
            ("delay=11m", "write 10m or less"),
            ("delay=0ms", "it would do nothing"),
            ("share=20%", "it would do nothing"),
            ("error=0%", "it would do nothing"),
            (
                "abort=503,share=1.5",
                "share: \"1.5\" is not a share, which lies between 0 and 1; write 0.2 or 20%",
            ),
            ("abort=503,share=101%", "write 0.2 or 20%"),
            ("abort=503,share=-1", "write 0.2 or 20%"),
            ("abort=503,share=nan", "write 0.2 or 20%"),
            ("abort=503,abort=404", "`abort` says again"),
            ("abort=503:error=5%", "`error` says again"),
        ] {
            let refused = text.parse::<Effect>().unwrap_err();
            assert!(refused.contains(told), "{text}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn every_fault_survives_being_written_and_read(
            delay in proptest::option::of(1..600_000_u64),
            abort in proptest::option::of(200..600_u16),
            shares in (1..=1000_u32, 1..=1000_u32),
        ) {
            prop_assume!(delay.is_some() || abort.is_some());
            let share = |n| Ratio::new(f64::from(n) / 1000.0).unwrap();
            let effect = Effect {
                delay: delay.map(MS),
                abort: abort.and_then(Abort::with_status),
                delay_share: share(shares.0),
                abort_share: share(shares.1),
            };
            prop_assert_eq!(effect.to_string().parse(), Ok(effect));
            prop_assert_eq!(effect.to_string().replace(',', ":").parse(), Ok(effect));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = text.parse::<Effect>();
        }
    }
}
