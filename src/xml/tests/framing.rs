//! The framer: the same frames and errors in any cut, refused as soon as may be, bounded.

use crate::xml::frame::{Frame, Framer, LIMIT_AFTER_AUTH, LIMIT_BEFORE_AUTH, MAX_DEPTH};
use crate::xml::{Condition, FrameError, Limits, Scope, XmlError, parse, parse_open};
use proptest::prelude::*;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' \
    from='a.example' to='b.example' version='1.0'>";

type Seen = (Vec<String>, Option<FrameError>);

/// Everything that is ready in `framer`, and the error that ends it.
fn drain(framer: &mut Framer, seen: &mut Seen) {
    while seen.1.is_none() {
        match framer.next() {
            Ok(Some(Frame::Open(text))) => seen.0.push(format!("open {text}")),
            Ok(Some(Frame::Stanza(text))) => seen.0.push(format!("stanza {text}")),
            Ok(Some(Frame::Close)) => seen.0.push("close".into()),
            Ok(None) => break,
            Err(error) => seen.1 = Some(error),
        }
    }
}

/// Pushes `input` in pieces of the lengths that `cuts` repeats.
fn frames(input: &[u8], cuts: &[usize], limit: usize) -> Seen {
    let mut framer = Framer::new(limit);
    let mut seen = Seen::default();
    let (mut rest, mut cuts) = (input, cuts.iter().cycle());
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(rest.len().min(cuts.next().map_or(usize::MAX, |&n| n.max(1))));
        framer.push(piece);
        drain(&mut framer, &mut seen);
        rest = more;
    }
    seen
}

/// The error that `input` ends in, whole and octet by octet.
fn error(input: impl AsRef<[u8]>) -> Option<FrameError> {
    let whole = frames(input.as_ref(), &[], LIMIT_BEFORE_AUTH);
    assert_eq!(frames(input.as_ref(), &[1], LIMIT_BEFORE_AUTH), whole);
    whole.1
}

/// The error of `input` behind a stream header.
fn inside(input: impl AsRef<[u8]>) -> Option<FrameError> {
    error([HEADER.as_bytes(), input.as_ref()].concat())
}

/// A framer that has seen the header.
fn opened(limit: usize) -> Framer {
    let mut framer = Framer::new(limit);
    framer.push(HEADER.as_bytes());
    assert!(matches!(framer.next(), Ok(Some(Frame::Open(_)))));
    framer
}

#[test]
fn a_stream_is_cut_into_header_stanzas_and_close() {
    let input =
        format!("{HEADER}<a/> \n<b x='>'>t<![CDATA[</b>]]><c/></b ><d x=\"'/>\"></d></stream:stream>");
    let (got, error) = frames(input.as_bytes(), &[], LIMIT_BEFORE_AUTH);
    assert_eq!(error, None);
    assert_eq!(got[0], format!("open {}", HEADER.trim_start_matches("<?xml version='1.0'?>")));
    assert_eq!(
        got[1..],
        ["stanza <a/>", "stanza <b x='>'>t<![CDATA[</b>]]><c/></b >", "stanza <d x=\"'/>\"></d>", "close"]
    );
}

#[test]
fn the_declaration_may_be_left_out_and_says_utf_8() {
    for good in [
        "",
        "<?xml version='1.0'?>",
        "<?xml version=\"1.0\" encoding='utf-8' ?>",
        "<?xml  version = '1.0' encoding='UTF-8' standalone='no'?>\n ",
        "<?xml version='1.0' standalone='yes'?>",
        " \r\n\t",
    ] {
        let input = format!("{good}<stream:stream>");
        for cuts in [&[][..], &[1], &[7]] {
            let seen = frames(input.as_bytes(), cuts, LIMIT_BEFORE_AUTH);
            assert_eq!(seen, (vec!["open <stream:stream>".into()], None), "{good}");
        }
    }
    for bad in [
        "<?xml ?>",
        "<?xml version='2.0'?>",
        "<?xml version='1.'?>",
        "<?xml version=1.0?>",
        "<?xml version='1.0' version='1.0'?>",
        "<?xml version='1.0'encoding='UTF-8'?>",
        "<?xml encoding='UTF-8'?>",
        "<?xml encoding='UTF-8' version='1.0'?>",
        "<?xml version='1.0' encoding='8'?>",
        "<?xml version='1.0' standalone='maybe'?>",
        "<?xml version='1.0' x='y'?>",
        "<?xml version='1.0' x?>",
        "<?xml version='1.0?>",
    ] {
        assert_eq!(error(bad), Some(FrameError::Malformed), "{bad}");
    }
    // Only at the very start, and only once.
    for bad in ["\n<?xml version='1.0'?>", "<?xml version='1.0'?><?xml version='1.0'?>"] {
        assert_eq!(error(bad), Some(FrameError::Restricted), "{bad}");
    }
}

#[test]
fn threat_005_what_is_no_xml_ends_the_stream() {
    for bad in ["GET / HTTP/1.1\r\n", "\u{FEFF}<stream:stream>", "\x16\x03\x01\x02", "x<", "&amp;"] {
        assert_eq!(error(bad), Some(FrameError::NoHeader), "{bad}");
    }
    for bad in ["</stream:stream>", "</a>"] {
        assert_eq!(error(bad), Some(FrameError::Malformed), "{bad}");
    }
    assert_eq!(FrameError::NoHeader.condition(), Condition::NotWellFormed);
}

#[test]
fn text_between_stanzas_is_bad_format() {
    for bad in ["x", "<a/>x", "&#32;", "<![CDATA[ ]]>", "\u{FEFF}", "\u{A0}", "\0", ">"] {
        assert_eq!(inside(bad), Some(FrameError::Stray), "{bad:?}");
    }
    assert_eq!(FrameError::Stray.condition(), Condition::BadFormat);
}

#[test]
fn check_120_comments_instructions_and_dtds_are_restricted() {
    let bad = [
        "<!-- c -->",
        "<!DOCTYPE a>",
        "<?pi?>",
        "<?xml-stylesheet href='x'?>",
        "<!ENTITY x 'y'>",
        "<!x",
        "<!-",
        "<![IGNORE[",
    ];
    for bad in bad {
        assert_eq!(error(bad), Some(FrameError::Restricted), "{bad}");
        assert_eq!(inside(bad), Some(FrameError::Restricted), "{bad}");
        assert_eq!(inside(format!("<a>text{bad}")), Some(FrameError::Restricted), "{bad}");
    }
    assert_eq!(inside("<?xml version='1.0'?>"), Some(FrameError::Restricted));
    assert_eq!(FrameError::Restricted.condition().name(), "restricted-xml");
}

#[test]
fn threat_010_a_doctype_is_refused_at_its_first_octets() {
    // Before any of what it would declare is read.
    assert_eq!(error("<!D"), Some(FrameError::Restricted));
    assert_eq!(inside("<message><body>x</body><!D"), Some(FrameError::Restricted));
}

#[test]
fn threat_012_external_entities_are_never_looked_at() {
    for bad in [
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'http://x.example/'>]><stream:stream>",
    ] {
        assert_eq!(error(bad), Some(FrameError::Restricted));
    }
    // No declaration, so no entity either.
    assert_eq!(super::stanza("<a>&x;</a>"), Err(XmlError::Entity));
}

#[test]
fn check_121_other_encodings_are_unsupported() {
    let utf16: Vec<u8> = HEADER.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16be: Vec<u8> = HEADER.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let cases: [&[u8]; 9] = [
        &utf16,
        &utf16be,
        &[&[0xFF, 0xFE][..], &utf16].concat(),
        &[&[0xFE, 0xFF][..], &utf16be].concat(),
        b"<?xml version='1.0' encoding='UTF-16'?>",
        b"<?xml version='1.0' encoding='ISO-8859-1'?>",
        b"<?xml version='1.0' encoding='US-ASCII'?>",
        b"<stream:stream to='\xE9'>",
        b"\xFF",
    ];
    for bad in cases {
        assert_eq!(error(bad), Some(FrameError::Encoding), "{}", bad.escape_ascii());
    }
    assert_eq!(FrameError::Encoding.condition().name(), "unsupported-encoding");
}

#[test]
fn threat_016_octets_that_are_no_utf_8_end_the_stream() {
    let cases: [&[u8]; 8] = [
        b"\xE9",                 // Latin-1
        b"\x80",                 // continuation alone
        b"\xC3",                 // cut
        b"\xC0\xBC",             // overlong <
        b"\xE0\x80\xBC",         // overlong <
        b"\xED\xA0\x80",         // surrogate
        b"\xF4\x90\x80\x80",     // beyond U+10FFFF
        b"\xF8\x88\x80\x80\x80", // five octets
    ];
    for bad in cases {
        for stanza in
            [[b"<a>", bad, b"</a>"].concat(), [b"<a b='", bad, b"'/>"].concat(), [b"<", bad, b"/>"].concat()]
        {
            assert_eq!(inside(&stanza), Some(FrameError::Encoding), "{}", stanza.escape_ascii());
        }
    }
}

#[test]
fn threat_019_a_foreign_encoding_is_told_before_the_header_is_whole() {
    assert_eq!(error(b"\xFF"), Some(FrameError::Encoding));
    assert_eq!(error(b"<\0"), Some(FrameError::Encoding));
    assert_eq!(error(b"\0"), Some(FrameError::Encoding));
}

#[test]
fn the_close_tag_repeats_the_name_of_the_header() {
    for good in ["</stream:stream>", "</stream:stream \n>", " </stream:stream>"] {
        let seen = frames(format!("{HEADER}{good}").as_bytes(), &[3], LIMIT_BEFORE_AUTH);
        assert_eq!((seen.0.last().unwrap().as_str(), seen.1), ("close", None));
    }
    for bad in
        ["</stream>", "</stream:strea>", "</stream:streams>", "</ stream:stream>", "</stream:stream/>", "</>"]
    {
        assert_eq!(inside(bad), Some(FrameError::Malformed), "{bad}");
    }
    // A header that is empty is the whole stream.
    let seen = frames(b"<s:stream xmlns:s='x'/>more", &[], LIMIT_BEFORE_AUTH);
    assert_eq!(seen, (vec!["open <s:stream xmlns:s='x'/>".into(), "close".into()], None));
}

#[test]
fn after_the_close_tag_nothing_is_kept() {
    let mut framer = opened(LIMIT_BEFORE_AUTH);
    framer.push(b"</stream:stream>");
    assert_eq!(framer.next(), Ok(Some(Frame::Close)));
    framer.push(b"<a/>");
    assert_eq!(framer.next(), Ok(None));
    assert!(framer.unread().is_empty());
}

#[test]
fn an_error_is_final_until_the_reset() {
    let mut framer = opened(LIMIT_BEFORE_AUTH);
    framer.push(b"<a/>x<b/>");
    assert_eq!(framer.next(), Ok(Some(Frame::Stanza("<a/>"))));
    assert_eq!(framer.next(), Err(FrameError::Stray));
    framer.push(b"<c/>");
    assert_eq!(framer.next(), Err(FrameError::Stray));
    framer.push(b"\xFF");
    framer.reset();
    framer.push(b"<stream>");
    assert_eq!(framer.next(), Ok(Some(Frame::Open("<stream>"))));
}

#[test]
fn threat_004_a_reset_drops_what_came_ahead_of_it() {
    let mut framer = opened(LIMIT_BEFORE_AUTH);
    framer.push(b"<auth/><message/>");
    assert_eq!(framer.next(), Ok(Some(Frame::Stanza("<auth/>"))));
    assert_eq!(framer.unread(), b"<message/>");
    framer.reset();
    assert_eq!(framer.next(), Ok(None));
    framer.push(HEADER.as_bytes());
    assert!(matches!(framer.next(), Ok(Some(Frame::Open(_)))));
}

#[test]
fn check_124_the_size_limit_holds_while_reading() {
    let of = |octets: usize| format!("<a>{}</a>", "x".repeat(octets - 7));
    const { assert!(LIMIT_BEFORE_AUTH >= 10_000 && LIMIT_AFTER_AUTH >= 10_000) };
    for cuts in [&[][..], &[1], &[1000]] {
        let just = format!("{HEADER}{}", of(10_000));
        assert_eq!(frames(just.as_bytes(), cuts, 10_000).1, None);
        let above = format!("{HEADER}{}", of(10_001));
        assert_eq!(frames(above.as_bytes(), cuts, 10_000).1, Some(FrameError::TooBig));
    }
    // Not at the end of the element, but as soon as the limit is passed.
    assert_eq!(inside(&of(1_000_000)[..LIMIT_BEFORE_AUTH]), Some(FrameError::TooBig));
    assert_eq!(FrameError::TooBig.condition().name(), "policy-violation");
    // The limit counts for each element, and can be raised.
    let mut framer = opened(10_000);
    framer.set_limit(LIMIT_AFTER_AUTH);
    let mut seen = Seen::default();
    for _ in 0..3 {
        framer.push(of(LIMIT_AFTER_AUTH).as_bytes());
        drain(&mut framer, &mut seen);
    }
    assert_eq!((seen.0.len(), seen.1), (3, None));
}

#[test]
fn threat_021_unfinished_giants_are_refused_and_memory_stays_bounded() {
    let giants = [
        "<?xml ",
        "<stream ",
        "<stream a='",
        "<a>",
        "<a b='",
        "<a ",
        "</stream:stream ",
        "<a><![CDATA[",
        "<a></a ",
        "<",
    ];
    for giant in giants {
        let header = if giant.starts_with("<?") || giant.starts_with("<s") { "" } else { HEADER };
        let mut framer = Framer::new(LIMIT_BEFORE_AUTH);
        framer.push(header.as_bytes());
        let mut seen = Seen::default();
        framer.push(giant.as_bytes());
        let mut pushed = 0;
        while seen.1.is_none() {
            assert!(pushed < LIMIT_BEFORE_AUTH + 1024, "{giant}");
            framer.push(&[b'x'; 512]);
            pushed += 512;
            drain(&mut framer, &mut seen);
            assert!(framer.capacity() <= LIMIT_BEFORE_AUTH + 1024, "{giant}");
        }
        assert_eq!(seen.1, Some(FrameError::TooBig), "{giant}");
        framer.push(&[b'x'; 512]);
        assert!(framer.capacity() <= LIMIT_BEFORE_AUTH + 1024);
    }
}

#[test]
fn threat_022_deep_nesting_is_refused_before_it_is_held() {
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    let deepest = nested(MAX_DEPTH);
    assert_eq!(inside(&deepest), None);
    assert!(super::stanza(&deepest).is_ok());
    assert_eq!(
        inside(format!("{}<b/>{}", "<a>".repeat(MAX_DEPTH), "</a>".repeat(MAX_DEPTH))),
        Some(FrameError::TooDeep)
    );
    assert_eq!(inside("<a>".repeat(MAX_DEPTH + 1)), Some(FrameError::TooDeep));
    assert_eq!(FrameError::TooDeep.condition(), Condition::PolicyViolation);
    // The parser by itself neither recurses nor trusts the framer.
    let limits = Limits::default();
    assert_eq!(parse(&nested(30_000), &Scope::server(), &limits), Err(XmlError::TooDeep));
}

#[test]
fn threat_024_a_flood_of_white_space_is_swallowed_and_counted() {
    let mut framer = opened(LIMIT_BEFORE_AUTH);
    for _ in 0..1000 {
        framer.push(&[b' '; 4096]);
        assert_eq!(framer.next(), Ok(None));
        assert!(framer.unread().is_empty());
        assert!(framer.capacity() <= LIMIT_BEFORE_AUTH + 4096);
    }
    assert_eq!(framer.take_whitespace(), 1000 * 4096);
    assert_eq!(framer.take_whitespace(), 0);
    framer.push(b"\n<a/>\r\n\t");
    assert_eq!(framer.next(), Ok(Some(Frame::Stanza("<a/>"))));
    assert_eq!(framer.next(), Ok(None));
    assert_eq!(framer.take_whitespace(), 4);
}

#[test]
fn a_buffer_that_was_big_is_given_back() {
    let mut framer = opened(LIMIT_AFTER_AUTH);
    framer.push(format!("<a>{}</a>", "x".repeat(200_000)).as_bytes());
    assert!(matches!(framer.next(), Ok(Some(Frame::Stanza(_)))));
    assert!(framer.capacity() >= 200_000);
    framer.push(b"<a/>");
    assert!(framer.capacity() <= 64 * 1024);
    assert_eq!(framer.next(), Ok(Some(Frame::Stanza("<a/>"))));
}

#[test]
fn reads_that_end_inside_stanzas_do_not_grow_the_buffer() {
    let mut framer = opened(LIMIT_AFTER_AUTH);
    let burst = "<message to='a'><body>some text</body></message>".repeat(10_000);
    let mut seen = Seen::default();
    for read in burst.as_bytes().chunks(1021) {
        framer.push(read);
        drain(&mut framer, &mut seen);
        assert!(framer.capacity() <= 4096);
    }
    assert_eq!((seen.0.len(), seen.1), (10_000, None));
}

/// Pieces of streams, good and bad.
const PIECES: &[&str] = &[
    "<a/>",
    "<a>",
    "</a>",
    "<b c='d'/>",
    "<b c=\"'>\">",
    "</b>",
    "text",
    " ",
    "\n",
    "<![CDATA[",
    "]]>",
    "]]",
    "<",
    ">",
    "/",
    "'",
    "\"",
    "<!",
    "<?",
    "<!--",
    "<![CD",
    "&amp;",
    "é",
    "</stream:stream>",
    "</",
    "</stream:stream",
    "xml",
    "<c",
    " d='",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_gives_the_same_frames(
        opened in any::<bool>(),
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..20),
        cuts in prop::collection::vec(1_usize..40, 1..6),
        // Small limits, so that they are met.
        limit in prop::sample::select(&[16_usize, 64, 230, 300, 10_000][..]),
    ) {
        let input = format!("{}{}", if opened { HEADER } else { "" }, pieces.concat());
        let whole = frames(input.as_bytes(), &[], limit);
        prop_assert_eq!(&frames(input.as_bytes(), &cuts, limit), &whole);
        prop_assert_eq!(&frames(input.as_bytes(), &[1], limit), &whole);
    }

    #[test]
    fn any_octets_in_any_cut_give_the_same_frames(
        octets in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(1_usize..40, 1..6),
    ) {
        for header in ["", HEADER] {
            let input = [header.as_bytes(), &octets].concat();
            prop_assert_eq!(frames(&input, &cuts, 230), frames(&input, &[], 230));
        }
    }

    /// What is framed as one stanza is one element to the parser, and the other way round.
    #[test]
    fn a_stanza_that_parses_is_framed_as_it_is(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..12)) {
        let text = format!("<a>{}</a>", pieces.concat());
        if super::stanza(&text).is_ok() {
            let (got, error) = frames(format!("{HEADER}{text}").as_bytes(), &[5], LIMIT_BEFORE_AUTH);
            prop_assert_eq!(error, None);
            prop_assert_eq!(&got[1..], &[format!("stanza {text}")]);
        }
    }
}

#[test]
fn a_header_that_is_framed_parses() {
    let mut framer = Framer::default();
    framer.push(HEADER.as_bytes());
    let Ok(Some(Frame::Open(tag))) = framer.next() else { panic!("no header") };
    assert_eq!(parse_open(tag).unwrap().to(), Some("b.example"));
}
