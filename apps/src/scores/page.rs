//! The form, and its messages when there is no page to show.
//!
//! Head and body fit one segment of 1,208 bytes, which every path carries (RFC 8200, section 5: 1,280, less
//! 40 for IPv6, 20 for TCP and 12 for its timestamps), with every message and in both languages; a test checks that.
//! Optional tags and quotes are left out, which is valid HTML.

use lethe::http::Writer;

use super::language::Language;

/// Header fields of responses with personal data: no cache may store them, and no other site gets their URL, which has
/// the numbers in it, as a referrer.
pub(super) const PRIVATE: &str = "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n";

/// The header fields of the form.
pub(super) const FIELDS: &str =
    "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n";

/// The most bytes of all labels together, so that the form fits a segment.
const LABELS_MAX: usize = 120;

/// The most bytes of a typed number that the form gives back, so that it fits a segment. Identity numbers have 18.
const TYPED_MAX: usize = 32;

/// Title and field labels of the form that replace its own, in both languages.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Labels {
    title: String,
    seat: String,
    secret: String,
}

impl Labels {
    /// An empty text leaves the form's own label. `None` when they are longer than 120 bytes together (40 Chinese
    /// characters), so that the form would not fit one packet, or when one has a NUL, `<` or `&`.
    pub fn new(title: &str, seat: &str, secret: &str) -> Option<Self> {
        let fits = [title, seat, secret].iter().map(|text| text.len()).sum::<usize>() <= LABELS_MAX;
        let texts = [title, seat, secret].map(|text| (!text.contains(['\0', '<', '&'])).then(|| text.to_owned()));
        let [Some(title), Some(seat), Some(secret)] = texts else { return None };
        fits.then_some(Self { title, seat, secret })
    }

    /// The title of the form and of the pages.
    pub(super) fn title(&self, language: Language) -> &str {
        or(&self.title, language, "考试成绩查询", "Exam results")
    }

    /// The labels, each followed by a NUL.
    pub(super) fn emit(&self) -> Vec<u8> {
        [&self.title, &self.seat, &self.secret].into_iter().flat_map(|text| text.bytes().chain([0])).collect()
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?.strip_suffix('\0')?;
        let mut texts = text.split('\0');
        let labels = Self::new(texts.next()?, texts.next()?, texts.next()?)?;
        texts.next().is_none().then_some(labels)
    }
}

fn or<'a>(own: &'a str, language: Language, chinese: &'static str, english: &'static str) -> &'a str {
    match language {
        _ if !own.is_empty() => own,
        Language::Chinese => chinese,
        Language::English => english,
    }
}

/// The message above the fields of the form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Message {
    /// No message: the form was requested without numbers.
    None,
    /// A field is empty.
    Empty,
    /// No candidate has both numbers. The message does not tell which is wrong.
    Wrong,
    /// The page is damaged.
    Damaged,
}

impl Message {
    const fn text(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::None, _) => "",
            (Self::Empty, Language::Chinese) => "请填写两个号码。",
            (Self::Empty, Language::English) => "Please fill in both numbers.",
            (Self::Wrong, Language::Chinese) => "没有找到。请核对两个号码后再试。",
            (Self::Wrong, Language::English) => "Nothing found. Please check both numbers.",
            (Self::Damaged, Language::Chinese) => "系统故障，暂时无法显示。请稍后再试。",
            (Self::Damaged, Language::English) => "Out of order. Please try again later.",
        }
    }
}

const TOP: &str = "<meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
    <link rel=icon href=data:,>\
    <style>\
    body{font:1.1em/1.6 system-ui,sans-serif;max-width:22em;margin:9vh auto;padding:0 20px}\
    label,input,button{display:block;width:100%;box-sizing:border-box}\
    input,button{font:inherit;padding:.5em;margin:.2em 0 1em;border:1px solid #057;border-radius:.4em}\
    button{background:#057;color:#fff}b{display:block;margin:0 0 1em;color:#b00}\
    </style><title>";

/// Whether a number that was typed is in its field again, to be corrected. It stands in the page without quotes, so
/// it has nothing but letters, digits and hyphens; no number of a candidate needs more.
fn is_given_back(typed: &str) -> bool {
    let is_plain = |character: char| character.is_alphanumeric() || character == '-';
    (1..=TYPED_MAX).contains(&typed.len()) && typed.chars().all(is_plain)
}

/// Writes the form, with a message and the two numbers that were typed, or empty texts.
pub(super) fn write(body: &mut Writer<'_>, labels: &Labels, language: Language, message: Message, typed: [&str; 2]) {
    let title = labels.title(language);
    body.push(match language {
        Language::Chinese => "<!doctype html><html lang=zh>",
        Language::English => "<!doctype html><html lang=en>",
    });
    body.push(TOP);
    body.push(title);
    body.push("</title><h1>");
    body.push(title);
    body.push("</h1><form>");
    if message != Message::None {
        body.push("<p role=alert><b>");
        body.push(message.text(language));
        body.push("</b>");
    }
    let fields = [
        (or(&labels.seat, language, "准考证号", "Seat number"), "seat"),
        (or(&labels.secret, language, "身份证号", "Identity number"), "id"),
    ];
    for ((label, name), typed) in fields.into_iter().zip(typed) {
        let value = if is_given_back(typed) { [" value=", typed] } else { [""; 2] };
        let end = " maxlength=64 autocomplete=off required></label>";
        for part in ["<label>", label, "<input name=", name, value[0], value[1], end] {
            body.push(part);
        }
    }
    body.push("<button>");
    body.push(or("", language, "查询", "Show result"));
    body.push("</button></form>\n");
}

#[cfg(test)]
mod tests {
    use lethe::http::{Response, Status};

    use super::*;

    const LANGUAGES: [Language; 2] = [Language::Chinese, Language::English];

    const UNTYPED: [&str; 2] = [""; 2];

    /// The length of the whole response with this message.
    fn len(labels: &Labels, language: Language, message: Message, typed: [&str; 2]) -> usize {
        let mut scratch = [0; 4096];
        Response::build(&mut scratch, Status::InternalServerError)
            .fields(FIELDS)
            .body_with(|body| write(body, labels, language, message, typed))
            .len()
    }

    #[test]
    fn the_form_fits_one_packet_on_every_path_whatever_it_says() {
        let text = "x".repeat(LABELS_MAX / 3);
        let longest = Labels::new(&text, &text, &text).unwrap();
        let typed = "9".repeat(TYPED_MAX);
        for language in LANGUAGES {
            for message in [Message::None, Message::Empty, Message::Wrong, Message::Damaged] {
                for labels in [&Labels::default(), &longest] {
                    for typed in [UNTYPED, [&*typed; 2]] {
                        let len = len(labels, language, message, typed);
                        assert!((700..=1208).contains(&len), "{len} bytes: {language:?} {message:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_given_back_needs_no_quotes_and_has_room() {
        let longest = "9".repeat(TYPED_MAX);
        for kept in ["1", "99010119900101001X", "甲01", "2026-01", &longest] {
            assert!(is_given_back(kept), "{kept}");
        }
        let longer = "9".repeat(TYPED_MAX + 1);
        let wrong = ["", " ", "1 2", "\"", "'", "<b>", ">", "&lt", "=", "`", "/", "\0", "\n", "\u{a0}", &longer];
        for wrong in wrong {
            assert!(!is_given_back(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn labels_come_back_as_they_were() {
        for labels in [Labels::default(), Labels::new("2026 年成绩", "考号", "查询码").unwrap()] {
            assert_eq!(Labels::parse(&labels.emit()), Some(labels));
        }
        for damaged in [&b""[..], b"a\0b\0", b"a\0b\0c", b"a\0b\0c\0d\0", b"\xff\0\0\0", b"<a>\0\0\0"] {
            assert_eq!(Labels::parse(damaged), None);
        }
        assert_eq!(Labels::new(&"x".repeat(LABELS_MAX + 1), "", ""), None);
    }

    #[test]
    fn what_the_board_gives_no_text_for_has_the_usual_one() {
        let form = |labels: &Labels, language, message| {
            let mut scratch = [0; 4096];
            let response = Response::build(&mut scratch, Status::Ok)
                .body_with(|body| write(body, labels, language, message, UNTYPED));
            String::from_utf8(response.body().to_vec()).unwrap()
        };
        let own = Labels::new("", "考号", "").unwrap();
        for (labels, language, texts) in [
            (&Labels::default(), Language::Chinese, ["准考证号", "身份证号", "查询", "请填写两个号码。"]),
            (&Labels::default(), Language::English, ["Seat number", "Identity number", "Show result", "both numbers."]),
            (&own, Language::Chinese, ["考号", "身份证号", "查询", "请填写两个号码。"]),
            (&own, Language::English, ["考号", "Identity number", "Show result", "both numbers."]),
        ] {
            let form = form(labels, language, Message::Empty);
            let [seat, secret, button, message] = texts;
            for part in [
                format!("<label>{seat}<input name=seat "),
                format!("<label>{secret}<input name=id "),
                format!("<button>{button}</button>"),
                format!("{message}</b>"),
            ] {
                assert!(form.contains(&part), "{part}: {form}");
            }
        }
        assert!(!form(&own, Language::English, Message::None).contains("alert"));
    }
}
