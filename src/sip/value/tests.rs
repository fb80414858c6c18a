//! Values alone: what is taken, what is not, and where each part is.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

#[test]
fn vias() {
    let via =
        Via::parse("SIP/2.0/TLS [2001:db8::9]:5061;branch=z9hG4bKx;rport;received=2001:db8::1;x=\"a;b\"")
            .unwrap();
    assert_eq!((via.transport, via.host, via.port), ("TLS", "[2001:db8::9]", Some(5061)));
    assert_eq!((via.branch, via.rport, via.received), (Some("z9hG4bKx"), Some(None), Some("2001:db8::1")));
    assert_eq!(via.params.value("X"), Some("\"a;b\""));
    assert_eq!(Via::parse("SIP/2.0/UDP h;rport=5061").unwrap().rport, Some(Some(5061)));
    assert_eq!(Via::parse("SIP/2.0/tcp WIN_1.corp.example").unwrap().transport, "tcp");
    for bad in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 UDP h",
        "SIP/2.0/UDP h;",
        "SIP/2.0/UDP h;;x",
        "SIP/2.0/UDP h,x",
        "SIP/2.0/UDP h:",
        "SIP/2.0/UDP h:65536",
        "SIP/2.0/UDP h:x",
        "SIP/2.0/UDP h y",
        "SIP/2.0/UDPh",
        "SIP/2.0/UDP h;rport=x",
        "SIP/2.0/UDP h;branch",
        "SIP/2.0/UDP h;branch=a;BRANCH=b",
        "SIP/2.0/UDP [::1",
        "SIP/2.0/UDP [::x]",
        "SIP/2.0/UDP ;branch=x",
        "SIP/2.0/UDP h;x=\"",
        "SIP/2.0/UDP h;x=\"\\",
        "SIP/2.0/UDP \u{e9}",
        "SIP/2.0/UDP h;x=\"\\\u{e9}",
    ] {
        assert_eq!(Via::parse(bad), Err(Malformed), "{bad:?}");
    }
}

#[test]
fn addresses() {
    let full = NameAddr::parse("\"A \\\"B\\\" <c>\" <sip:a@h;lr?x=1>;tag=t;q=\"x>\"").unwrap();
    assert_eq!(full.display().unwrap(), "A \"B\" <c>");
    assert_eq!((full.uri, full.tag), ("sip:a@h;lr?x=1", Some("t")));
    assert_eq!(full.params.value("q"), Some("\"x>\""));
    let bare = NameAddr::parse("sip:a@h ; tag = t").unwrap();
    assert_eq!((bare.display(), bare.uri, bare.tag), (None, "sip:a@h", Some("t")));
    assert_eq!(bare.address.params, "");
    let tokens = NameAddr::parse("Alice  B. <sip:a@h>").unwrap();
    assert_eq!(tokens.display().unwrap(), "Alice  B.");
    // A backslash before a character outside of ASCII is no quoted pair, but harmless.
    assert_eq!(NameAddr::parse("\"a\\é\" <sip:a@h>").unwrap().display().unwrap(), "aé");
    assert_eq!(NameAddr::parse("\"\" <sip:a@h>").unwrap().display().unwrap(), "");
    for bad in [
        "",
        "<>",
        "sip",
        "<sip:a@h",
        "sip:a@h>",
        "\"x\" sip:a@h",
        "\"x <sip:a@h>",
        "Bell, A <sip:a@h>",
        "< sip:a@h>",
        "<sip:a@h >",
        "<sip:a@h> x",
        "<sip:a@h><sip:b@h>",
        "<sip:a@h>;",
        "<sip:a@h>;tag",
        "<sip:a@h>;tag=\"x\"",
        "<sip:a@h>;tag=a;tag=b",
        "sip:a@h?x=1",
        "sip:a,b@h",
        "sip:a@h,",
        "<<sip:a@h>>",
        "é <sip:a@h>",
        "sip:user;par=u%40example.net@example.com",
        "\"x\"<sip:a@h>y",
    ] {
        assert_eq!(NameAddr::parse(bad), Err(Malformed), "{bad:?}");
    }
}

#[test]
fn pitfall_12_contacts_are_a_list_with_a_star() {
    assert_eq!(Contact::parse("*"), Ok(Contact::Star));
    assert!(Contact::parse("**").is_err());
    assert!(Contact::parse("*;x").is_err());
    let list: Vec<_> =
        Values::of("<sip:a@h>, \"x, y\" <sip:b@h>;q=0.5").map(|v| Contact::parse(v.unwrap())).collect();
    assert!(matches!(list[..], [Ok(Contact::Address(a)), Ok(Contact::Address(b))]
        if a.uri == "sip:a@h" && b.uri == "sip:b@h"));
}

#[test]
fn lists_split_at_top_level_commas_only() {
    let split = |text| Values::of(text).collect::<Vec<_>>();
    assert_eq!(split("a , b,c"), [Ok("a"), Ok("b"), Ok("c")]);
    assert_eq!(split("\"a,\\\",b\" <x,y>,c"), [Ok("\"a,\\\",b\" <x,y>"), Ok("c")]);
    assert_eq!(split(""), [Ok("")]);
    assert_eq!(split("a,,"), [Ok("a"), Ok(""), Ok("")]);
    assert_eq!(split("a,\"b"), [Ok("a"), Ok("\"b")]);
    assert_eq!(split("a,\"b,"), [Ok("a"), Err(Malformed)]);
    assert_eq!(split("<a,b"), [Err(Malformed)]);
    assert_eq!(split("\"\\,"), [Err(Malformed)]);
}

#[test]
fn threat_076_cseq_ends_below_two_to_the_31() {
    let cseq = CSeq::parse("2147483647 \t MESSAGE").unwrap();
    assert_eq!((cseq.number, cseq.method), (2_147_483_647, Method::Message));
    assert_eq!(CSeq::parse("0009 INVITE").unwrap().number, 9);
    for bad in [
        "2147483648 MESSAGE",
        "4294967296 MESSAGE",
        "-1 MESSAGE",
        "+1 MESSAGE",
        "MESSAGE",
        "1",
        "1 ",
        "1MESSAGE",
        "1 MESS AGE",
        " 1 MESSAGE",
        "36893488147419103232 MESSAGE",
        "",
    ] {
        assert_eq!(CSeq::parse(bad), Err(Malformed), "{bad:?}");
    }
}

#[test]
fn pitfall_18_content_type_keeps_its_quotes() {
    let media = MediaType::parse("multipart/mixed ; boundary=\"a;b\"; x=y").unwrap();
    assert_eq!(media.params.value("boundary"), Some("\"a;b\""));
    assert_eq!(media.param("boundary").unwrap(), "a;b");
    assert_eq!(media.raw, "multipart/mixed ; boundary=\"a;b\"; x=y");
    assert!(MediaType::parse("Text / PLAIN").unwrap().is("text", "plain"));
    assert!(MediaType::parse("text/*").unwrap().takes("text", "html"));
    assert!(MediaType::parse("*/*;q=0.1").unwrap().takes("text", "html"));
    assert!(!MediaType::parse("text/plain").unwrap().takes("text", "html"));
    for bad in ["", "text", "text/", "/plain", "text/plain;", "text/plain x", "text/plain;a=b;a=c"] {
        assert_eq!(MediaType::parse(bad), Err(Malformed), "{bad:?}");
    }
}

#[test]
fn the_smaller_values() {
    let state = Tagged::parse("terminated ; reason=deactivated;retry-after=5").unwrap();
    assert_eq!((state.token, state.params.value("reason")), ("terminated", Some("deactivated")));
    assert_eq!(Tagged::parse("presence;id=1").unwrap().params.value("ID"), Some("1"));
    let warning = Warning::parse("399 host:5060 \"a \\\"b\\\"\"").unwrap();
    assert_eq!((warning.code, warning.agent), (399, "host:5060"));
    assert_eq!(unquote(warning.text), "a \"b\"");
    for bad in ["1812 overture \"x\"", "399 h x", "399 \"x\"", "399 h \"x", "399 h \"x\" y"] {
        assert_eq!(Warning::parse(bad), Err(Malformed), "{bad:?}");
    }
    assert_eq!(retry_after("120 (busy);duration=5"), Ok(120));
    assert_eq!(retry_after("949302838503028349304023988"), Err(Malformed));
    assert_eq!(retry_after(""), Err(Malformed));
    assert_eq!(unquote("\"a\\\\\\\"b\""), "a\\\"b");
    assert_eq!(unquote("plain"), "plain");
    assert_eq!(unquote("\""), "\"");
}

#[test]
fn dates_are_gmt_and_round_trip() {
    let time = date("Sat, 13 Nov 2010 23:29:00 GMT").unwrap();
    assert_eq!(time.as_secs(), 1_289_690_940);
    let mut out = Vec::new();
    write_date(time, &mut out);
    assert_eq!(out, b"Sat, 13 Nov 2010 23:29:00 GMT");
    for bad in [
        "",
        "Fri, 01 Jan 2010 16:00:00 EST",
        "Sat, 13 Nov 2010 23:29:00 UTC",
        "Sun, 13 Nov 2010 23:29:00 GMT",
        "Sat, 13 Nov 2010 25:29:00 GMT",
        "Sat, 31 Feb 2010 23:29:00 GMT",
        "Sat, 01 Nov 1969 23:29:00 GMT",
        "2010-11-13T23:29:00Z",
    ] {
        assert_eq!(date(bad), Err(Malformed), "{bad:?}");
    }
}

#[test]
fn pitfall_13_white_space_around_separators() {
    let params = Params::parse(" ; a = b ;c\t;\td = \"e\" ").unwrap();
    let all: Vec<_> = params.iter().collect();
    assert_eq!(all, [("a", Some("b")), ("c", None), ("d", Some("\"e\""))]);
}

#[test]
fn pitfall_19_parameters_are_counted_and_unique() {
    let with = |count: usize| (0..count).fold(String::new(), |text, i| text + &format!(";p{i}"));
    assert_eq!(Params::parse(&with(64)).unwrap().iter().count(), 64);
    assert_eq!(Params::parse(&with(65)), Err(Malformed));
    assert_eq!(Params::parse(";a;A=1"), Err(Malformed));
    assert_eq!(Params::parse(&";".repeat(65_536)), Err(Malformed));
}
