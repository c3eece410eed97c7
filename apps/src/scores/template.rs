//! Templates of pages: HTML with placeholders for the fields of a table.
//!
//! | in the template | in the page                                                        |
//! |-----------------|--------------------------------------------------------------------|
//! | `{{NAME}}`      | the field of this name, escaped                                    |
//! | `{{*}}`         | table rows with name and value of every field that is not a key    |
//!
//! Names are compared without regard to case. All other text is copied.

use thiserror::Error;

use super::language::Language;
use super::page::Labels;

/// The numbers of the fields with the keys of a candidate.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    pub(super) seat: usize,
    pub(super) secret: usize,
}

/// A template, compiled for the fields of a table.
pub(super) struct Template {
    pieces: Vec<Piece>,
}

enum Piece {
    Text(String),
    Field(usize),
    /// All fields but the keys: the text before each value, and the number of the field.
    Rows(Vec<(String, usize)>),
}

const TOP: &str = "<!doctype html><html lang=zh><meta charset=utf-8>\
    <meta name=viewport content=\"width=device-width\"><link rel=icon href=data:,>\
    <style>\
    body{font:1.1em/1.6 system-ui,sans-serif;max-width:26em;margin:5vh auto;padding:0 20px}\
    table{width:100%;border-collapse:collapse}\
    th,td{text-align:left;padding:.2em .4em;border-bottom:1px solid #ccc}\
    th{font-weight:400;color:#567;min-width:88px;vertical-align:top}h2{font-size:1em}\
    h2,td{overflow-wrap:anywhere}a{padding:1em 0}\
    </style><title>";

const BOTTOM: &str = "</table><p><a href=/>返回 · Back</a>\n";

impl Template {
    /// The template that is used without a file: the seat number, and a table of the other fields.
    pub(super) fn of_table(labels: &Labels, fields: &[String], keys: Keys) -> Self {
        let mut title = String::new();
        push_escaped(&mut title, labels.title(Language::Chinese));
        let top = format!("{TOP}{title}</title><h1>{title}</h1><h2>");
        let pieces = vec![
            Piece::Text(top),
            Piece::Field(keys.seat),
            Piece::Text("</h2><table>".to_owned()),
            rows(fields, keys),
            Piece::Text(BOTTOM.to_owned()),
        ];
        Self { pieces }
    }

    /// Compiles a template.
    pub(super) fn parse(text: &str, fields: &[String], keys: Keys) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let line = 1 + text[..text.len() - after.len()].matches('\n').count();
            let (name, after) = after.split_once("}}").ok_or(TemplateError::Open { line })?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(match name.trim() {
                "*" => rows(fields, keys),
                name => Piece::Field(position(fields, name).map_err(|error| match error {
                    NoField::Unknown => TemplateError::Field { line, name: name.to_owned(), fields: fields.join(", ") },
                    NoField::Twice => TemplateError::Twice { line, name: name.to_owned() },
                })?),
            });
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { pieces })
    }

    /// Replaces `page` by the page of a candidate.
    pub(super) fn write(&self, values: &[String], page: &mut String) {
        page.clear();
        let value = |at: usize| values.get(at).map_or("", String::as_str);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => page.push_str(text),
                Piece::Field(at) => push_escaped(page, value(*at)),
                Piece::Rows(rows) => {
                    for (before, at) in rows {
                        page.push_str(before);
                        push_escaped(page, value(*at));
                    }
                }
            }
        }
    }
}

fn rows(fields: &[String], keys: Keys) -> Piece {
    let others = fields.iter().enumerate().filter(|(at, _)| *at != keys.seat && *at != keys.secret);
    let row = |(at, name): (usize, &String)| {
        let mut before = "<tr><th>".to_owned();
        push_escaped(&mut before, name);
        before.push_str("<td>");
        (before, at)
    };
    Piece::Rows(others.map(row).collect())
}

/// Why a name does not name a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoField {
    /// There is no field with it.
    Unknown,
    /// There are several.
    Twice,
}

/// The field of this name.
pub(super) fn position(fields: &[String], name: &str) -> Result<usize, NoField> {
    let name = name.to_lowercase();
    let mut found = fields.iter().enumerate().filter(|(_, field)| field.to_lowercase() == name);
    match (found.next(), found.next()) {
        (Some((at, _)), None) => Ok(at),
        (Some(_), Some(_)) => Err(NoField::Twice),
        (None, _) => Err(NoField::Unknown),
    }
}

/// Appends text, escaped for HTML.
fn push_escaped(page: &mut String, text: &str) {
    for piece in text.split_inclusive(['&', '<', '>', '"', '\'']) {
        let escaped = match piece.as_bytes().last() {
            Some(b'&') => "&amp;",
            Some(b'<') => "&lt;",
            Some(b'>') => "&gt;",
            Some(b'"') => "&quot;",
            Some(b'\'') => "&#39;",
            _ => {
                page.push_str(piece);
                continue;
            }
        };
        page.push_str(&piece[..piece.len() - 1]);
        page.push_str(escaped);
    }
}

/// What is wrong with a template.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TemplateError {
    /// A placeholder is not closed.
    #[error("line {line}: {{{{ without }}}} behind it")]
    Open {
        /// Its line.
        line: usize,
    },
    /// There is no such field.
    #[error("line {line}: the table has no field {name}; it has {fields}")]
    Field {
        /// Its line.
        line: usize,
        /// The name in the template.
        name: String,
        /// The names that the table has.
        fields: String,
    },
    /// There is more than one such field.
    #[error("line {line}: the table has more than one field {name}: give each a name of its own")]
    Twice {
        /// Its line.
        line: usize,
        /// The name in the template.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: Keys = Keys { seat: 0, secret: 1 };

    fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
        texts.map(str::to_owned).to_vec()
    }

    fn page(template: &str) -> String {
        let fields = strings(["KSH", "SFZH", "XM", "<语文>"]);
        let mut page = "old".to_owned();
        let values = strings(["01", "secret", "O'Neil & <b>", "118.5"]);
        Template::parse(template, &fields, KEYS).unwrap().write(&values, &mut page);
        page
    }

    #[test]
    fn fields_are_put_in_and_escaped() {
        assert_eq!(page("<p>{{XM}} {{ ksh }}}"), "<p>O&#39;Neil &amp; &lt;b&gt; 01}");
        assert_eq!(page("{{*}}"), "<tr><th>XM<td>O&#39;Neil &amp; &lt;b&gt;<tr><th>&lt;语文&gt;<td>118.5");
        assert_eq!(page("a { b } c"), "a { b } c");
    }

    #[test]
    fn the_table_has_every_field_but_the_secret() {
        let fields = strings(["KSH", "SFZH", "XM"]);
        let mut page = String::new();
        let template = Template::of_table(&Labels::default(), &fields, KEYS);
        template.write(&strings(["01", "secret", "\"甲\""]), &mut page);
        assert!(page.contains("<h2>01</h2><table><tr><th>XM<td>&quot;甲&quot;</table>"), "{page}");
        assert!(!page.contains("secret"), "{page}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let fields = strings(["KSH", "SFZH", "XM"]);
        let error = |template: &str| Template::parse(template, &fields, KEYS).map(drop).unwrap_err().to_string();
        assert_eq!(error("a\nb {{XM}}\n{{YW}}"), "line 3: the table has no field YW; it has KSH, SFZH, XM");
        assert_eq!(error("a\n{{XM"), "line 2: {{ without }} behind it");
    }
}
