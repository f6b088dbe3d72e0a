#![doc = include_str!("few.md")]
