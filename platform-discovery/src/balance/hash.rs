//! Numbers that every process computes alike.
//!
//! Who is in whose subset, and which endpoint has which key, must not depend on the process, its version or its
//! machine; the standard library's hasher may change with all three.

/// 64 well mixed bits of a text.
pub(super) fn of(text: &str) -> u64 {
    bytes(text.as_bytes())
}

/// The same of any bytes.
pub(super) fn bytes(bytes: &[u8]) -> u64 {
    // FNV-1a gathers, the mix spreads: alone, its upper bits say little about the last letters.
    mix(bytes.iter().fold(FNV_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)))
}

/// Spreads every bit of `seed` over all 64, one to one: SplitMix64's finish (Steele, Lea, Flood, 2014).
pub(super) const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(GOLDEN);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Where `number` stands on a ring of 2⁶⁴: each next number falls into the largest gap, or close to it.
pub(super) const fn golden(number: u64) -> u64 {
    number.wrapping_mul(GOLDEN)
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
/// 2⁶⁴ divided by the golden ratio, which no fraction comes close to.
pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_every_other_process() {
        // Written down once: whoever changes them moves every key and every subset of a running company.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(of(""), mix(FNV_BASIS));
        assert_eq!(bytes(b"a"), mix(0xaf63_dc4c_8601_ec8c));
    }

    #[test]
    fn each_next_number_falls_into_a_large_gap() {
        for count in 1_u64..200 {
            let mut places: Vec<u64> = (0..count).map(golden).collect();
            places.sort_unstable();
            let ends = places.iter().skip(1).chain(&places[..1]);
            let gaps = places.iter().zip(ends).map(|(from, to)| to.wrapping_sub(*from));
            // Three-gap theorem: the largest of them is below 1.9 times an even share.
            let largest = gaps.max().unwrap();
            assert!(count == 1 || u128::from(largest) * u128::from(count) < (19_u128 << 64) / 10, "{count}");
        }
    }
}
