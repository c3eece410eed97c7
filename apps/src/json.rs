//! JSON objects of strings and numbers (RFC 8259), written without allocation.

use lethe::http::Writer;

/// Writes one object.
pub(crate) struct Object<'w, 'b> {
    writer: &'w mut Writer<'b>,
    separator: &'static str,
}

impl<'w, 'b> Object<'w, 'b> {
    /// Begins an object.
    pub(crate) fn begin(writer: &'w mut Writer<'b>) -> Self {
        Self { writer, separator: "{" }
    }

    /// Adds a member. Only its value is escaped: the name must need no escape.
    pub(crate) fn member(self, name: &str, value: &str) -> Self {
        self.member_with(name, |writer| push_escaped(writer, value))
    }

    /// Adds a member whose value `write` writes, unescaped.
    pub(crate) fn member_with(self, name: &str, write: impl FnOnce(&mut Writer<'b>)) -> Self {
        self.number_with(name, |writer| {
            writer.push("\"");
            write(writer);
            writer.push("\"");
        })
    }

    /// Adds a member whose value is a number, which `write` writes.
    pub(crate) fn number_with(mut self, name: &str, write: impl FnOnce(&mut Writer<'b>)) -> Self {
        self.writer.push(self.separator);
        self.writer.push("\"");
        self.writer.push(name);
        self.writer.push("\":");
        write(self.writer);
        self.separator = ",";
        self
    }

    /// Ends the object with a line feed.
    pub(crate) fn end(self) {
        self.writer.push("}\n");
    }
}

/// Appends the text of a string, escaped (section 7).
fn push_escaped(writer: &mut Writer<'_>, text: &str) {
    for piece in text.split_inclusive(must_be_escaped) {
        match piece.as_bytes() {
            [plain @ .., last] if must_be_escaped(char::from(*last)) => {
                writer.push_bytes(plain);
                push_escape(writer, *last);
            }
            plain => writer.push_bytes(plain),
        }
    }
}

/// Quotation mark, reverse solidus, and the control characters U+0000 to U+001F.
fn must_be_escaped(character: char) -> bool {
    matches!(character, '"' | '\\' | '\0'..='\x1f')
}

fn push_escape(writer: &mut Writer<'_>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
    writer.push_bytes(&[b'\\', b'u', b'0', b'0', high, low]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &str) -> String {
        let mut buffer = [0; 64];
        let mut writer = Writer::new(&mut buffer);
        Object::begin(&mut writer)
            .member("a", value)
            .member_with("b", |writer| writer.push("1"))
            .number_with("c", |writer| writer.push("-1.5"))
            .end();
        String::from_utf8(writer.finish().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn members_are_separated() {
        assert_eq!(object("x"), "{\"a\":\"x\",\"b\":\"1\",\"c\":-1.5}\n");
    }

    #[test]
    fn what_json_reserves_is_escaped_and_nothing_else() {
        let string = |text| object(text).split('"').nth(3).map(str::to_owned);
        assert_eq!(string(""), Some(String::new()));
        assert_eq!(string("广州市 a/b\x7f"), Some("广州市 a/b\x7f".into()));
        assert_eq!(string("\"\\\n\x1f"), Some(r"\u0022\u005c\u000a\u001f".into()));
    }
}
