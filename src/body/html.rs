//! The plain rendition of HTML, for readers that have no other.
//!
//! One pass over the text, no tree: tags that start a block become line ends, the targets of links
//! are shown behind them, and scripts, styles and comments are left out. What looks like a tag
//! afterwards is text: nothing here is markup again.

use std::borrow::Cow;

/// Octets that are looked at for the end of an entity.
const ENTITY_MAX: usize = 10;

/// The text of an HTML document as a person would read it.
pub fn rendition(html: &str) -> String {
    let mut writer = Writer::default();
    let mut rest = html;
    while !rest.is_empty() {
        let end = rest.find(['<', '&']).unwrap_or(rest.len());
        let (plain, after) = rest.split_at(end);
        writer.text(plain);
        rest = match after.bytes().next() {
            Some(b'<') => markup(after, &mut writer),
            Some(_) => {
                let (text, after) = entity(after);
                match text {
                    Some(c) => writer.character(c),
                    None => writer.character('&'),
                }
                after
            }
            None => after,
        };
    }
    writer.finish()
}

/// Takes what starts with `<` and gives what follows it.
fn markup<'h>(html: &'h str, writer: &mut Writer) -> &'h str {
    if let Some(comment) = html.strip_prefix("<!--") {
        return comment.split_once("-->").map_or("", |(_, after)| after);
    }
    let after = html.get(1..).unwrap_or_default();
    let (closing, after) = match after.strip_prefix('/') {
        Some(after) => (true, after),
        None => (false, after),
    };
    if !after.starts_with(|c: char| c.is_ascii_alphabetic() || (!closing && matches!(c, '!' | '?'))) {
        writer.character('<');
        return html.get(1..).unwrap_or_default();
    }
    let (tag, after) = after.split_at(end_of_tag(after));
    let after = after.strip_prefix('>').unwrap_or_default();
    let name_end = tag.find(|c: char| c.is_ascii_whitespace() || c == '/').unwrap_or(tag.len());
    let (name, attributes) = tag.split_at(name_end);
    let name = name.to_ascii_lowercase();
    match (name.as_str(), closing) {
        ("script" | "style" | "head" | "title" | "template" | "object" | "iframe", false) => {
            return past_end_tag(after, &name);
        }
        ("br", _) => writer.line(),
        ("p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "table" | "blockquote", _) => {
            writer.block(2);
        }
        ("div" | "tr" | "dl" | "dt" | "dd" | "section" | "article" | "hr" | "body" | "html", _) => {
            writer.block(1);
        }
        ("li", false) => {
            writer.block(1);
            writer.raw("- ");
        }
        ("td" | "th", true) => writer.text(" "),
        ("pre", _) => {
            writer.block(2);
            writer.verbatim = !closing;
        }
        ("a", false) => writer.link = attribute(attributes, "href").map(|href| (writer.out.len(), href)),
        ("a", true) => writer.end_link(),
        ("img", false) => {
            if let Some(alt) = attribute(attributes, "alt") {
                writer.text(&alt);
            }
        }
        _ => {}
    }
    after
}

/// Where the `>` of a tag stands, which may not be between quotes; the end if there is none.
fn end_of_tag(tag: &str) -> usize {
    let mut quote = None;
    let mut value = false;
    let end = tag.bytes().position(|octet| {
        match (octet, quote) {
            (b'>', None) => return true,
            (b'"' | b'\'', None) if value => quote = Some(octet),
            (octet, Some(open)) if octet == open => quote = None,
            _ => {}
        }
        value = octet == b'=' || (value && octet.is_ascii_whitespace());
        false
    });
    end.unwrap_or(tag.len())
}

/// What follows the end tag of `name`; nothing if it is never closed.
fn past_end_tag<'h>(html: &'h str, name: &str) -> &'h str {
    let mut rest = html;
    while let Some((_, after)) = rest.split_once("</") {
        if after.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return after.split_once('>').map_or("", |(_, after)| after);
        }
        rest = after;
    }
    ""
}

/// The value of an attribute, its entities undone.
fn attribute(attributes: &str, name: &str) -> Option<String> {
    let mut rest = attributes;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(after) = after.trim_start().strip_prefix('=') else {
            if rest.is_empty() {
                return None;
            }
            // An `=` with no name before it was taken above, so this always moves on.
            rest = after;
            continue;
        };
        let after = after.trim_start();
        let (value, behind) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let after = after.get(1..).unwrap_or_default();
                after.split_once(quote).unwrap_or((after, ""))
            }
            _ => after.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((after, "")),
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(unescaped(value));
        }
        rest = behind;
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('&') {
        out.push_str(plain);
        let with = rest.get(plain.len()..).unwrap_or_default();
        match entity(with) {
            (Some(c), after) => {
                out.push(c);
                rest = after;
            }
            (None, _) => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Takes an entity that starts with `&`; `None` when it is none, and then just the `&` is taken.
fn entity(text: &str) -> (Option<char>, &str) {
    let after = text.get(1..).unwrap_or_default();
    let end = after.bytes().take(ENTITY_MAX).position(|octet| octet == b';');
    let Some((name, behind)) = end.and_then(|end| after.split_at_checked(end)) else { return (None, after) };
    let c = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            let digits = number.trim_start_matches(['x', 'X']);
            match code {
                Ok(code) if !digits.starts_with('+') => Some(character(code)),
                _ => None,
            }
        }
        None => NAMED.iter().find(|(known, _)| *known == name).map(|(_, c)| *c),
    };
    match c {
        Some(c) => (Some(c), behind.get(1..).unwrap_or_default()),
        None => (None, after),
    }
}

/// The character of a code point, U+FFFD for one that HTML and XML do not have.
fn character(code: u32) -> char {
    match char::from_u32(code) {
        Some('\r') => '\n',
        Some(c) if c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}') => c,
        Some(c @ ('\t' | '\n')) => c,
        _ => char::REPLACEMENT_CHARACTER,
    }
}

const NAMED: [(&str, char); 30] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", '\u{a0}'),
    ("copy", '©'),
    ("reg", '®'),
    ("trade", '™'),
    ("euro", '€'),
    ("pound", '£'),
    ("sect", '§'),
    ("deg", '°'),
    ("plusmn", '±'),
    ("times", '×'),
    ("middot", '·'),
    ("bull", '•'),
    ("hellip", '…'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("laquo", '«'),
    ("raquo", '»'),
    ("auml", 'ä'),
    ("ouml", 'ö'),
    ("uuml", 'ü'),
    ("szlig", 'ß'),
];

/// Lays text out: white space collapses, blocks end lines.
#[derive(Default)]
struct Writer {
    out: String,
    /// Line ends that are due before the next character.
    lines: usize,
    /// Whether a space is due before the next character.
    space: bool,
    /// Whether white space is kept, as in `<pre>`.
    verbatim: bool,
    /// Where the text of an open link starts, and where it leads.
    link: Option<(usize, String)>,
}

impl Writer {
    fn text(&mut self, text: &str) {
        text.chars().for_each(|c| self.character(c));
    }

    fn character(&mut self, c: char) {
        match c {
            '\n' if self.verbatim => self.line(),
            ' ' | '\t' if self.verbatim => self.raw(" "),
            ' ' | '\t' | '\n' | '\r' | '\u{c}' => self.space = true,
            c => self.raw(c.encode_utf8(&mut [0; 4])),
        }
    }

    /// Writes what is due and then `text` as it is.
    fn raw(&mut self, text: &str) {
        if self.out.is_empty() {
            self.lines = 0;
        }
        (0..self.lines).for_each(|_| self.out.push('\n'));
        if self.space && self.lines == 0 && !self.out.is_empty() && !self.out.ends_with([' ', '\n']) {
            self.out.push(' ');
        }
        (self.lines, self.space) = (0, false);
        self.out.push_str(text);
    }

    /// One line end more, but never more than one empty line.
    fn line(&mut self) {
        self.lines = (self.lines + 1).min(2);
    }

    /// At least so many line ends.
    fn block(&mut self, lines: usize) {
        self.lines = self.lines.max(lines);
    }

    /// Shows where a link leads, unless its text says so already or it leads nowhere a person goes.
    fn end_link(&mut self) {
        let Some((start, href)) = self.link.take() else { return };
        let shown = self.out.get(start..).unwrap_or_default().trim();
        let schemes = ["http:", "https:", "mailto:", "tel:", "sip:", "sips:", "xmpp:", "geo:"];
        let leads =
            |scheme: &&str| href.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        let Some(scheme) = schemes.iter().find(|scheme| leads(scheme)) else { return };
        let bare = href.get(scheme.len()..).unwrap_or_default();
        if shown == href || shown == bare || shown.trim_end_matches('/') == href.trim_end_matches('/') {
            return;
        }
        let href: Cow<'_, str> = super::charset::one_line(&href, usize::MAX);
        self.space = true;
        self.raw("<");
        self.raw(&href);
        self.raw(">");
    }

    fn finish(mut self) -> String {
        self.out.truncate(self.out.trim_end_matches([' ', '\n']).len());
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn check_030_html_becomes_plain_text() {
        for (html, plain) in [
            ("Hello <b>big</b> world", "Hello big world"),
            ("one<br>two<BR/>three<br />\n  four", "one\ntwo\nthree\nfour"),
            ("<p>one</p><p>two</p>", "one\n\ntwo"),
            (
                "<html><head><title>t</title></head><body><div>one</div><div>two</div></body></html>",
                "one\ntwo",
            ),
            ("a<br><br><br><br>b", "a\n\nb"),
            ("  a \r\n\t b  ", "a b"),
            ("<ul><li>x<li>y</ul>z", "- x\n- y\n\nz"),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
            ("<pre>a  b\n c</pre>d", "a  b\n c\n\nd"),
            ("&lt;b&gt; &amp;amp; &quot;&#39;&#x41;&euro;&nbsp;x", "<b> &amp; \"'A€\u{a0}x"),
            ("AT&T &bogus; &; &#; &#x; &#xg; & &amp", "AT&T &bogus; &; &#; &#x; &#xg; & &amp"),
            ("&#0;&#xD800;&#x110000;&#xFFFF;&#8;", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            ("1 < 2 <3 </ <", "1 < 2 <3 </ <"),
            ("a<script>alert('<p>x</p>')</SCRIPT >b<style>p{}</style>c", "abc"),
            ("a<script>never closed", "a"),
            ("a<!-- x --> <!doctype html><?xml v?>b", "a b"),
            ("a<!-- never closed", "a"),
            ("<span title=\"a>b\" x='>'>t</span>", "t"),
            ("a<b title=\"never closed>c", "a"),
            (
                "<a href=\"https://h.example/?a=1&amp;b=2\">click</a> me",
                "click <https://h.example/?a=1&b=2> me",
            ),
            ("<A HREF=https://h.example/>https://h.example</A>", "https://h.example"),
            ("<a href='mailto:a@h.example'>a@h.example</a>", "a@h.example"),
            (
                "<a href='https://evil.example'>https://bank.example</a>",
                "https://bank.example <https://evil.example>",
            ),
            ("<a href='javascript:x()'>x</a><a href=''>y</a><a>z</a></a>", "xyz"),
            ("<img src='http://h.example/t.png' alt='a smile'> hi", "a smile hi"),
            ("<p style=\"font-family:Calibri;\">caf\u{e9} 日本 🦀</p>", "café 日本 🦀"),
            ("", ""),
            ("<p></p>", ""),
        ] {
            assert_eq!(rendition(html), plain, "{html}");
        }
    }

    proptest! {
        #[test]
        fn no_html_breaks_the_rendition(html in "(<[/!a-z]{0,3}|</?(a|p|script|pre|li|img)|href=|alt|['\"=> &;#x0-9é]|&(lt|#1|#x);|<!--|-->|\\PC){0,30}") {
            let plain = rendition(&html);
            // A link adds a space and two brackets, a list item a line end and a dash.
            prop_assert!(plain.len() <= html.len() * 2);
            prop_assert!(!plain.contains("\n\n\n"));
        }
    }
}
