//! What a person at a terminal is asked.

use std::io::{self, BufRead, Write};

use platform_core::{Error, ErrorKind, Result};

/// Asks until the answer can be meant; an empty one is `default`.
///
/// # Errors
/// The terminal is gone.
pub(super) fn ask<T>(
    input: &mut impl BufRead,
    output: &mut impl Write,
    question: &str,
    default: &str,
    read: impl Fn(&str) -> Result<T>,
) -> Result<T> {
    let gone = |error: io::Error| Error::new(ErrorKind::Usage, format!("nobody answers: {error}"));
    loop {
        let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        write!(output, "{question}{shown}: ").and_then(|()| output.flush()).map_err(gone)?;
        let mut line = String::new();
        if input.read_line(&mut line).map_err(gone)? == 0 {
            return Err(Error::new(ErrorKind::Usage, "nobody answers; the flags say it too (--help)"));
        }
        let answer = line.trim();
        match read(if answer.is_empty() { default } else { answer }) {
            Ok(answer) => return Ok(answer),
            Err(error) => writeln!(output, "  {}", error.detail()).map_err(gone)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage;

    #[test]
    fn a_wrong_answer_is_asked_again_and_an_empty_one_is_the_default() {
        let even = |text: &str| match text.parse::<u32>() {
            Ok(number) if number % 2 == 0 => Ok(number),
            _ => Err(usage(format!("{text:?} is not even"))),
        };
        let mut output = Vec::new();
        let answer = ask(&mut &b"three\n3\n8\n"[..], &mut output, "which", "2", even).unwrap();
        assert_eq!(answer, 8);
        let told = String::from_utf8(output).unwrap();
        assert!(told.contains("which [2]: ") && told.contains("\"three\" is not even"), "{told}");
        assert_eq!(ask(&mut &b"\n"[..], &mut Vec::new(), "which", "2", even).unwrap(), 2);
        assert!(ask(&mut &b""[..], &mut Vec::new(), "which", "2", even).is_err());
    }
}
