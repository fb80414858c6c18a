//! Bodies in, text out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use proptest::prelude::*;

fn read<'a>(content_type: &'a str, body: &'a str) -> Result<Text<'a>, BodyError> {
    let part = Part { content_type: Some(content_type), octets: body.as_bytes(), ..Part::default() };
    text_of(&part, &Limits::default())
}

#[track_caller]
fn plain(content_type: &str, body: &str) -> String {
    read(content_type, body).unwrap().plain.into_owned()
}

#[test]
fn check_017_plain_text_crosses_exactly() {
    let text = read("text/plain;charset=UTF-8", "Wherefore art <thou> & \"Romeo\"? 日本 🦀\n").unwrap();
    assert_eq!(text.plain, "Wherefore art <thou> & \"Romeo\"? 日本 🦀\n");
    assert!(matches!(text.plain, Cow::Borrowed(_)));
    assert_eq!((text.html, text.lang, text.cpim), (None, None, None));
    assert_eq!(plain("text/plain", "a\r\nb"), "a\nb");
    assert_eq!(plain("text/plain; charset=UTF-8; msgr=WAAtAE0A", "x"), "x");
    let latin = Part {
        content_type: Some("TEXT/PLAIN;Charset=\"ISO-8859-1\""),
        octets: b"caf\xe9",
        ..Part::default()
    };
    assert_eq!(text_of(&latin, &Limits::default()).unwrap().plain, "café");
}

#[test]
fn check_017_text_that_is_none_is_refused() {
    let octets = |content_type, octets| {
        text_of(&Part { content_type, octets, ..Part::default() }, &Limits::default()).unwrap_err()
    };
    assert_eq!(octets(Some("text/plain"), b"\xff").status(), 400);
    let error = octets(Some("text/plain;charset=x-klingon"), b"a");
    assert_eq!((error.status(), error.accept()), (415, Some("text/plain;charset=utf-8")));
    assert_eq!(octets(None, b"a").status(), 400);
    assert_eq!(octets(Some("plain"), b"a").status(), 400);
}

#[test]
fn an_empty_body_is_an_empty_text() {
    for content_type in [None, Some("text/plain"), Some("image/png")] {
        let text = text_of(&Part { content_type, ..Part::default() }, &Limits::default()).unwrap();
        assert!(text.is_empty() && text.is_blank());
    }
    let text = read("text/plain", " \r\n").unwrap();
    assert!(!text.is_empty() && text.is_blank());
}

#[test]
fn a_language_goes_with_the_text() {
    let part =
        Part { content_type: Some("text/plain"), language: Some("cs"), octets: b"Ahoj", ..Part::default() };
    assert_eq!(text_of(&part, &Limits::default()).unwrap().lang, Some("cs"));
    let several = Part { language: Some("cs, en"), ..part };
    assert_eq!(text_of(&several, &Limits::default()).unwrap().lang, None);
}

#[test]
fn check_030_html_has_a_plain_rendition() {
    let text = read("text/html", "<p>Hi &amp; <b>bye</b></p><script>x</script>").unwrap();
    assert_eq!(text.plain, "Hi & bye");
    assert_eq!(text.html.as_deref(), Some("<p>Hi &amp; <b>bye</b></p><script>x</script>"));
}

#[test]
fn threat_115_markup_in_plain_text_stays_text() {
    let body = "</body></message><message to='x'><![CDATA[&amp;]]>";
    assert_eq!(plain("text/plain", body), body);
    assert_eq!(plain("text/html", "&lt;/body&gt;&lt;message/&gt;"), "</body><message/>");
}

#[test]
fn check_031_alternatives_give_plain_and_html() {
    let body = "--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n--b\r\nContent-Type: text/html\r\n\r\n<b>rich</b>\r\n\
        --b\r\nContent-Type: application/x-ms-ink\r\n\r\nink\r\n--b--\r\n";
    let text = read("multipart/alternative;boundary=b", body).unwrap();
    assert_eq!((text.plain.as_ref(), text.html.as_deref()), ("plain", Some("<b>rich</b>")));
    assert!(matches!(text.plain, Cow::Borrowed(_)));
    let only_html = "--b\r\nContent-Type: text/html\r\n\r\n<b>rich</b>\r\n--b--";
    assert_eq!(plain("multipart/alternative;boundary=\"b\"", only_html), "rich");
    let none = "--b\r\nContent-Type: image/gif\r\n\r\nx\r\n--b--";
    assert_eq!(read("multipart/alternative;boundary=b", none), Err(BodyError::UnsupportedType));
}

#[test]
fn check_031_mixed_parts_are_joined() {
    let body = "This is the preamble.\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>two</p>\r\n\
        --b\r\nContent-Transfer-Encoding: base64\r\n\r\ndGhyZWU=\r\n\
        --b\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nvier=E9\r\n--b--";
    let text = read("multipart/mixed; boundary=b", body).unwrap();
    assert_eq!((text.plain.as_ref(), text.html), ("one\ntwo\nthree\nvieré", None));
    let related = "--b\r\nContent-Type: text/html\r\n\r\n<i>x</i>\r\n--b--";
    let text = read("multipart/related; boundary=b", related).unwrap();
    assert_eq!((text.plain.as_ref(), text.html.as_deref()), ("x", Some("<i>x</i>")));
}

#[test]
fn check_031_multiparts_nest() {
    let body = "--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\nContent-Type: text/plain\r\n\r\nin\r\n\
        --i\r\nContent-Type: text/html\r\n\r\n<b>in</b>\r\n--i--\r\n\r\n--o\r\n\r\nout\r\n--o--";
    assert_eq!(plain("multipart/mixed;boundary=o", body), "in\nout");
    let nest = |depth: usize| {
        let mut body = "\r\ndeep".to_owned();
        for level in (1..depth).rev() {
            body = format!(
                "Content-Type: multipart/mixed;boundary=b{level}\r\n\r\n--b{level}\r\n{body}\r\n--b{level}--"
            );
        }
        format!("--b0\r\n{body}\r\n--b0--")
    };
    assert_eq!(plain("multipart/mixed;boundary=b0", &nest(4)), "deep");
    assert_eq!(read("multipart/mixed;boundary=b0", &nest(5)), Err(BodyError::TooDeep));
    let wide = |parts| format!("{}--b--", "--b\r\n\r\nx\r\n".repeat(parts));
    assert!(read("multipart/mixed;boundary=b", &wide(32)).is_ok());
    assert_eq!(read("multipart/mixed;boundary=b", &wide(33)), Err(BodyError::TooDeep));
}

#[test]
fn check_031_a_broken_multipart_is_400() {
    for (content_type, body) in [
        ("multipart/mixed", "--b\r\n\r\nx\r\n--b--"),
        ("multipart/mixed;boundary=\"\"", "--\r\n\r\nx\r\n----"),
        ("multipart/mixed;boundary=b", "no parts"),
        ("multipart/mixed;boundary=b", "--b\r\n\r\nnot closed"),
        ("multipart/mixed;boundary=b", "--b\r\nno header\r\n--b--"),
        ("multipart/mixed;boundary=b", "--b\r\nContent-Transfer-Encoding: base64\r\n\r\n!!\r\n--b--"),
    ] {
        assert_eq!(read(content_type, body).unwrap_err().status(), 400, "{body:?}");
    }
}

#[test]
fn check_032_a_required_part_is_415_and_an_optional_one_is_ignored() {
    let error = read("image/png", "x").unwrap_err();
    assert_eq!((error.status(), error.accept(), error.accept_encoding()), (415, Some(ACCEPT), None));
    for listed in ACCEPT.split(", ") {
        assert!(MediaType::parse(listed).is_some());
        let part = Part { content_type: Some(listed), octets: b"A: b", ..Part::default() };
        let signal = signal::signal_of(&part, &Limits::default()).err();
        let text = read(listed, "A: b").err();
        assert!(
            text.is_none_or(|error| Some(error) != Some(BodyError::UnsupportedType) || signal != text),
            "{listed}"
        );
    }
    let mixed = |disposition: &str| {
        format!(
            "--b\r\n\r\ntext\r\n--b\r\nContent-Type: image/png\r\nContent-Disposition: {disposition}\r\n\r\nx\r\n--b--"
        )
    };
    let read = |body: &str| read("multipart/mixed;boundary=b", body).map(|text| text.plain.into_owned());
    assert_eq!(read(&mixed("render")), Err(BodyError::UnsupportedType));
    assert_eq!(read(&mixed("icon;handling=required")), Err(BodyError::UnsupportedType));
    assert_eq!(read(&mixed("icon;handling=optional")).as_deref(), Ok("text"));
    let whole = Part {
        content_type: Some("image/png"),
        disposition: Some("render;handling=optional"),
        octets: b"x",
        ..Part::default()
    };
    assert!(text_of(&whole, &Limits::default()).unwrap().is_empty());
}

#[test]
fn check_032_a_content_encoding_is_415_with_accept_encoding() {
    let part = |encoding, disposition| {
        let content_type = Some("text/plain");
        text_of(
            &Part { content_type, encoding, disposition, octets: b"x", ..Part::default() },
            &Limits::default(),
        )
    };
    let error = part(Some("gzip"), None).unwrap_err();
    assert_eq!(
        (error.status(), error.accept(), error.accept_encoding()),
        (415, None, Some("identity, deflate"))
    );
    assert_eq!(part(Some("Identity"), None).unwrap().plain, "x");
    assert!(part(Some("gzip"), Some("render;handling=optional")).unwrap().is_empty());
}

#[test]
fn check_033_a_cpim_message_is_unwrapped() {
    let body = "From: Mallory <sip:ceo@h.example>\r\nTo: <im:r@h.example>\r\nSubject:;lang=en \\u0048i\r\n\
        DateTime: 2026-01-02T03:04:05Z\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: m1\r\n\
        imdn.Disposition-Notification: negative-delivery\r\n\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Language: en\r\n\r\nHello\r\nthere";
    let text = read("message/CPIM", body).unwrap();
    assert_eq!((text.plain.as_ref(), text.lang), ("Hello\nthere", Some("en")));
    let cpim = text.cpim.unwrap();
    assert_eq!((cpim.subject.as_deref(), cpim.subject_lang), (Some("Hi"), Some("en")));
    assert_eq!(
        (cpim.date.as_deref(), cpim.message_id.as_deref()),
        (Some("2026-01-02T03:04:05Z"), Some("m1"))
    );
    assert!(cpim.notify.failure && !cpim.notify.delivery);
    // Who wrote the CPIM From proved nothing, so nobody can see it.
    let secret = read("message/cpim", body).unwrap();
    assert!(!format!("{secret:?}").contains("ceo"));
    let alternative = body
        .replace("text/plain; charset=utf-8", "multipart/alternative;boundary=b")
        .replace("Hello\r\nthere", "--b\r\nContent-Type: text/html\r\n\r\n<p>x\r\n--b--");
    assert_eq!(plain("message/cpim", &alternative), "x");
    assert_eq!(
        read("message/cpim", "A: b\r\n\r\nContent-Type: message/imdn+xml\r\n\r\n<imdn/>"),
        Err(BodyError::UnsupportedType)
    );
}

#[test]
fn check_034_what_xml_cannot_hold_is_replaced_everywhere() {
    assert_eq!(plain("text/plain", "a\0b\u{1b}[1m\u{ffff}"), "a\u{fffd}b\u{fffd}[1m\u{fffd}");
    assert_eq!(plain("text/html", "a\u{1}&#1;b"), "a\u{fffd}\u{fffd}b");
    assert_eq!(plain("multipart/mixed;boundary=b", "--b\r\n\r\na\u{c}b\r\n--b--"), "a\u{fffd}b");
    let text = read("message/cpim", "Subject: a\u{1}b\\u0002\r\n\r\n\r\nx\u{3}").unwrap();
    assert_eq!((text.plain.as_ref(), text.cpim.unwrap().subject.as_deref()), ("x\u{fffd}", Some("a b")));
}

#[test]
fn threat_104_a_body_over_the_limit_is_413_and_never_cut() {
    let limits = Limits { octets: 10, ..Limits::default() };
    let read = |content_type, octets| {
        text_of(&Part { content_type: Some(content_type), octets, ..Part::default() }, &limits)
            .map(|text| text.plain.into_owned())
    };
    assert_eq!(read("text/plain", b"0123456789").as_deref(), Ok("0123456789"));
    let error = read("text/plain", b"0123456789a").unwrap_err();
    assert_eq!((error, error.status()), (BodyError::TooLarge, 413));
    // Ten octets that decode to thirty.
    assert_eq!(read("text/plain;charset=windows-1252", &[0x80; 10]), Err(BodyError::TooLarge));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn threat_116_no_body_gives_text_that_xml_cannot_hold(
        content_type in "text/(plain|html)(;charset=(utf-16|iso-2022-jp|gb18030|big5|windows-1252))?|multipart/(mixed|alternative);boundary=b|message/cpim",
        pieces in proptest::collection::vec(prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..8),
            proptest::sample::select(vec![
                &b"--b\r\n"[..], b"\r\n--b\r\n", b"\r\n--b--\r\n", b"\r\n\r\n", b"\r\n", b"Content-Type: text/html",
                b"Content-Type: message/cpim", b"Content-Transfer-Encoding: quoted-printable", b"Subject: x",
                b"<p>", b"&#2;", b"=01", b"\xef\xbf\xbf", b"\0", b"Content-Disposition: x;handling=optional",
                b"Content-Type: multipart/mixed;boundary=b",
            ]).prop_map(<[u8]>::to_vec),
        ], 0..16),
    ) {
        let octets = pieces.concat();
        let part = Part { content_type: Some(&content_type), octets: &octets, ..Part::default() };
        if let Ok(text) = text_of(&part, &Limits::default()) {
            let legal = |c: char| matches!(c, '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'..);
            prop_assert!(text.plain.chars().all(legal), "{:?}", text.plain);
            prop_assert!(text.html.unwrap_or_default().chars().all(legal));
            if let Some(subject) = text.cpim.and_then(|cpim| cpim.subject) {
                prop_assert!(subject.chars().all(legal));
            }
        }
    }
}
