//! In which line of a text does a field stand?

/// The line, from 1 on, in which the value at `path` stands: `methodConfig[0].timeout`. Where it is not there, the line
/// of what is around it. `json` is JSON that was read well.
pub(super) fn line_of(json: &str, path: &str) -> usize {
    let mut scan = Scan { text: json.as_bytes(), at: 0, found: 0 };
    let steps: Vec<Step<'_>> = path.split(['.', '[']).map(Step::parse).collect();
    scan.value(Some(&steps));
    1 + json.as_bytes()[..scan.found].iter().filter(|byte| **byte == b'\n').count()
}

/// A step on the way to a value.
enum Step<'a> {
    Field(&'a str),
    Number(usize),
}

impl<'a> Step<'a> {
    fn parse(word: &'a str) -> Self {
        let number = word.strip_suffix(']').and_then(|number| number.parse().ok());
        number.map_or(Step::Field(word), Step::Number)
    }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the last value on the way begins.
    found: usize,
}

impl<'t> Scan<'t> {
    /// Passes a value, and notes where it is if it is on the way (`steps` is what is left of that).
    fn value(&mut self, steps: Option<&[Step<'_>]>) {
        self.blanks();
        if steps.is_some() {
            self.found = self.at;
        }
        match self.here() {
            Some(b'{') => self.each(b'}', |scan, _| {
                let name = scan.string();
                scan.blanks();
                // The colon.
                scan.at += 1;
                let next = steps.and_then(|steps| match steps {
                    [Step::Field(field), rest @ ..] if field.as_bytes() == name => Some(rest),
                    _ => None,
                });
                scan.value(next);
            }),
            Some(b'[') => self.each(b']', |scan, number| {
                let next = steps.and_then(|steps| match steps {
                    [Step::Number(wanted), rest @ ..] if *wanted == number => Some(rest),
                    _ => None,
                });
                scan.value(next);
            }),
            Some(b'"') => {
                self.string();
            }
            _ => {
                while self.here().is_some_and(|byte| !b",]} \n\r\t".contains(&byte)) {
                    self.at += 1;
                }
            }
        }
    }

    /// Passes what stands between a bracket and its `end`.
    fn each(&mut self, end: u8, mut one: impl FnMut(&mut Self, usize)) {
        self.at += 1;
        for number in 0.. {
            self.blanks();
            match self.here() {
                Some(byte) if byte != end => one(self, number),
                _ => break,
            }
            self.blanks();
            if self.here() == Some(b',') {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    /// Passes a string, and says what stands in it. Names of fields have nothing in them that is written otherwise.
    fn string(&mut self) -> &'t [u8] {
        let begin = self.at + 1;
        self.at = begin;
        while let Some(byte) = self.here().filter(|byte| *byte != b'"') {
            self.at += if byte == b'\\' { 2 } else { 1 };
        }
        let end = self.at.min(self.text.len());
        self.at = end + 1;
        &self.text[begin.min(end)..end]
    }

    fn blanks(&mut self) {
        while self.here().is_some_and(|byte| b" \n\r\t".contains(&byte)) {
            self.at += 1;
        }
    }

    fn here(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_in_its_line() {
        let json = r#"{
  "loadBalancingConfig": [{"round\"robin": [1, {"a": "}"}]}],
  "methodConfig": [
    {"name": [{"service": "a"}], "timeout": "1s"},
    {
      "name": [{}],
      "retryPolicy": {
        "maxAttempts": 3,
        "retryableStatusCodes": [
          "OK"
        ]
      },
      "waitForReady": true
    }
  ]
}"#;
        for (path, line) in [
            ("methodConfig", 3),
            ("methodConfig[0]", 4),
            ("methodConfig[0].timeout", 4),
            ("methodConfig[1]", 5),
            ("methodConfig[1].name[0]", 6),
            ("methodConfig[1].retryPolicy.maxAttempts", 8),
            ("methodConfig[1].retryPolicy.retryableStatusCodes", 9),
            ("methodConfig[1].waitForReady", 13),
            // What is missing stands in what is around it.
            ("methodConfig[1].retryPolicy.maxBackoff", 7),
            ("methodConfig[7]", 3),
            ("the whole of it", 1),
        ] {
            assert_eq!(line_of(json, path), line, "{path}");
        }
        assert_eq!(line_of("", "a"), 1);
        assert_eq!(line_of("\n[", "a"), 2);
    }
}
