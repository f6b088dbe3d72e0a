//! How does a template become a file?
//!
//! `{{key}}` is a value. A line that holds nothing but a directive is left out: `{% if FLAG %}`, `{% else %}`,
//! `{% each LIST %}` (its body once for each entry, whose values come before the outer ones), `{% end %}`. Whatever
//! else stands in double braces is left as it is, as `${{ secrets.TOKEN }}` of a CI.

use std::collections::BTreeMap;

/// What a template may name.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    texts: BTreeMap<&'static str, String>,
    flags: BTreeMap<&'static str, bool>,
    lists: BTreeMap<&'static str, Vec<Values>>,
}

impl Values {
    pub(super) fn text(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.texts.insert(name, text.into());
        self
    }

    pub(super) fn flag(mut self, name: &'static str, flag: bool) -> Self {
        self.flags.insert(name, flag);
        self
    }

    pub(super) fn list(mut self, name: &'static str, list: Vec<Values>) -> Self {
        self.lists.insert(name, list);
        self
    }

    /// These, and behind them those of `outer`.
    pub(super) fn within(&self, outer: &Values) -> Values {
        let mut both = outer.clone();
        both.texts.extend(self.texts.clone());
        both.flags.extend(self.flags.clone());
        both.lists.extend(self.lists.clone());
        both
    }
}

/// The file that `template` is with `values`.
///
/// # Errors
/// A name that stands for nothing, a directive that is none or does not end, with its line.
pub(super) fn render(template: &str, values: &Values) -> Result<String, String> {
    let lines: Vec<(usize, &str)> =
        template.lines().enumerate().map(|(index, line)| (index + 1, line)).collect();
    let mut out = String::new();
    block(&lines, values, &mut out)?;
    Ok(out)
}

fn block(mut lines: &[(usize, &str)], values: &Values, out: &mut String) -> Result<(), String> {
    while let Some(((number, line), rest)) = lines.split_first() {
        let Some(words) = directive(line) else {
            put(*number, line, values, out)?;
            lines = rest;
            continue;
        };
        let wrong = |why: String| format!("line {number}: {why}");
        let (body, otherwise, behind) = parts(rest).ok_or_else(|| wrong("it has no {% end %}".to_owned()))?;
        match words.as_slice() {
            ["if", name] => {
                let flag = *values.flags.get(name).ok_or_else(|| wrong(format!("{name} is no flag")))?;
                block(if flag { body } else { otherwise }, values, out)?;
            }
            ["each", name] => {
                let list = values.lists.get(name).ok_or_else(|| wrong(format!("{name} is no list")))?;
                for each in list {
                    block(body, &each.within(values), out)?;
                }
            }
            other => return Err(wrong(format!("{other:?} is no directive"))),
        }
        lines = behind;
    }
    Ok(())
}

type Lines<'a, 'b> = &'a [(usize, &'b str)];

/// What stands between a directive and its end, before and behind an `else`, and what follows.
fn parts<'a, 'b>(lines: Lines<'a, 'b>) -> Option<(Lines<'a, 'b>, Lines<'a, 'b>, Lines<'a, 'b>)> {
    let (mut depth, mut middle) = (0_usize, None);
    for (index, (_, line)) in lines.iter().enumerate() {
        match directive(line).as_deref() {
            Some(["if" | "each", ..]) => depth += 1,
            Some(["else"]) if depth == 0 => middle = Some(index),
            Some(["end"]) if depth == 0 => {
                let body = &lines[..middle.unwrap_or(index)];
                let otherwise = middle.map_or(&[][..], |middle| &lines[middle + 1..index]);
                return Some((body, otherwise, &lines[index + 1..]));
            }
            Some(["end"]) => depth -= 1,
            _ => {}
        }
    }
    None
}

fn directive(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix("{%")?.strip_suffix("%}")?;
    Some(inner.split_whitespace().collect())
}

fn put(number: usize, line: &str, values: &Values, out: &mut String) -> Result<(), String> {
    let mut rest = line;
    while let Some(at) = rest.find("{{") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let name = from[2..].split_once("}}").map(|(name, _)| name).filter(|name| is_key(name));
        let Some(name) = name else {
            out.push('{');
            rest = &from[1..];
            continue;
        };
        let text = values.texts.get(name).ok_or_else(|| format!("line {number}: {name} is no value"))?;
        out.push_str(text);
        rest = &from[name.len() + 4..];
    }
    out.push_str(rest);
    out.push('\n');
    Ok(())
}

fn is_key(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let each = |name: &str| Values::default().text("one", name).flag("last", name == "b");
        Values::default()
            .text("name", "orders")
            .flag("yes", true)
            .flag("no", false)
            .list("many", vec![each("a"), each("b")])
    }

    #[test]
    fn values_stand_where_they_are_named_and_other_braces_stay() {
        let text = render("fn {{name}}() { ${{ secrets.X }} {{{name}}} }", &values()).unwrap();
        assert_eq!(text, "fn orders() { ${{ secrets.X }} {orders} }\n");
    }

    #[test]
    fn a_block_is_there_or_not_and_once_for_each() {
        let template = "\
            {% if no %}\nnever\n{% if yes %}\nnever\n{% end %}\n{% else %}\nelse\n{% end %}\n\
            {% each many %}\n{{one}} of {{name}}\n{% if last %}\nend\n{% end %}\n{% end %}\n";
        assert_eq!(render(template, &values()).unwrap(), "else\na of orders\nb of orders\nend\n");
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line() {
        for (template, told) in [
            ("\n{{nobody}}", "line 2: nobody is no value"),
            ("{% if nobody %}\n{% end %}", "line 1: nobody is no flag"),
            ("{% each yes %}\n{% end %}", "line 1: yes is no list"),
            ("{% if yes %}\n", "line 1: it has no {% end %}"),
            ("{% while yes %}\n{% end %}", "line 1: [\"while\", \"yes\"] is no directive"),
        ] {
            assert_eq!(render(template, &values()).unwrap_err(), told, "{template}");
        }
    }
}
