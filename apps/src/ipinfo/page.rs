//! The HTML page.
//!
//! Head and body fit one segment of 1,208 bytes, which every path carries (RFC 8200, section 5: 1,280, less
//! 40 for IPv6, 20 for TCP and 12 for its timestamps), whatever the page is about. Optional tags
//! and quotes are left out, which is valid HTML.

use lethe::http::Writer;

use super::address;
use super::answer::{Answer, push_names};
use super::language::Language;

const TOP: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
    <meta name=viewport content=\"width=device-width\"><link rel=icon href=data:,><title>Lethe</title>\
    <style>\
    :root{color-scheme:light dark;background:light-dark(#eef5f6,#0b171b)}\
    body{font:1.1em/1.6 system-ui,sans-serif;max-width:30em;margin:14vh auto;padding:0 1em}\
    h1{font-size:min(2.1em,8vw);margin:0;overflow-wrap:anywhere}\
    h1+p{font-size:1.4em;margin:.2em 0 1em;color:light-dark(#077,#6cc)}\
    form{display:flex;gap:.5em}\
    input,button{font:inherit;padding:.5em .8em;border:1px solid #077;border-radius:.5em}\
    input{flex:1;min-width:0}button{background:#077;color:#fff}\
    </style>";

const BOTTOM: &str = "<form action=\"/\">\
    <input name=ip placeholder=8.8.8.8 aria-label=\"IP address\"><button>Look up</button>\
    </form>\
    <p><b>Lethe</b> forgets every connection. This page came in one packet.\n";

/// Writes the page about the client's `own` address, or about another one.
pub(super) fn write(body: &mut Writer<'_>, answer: &Answer<'_>, own: bool, language: Language) {
    body.push(TOP);
    body.push(if own { "Your address" } else { "<a href=\"/\">← Your address</a>" });
    body.push("<h1>");
    match *answer {
        Answer::Place(address, place) => {
            address::push(body, address);
            body.push("</h1><p lang=");
            body.push(language.tag());
            body.push(">");
            push_names(body, place, Writer::push_html);
        }
        Answer::NoPlace(address) => {
            address::push(body, address);
            body.push("</h1><p>is ");
            body.push_html(address::kind(address));
        }
        Answer::NoAddress => body.push("Not an IP address</h1><p>One looks like 8.8.8.8"),
    }
    body.push(BOTTOM);
}
