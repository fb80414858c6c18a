//! The table of the address mapping, row by row, and its laws.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use proptest::prelude::*;

fn s2x(uri: &str) -> Result<String, MapError> {
    let uri = Uri::parse(uri).unwrap_or_else(|error| panic!("{uri}: {error}"));
    jid_from_uri(&uri, &MapOptions::default()).map(|jid| jid.to_string())
}

fn x2s(jid: &str) -> String {
    let mut out = Vec::new();
    uri_from_jid(&Jid::parse(jid).unwrap(), &mut out);
    String::from_utf8(out).unwrap()
}

/// How a row of the table is read.
#[derive(PartialEq)]
enum Way {
    /// The JID leads back to this very URI.
    Both,
    /// The JID leads to another spelling, which leads to the JID.
    Into(&'static str),
}

#[test]
fn check_007_every_pair_round_trips() {
    use Way::{Both, Into};
    let rows = [
        ("sip:romeo@example.net", "romeo@example.net", Both),
        ("sip:f%C3%BC@sip.example", "fü@sip.example", Both),
        ("sip:o'malley@h.example", "o\\27malley@h.example", Both),
        ("sip:foo@h.example;gr=bar", "foo@h.example/bar", Both),
        ("sip:m&m@h.example", "m\\26m@h.example", Both),
        ("sip:tsch%C3%BCss@h.example", "tschüss@h.example", Both),
        ("sip:x/y@h.example", "x\\2fy@h.example", Both),
        ("sip:alice%40corp.com@gw.h.example", "alice\\40corp.com@gw.h.example", Both),
        ("sip:%22bob%22@h.example", "\\22bob\\22@h.example", Both),
        ("sip:a%20b@h.example", "a\\20b@h.example", Both),
        ("sip:50%25off@h.example", "50%off@h.example", Both),
        ("sip:john%23doe@h.example", "john#doe@h.example", Both),
        ("sip:a%5Eb%7Cc%7Bd%7D@h.example", "a^b|c{d}@h.example", Both),
        ("sip:%5Bx%5D@h.example", "[x]@h.example", Both),
        ("sip:foo%5Cbar@h.example", "foo\\bar@h.example", Both),
        ("sip:c%3A%5C5commas@h.example", "c\\3a\\5c5commas@h.example", Both),
        ("sip:%5C3and%5C2is%5C5cool@h.example", "\\5c3and\\2is\\5c5cool@h.example", Both),
        ("sip:a%5C2Fb@h.example", "a\\5c2fb@h.example", Into("sip:a%5C2fb@h.example")),
        ("sip:Alice.Smith@EXAMPLE.com", "alice.smith@example.com", Into("sip:alice.smith@example.com")),
        ("sip:%61lice@h.example", "alice@h.example", Into("sip:alice@h.example")),
        ("sip:%EF%BC%A1lice@h.example", "alice@h.example", Into("sip:alice@h.example")),
        ("sip:%E6%97%A5%E6%9C%AC@h.example", "日本@h.example", Both),
        ("sip:bob;day=tuesday@h.example", "bob;day=tuesday@h.example", Both),
        (
            "sip:+15551230001;ext=12@h.example;user=phone",
            "+15551230001;ext=12@h.example",
            Into("sip:+15551230001;ext=12@h.example"),
        ),
        (
            "sip:bob:secret@h.example:5071;transport=tcp;lr?Subject=x",
            "bob@h.example",
            Into("sip:bob@h.example"),
        ),
        ("sip:bob@[2001:db8::1]:5061", "bob@[2001:db8::1]", Into("sip:bob@[2001:db8::1]")),
        ("sip:bob@192.0.2.4", "bob@192.0.2.4", Both),
        ("sip:u@xn--bcher-kva.example", "u@bücher.example", Both),
        ("sip:u@example.com.", "u@example.com", Into("sip:u@example.com")),
        (
            "sip:baz@h.example;gr=urn:uuid:f81d4fae-7dec-11d0",
            "baz@h.example/urn:uuid:f81d4fae-7dec-11d0",
            Both,
        ),
        ("sip:baz@h.example;gr=%D0%A0%D0%B0%20b", "baz@h.example/Ра b", Both),
        ("sip:baz@h.example;gr=a/b%40c%3Bd%3D1", "baz@h.example/a/b@c;d=1", Both),
        ("sip:tgruu.7hs@h.example;gr", "tgruu.7hs@h.example", Into("sip:tgruu.7hs@h.example")),
        (
            "sip:u@h.example;opaque=user:epid:Xy..;gruu",
            "u@h.example/user:epid:Xy..",
            Into("sip:u@h.example;gr=user:epid:Xy.."),
        ),
        ("im:r@h.example", "r@h.example", Into("sip:r@h.example")),
        ("pres:r@h.example", "r@h.example", Into("sip:r@h.example")),
        ("sip:example.com", "example.com", Both),
        ("sip:u@h", "u@h", Both),
    ];
    for (uri, jid, way) in rows {
        assert_eq!(s2x(uri).as_deref(), Ok(jid), "{uri}");
        assert_eq!(Jid::parse(jid).unwrap().as_str(), jid);
        let back = match way {
            Both => uri,
            Into(other) => other,
        };
        assert_eq!(x2s(jid), back);
        assert_eq!(s2x(back).as_deref(), Ok(jid), "{back}");
    }
}

#[test]
fn check_001_ten_sequences_are_escapes_and_nothing_else() {
    let ten = [
        ("20", "%20"),
        ("22", "%22"),
        ("26", "&"),
        ("27", "'"),
        ("2f", "/"),
        ("3a", "%3A"),
        ("3c", "%3C"),
        ("3e", "%3E"),
        ("40", "%40"),
    ];
    for high in 0..16u8 {
        for low in 0..16u8 {
            let hex = format!("{high:x}{low:x}");
            let jid = format!("a\\{hex}z@h.example");
            let user = match ten.iter().find(|(escape, _)| *escape == hex) {
                Some((_, user)) => (*user).to_owned(),
                None if hex == "5c" => "%5C".to_owned(),
                None => format!("%5C{hex}"),
            };
            assert_eq!(x2s(&jid), format!("sip:a{user}z@h.example"));
        }
    }
    assert_eq!(x2s("\\2plus\\2is\\4@h.example"), "sip:%5C2plus%5C2is%5C4@h.example");
    assert_eq!(x2s("a\\@h.example"), "sip:a%5C@h.example");
    assert_eq!(x2s("a\\2@h.example"), "sip:a%5C2@h.example");
}

#[test]
fn check_002_the_user_is_decoded_before_it_is_escaped() {
    assert_eq!(s2x("sip:%27%2541%5c27@h.example").as_deref(), Ok("\\27%41\\5c27@h.example"));
    assert_eq!(s2x("SIP:a@h.example").as_deref(), Ok("a@h.example"));
}

#[test]
fn check_003_disallowed_characters_become_lower_case_hex() {
    let user = "sip:a%20%22&'/%3A%3C%3E%40z@h.example";
    assert_eq!(s2x(user).as_deref(), Ok("a\\20\\22\\26\\27\\2f\\3a\\3c\\3e\\40z@h.example"));
    assert_eq!(s2x("sip:%2f%2F@h.example").as_deref(), Ok("\\2f\\2f@h.example"));
}

#[test]
fn check_004_what_looks_like_an_escape_is_guarded() {
    for hex in ["20", "22", "26", "27", "2f", "3a", "3c", "3e", "40", "5c"] {
        assert_eq!(s2x(&format!("sip:a%5C{hex}@h.example")), Ok(format!("a\\5c{hex}@h.example")));
    }
    assert_eq!(s2x("sip:a%5C41%5C@h.example").as_deref(), Ok("a\\41\\@h.example"));
    assert_eq!(s2x("sip:%5C%5C27@h.example").as_deref(), Ok("\\\\5c27@h.example"));
}

#[test]
fn check_005_case_and_width_are_mapped_before_escapes_are_looked_for() {
    assert_eq!(s2x("sip:%5C2F@h.example").as_deref(), Ok("\\5c2f@h.example"));
    assert_eq!(s2x("sip:%5C5Cx@h.example").as_deref(), Ok("\\5c5cx@h.example"));
    // Full-width backslash, 2 and F; full-width @.
    assert_eq!(s2x("sip:%EF%BC%BC%EF%BC%92%EF%BC%A6@h.example").as_deref(), Ok("\\5c2f@h.example"));
    assert_eq!(s2x("sip:a%EF%BC%A0b@h.example").as_deref(), Ok("a\\40b@h.example"));
}

#[test]
fn check_006_other_characters_are_encoded_octet_by_octet() {
    let kept = "abcxyz0189-_.!~*()=+$,;?";
    assert_eq!(x2s(&format!("{kept}@h.example")), format!("sip:{kept}@h.example"));
    assert_eq!(
        x2s("#%[\\]^`{|}é日@h.example"),
        "sip:%23%25%5B%5C%5D%5E%60%7B%7C%7D%C3%A9%E6%97%A5@h.example"
    );
}

#[test]
fn check_008_parts_are_measured_after_escaping() {
    let uri = |user: &str| s2x(&format!("sip:{user}@h.example"));
    assert!(uri(&"a".repeat(1023)).is_ok());
    assert_eq!(uri(&"a".repeat(1024)), Err(MapError::Forbidden));
    assert_eq!(uri(&"'".repeat(341)).unwrap(), format!("{}@h.example", "\\27".repeat(341)));
    assert_eq!(uri(&"'".repeat(342)), Err(MapError::Forbidden));
    assert_eq!(s2x(&format!("sip:a@h.example;gr={}", "a".repeat(1024))), Err(MapError::Forbidden));
}

#[test]
fn check_009_no_space_at_an_end() {
    for user in ["%20a", "a%20", "%20", "%E3%80%80a"] {
        assert_eq!(s2x(&format!("sip:{user}@h.example")), Err(MapError::Forbidden), "{user}");
    }
    assert_eq!(s2x("sip:a%20%20b@h.example").as_deref(), Ok("a\\20\\20b@h.example"));
}

#[test]
fn check_011_a_lasting_instance_is_the_resource() {
    for (uri, jid) in [
        ("sip:u@h.example;gr=Ab", "u@h.example/Ab"),
        ("sip:u@h.example;transport=tcp;GR=Ab;lr", "u@h.example/Ab"),
        ("sip:u@h.example;gr", "u@h.example"),
        ("sip:u@h.example;gr;opaque=x;gruu", "u@h.example"),
        ("sip:u@h.example;opaque=x", "u@h.example"),
        ("sip:u@h.example;opaque=x;gruu", "u@h.example/x"),
        ("sip:u@h.example;gruu", "u@h.example"),
        ("sip:u@h.example;user=gr", "u@h.example"),
        ("sip:h.example;gr=x", "h.example/x"),
    ] {
        assert_eq!(s2x(uri).as_deref(), Ok(jid), "{uri}");
    }
    assert_eq!(x2s("h.example/x y"), "sip:h.example;gr=x%20y");
    assert_eq!(s2x("sip:u@h.example;gr=%20x"), Err(MapError::Forbidden));
}

#[test]
fn check_012_domain_and_resource_are_never_escaped() {
    assert_eq!(s2x("sip:u@h.example;gr=%5C27%27&%5C40").as_deref(), Ok("u@h.example/\\27'&\\40"));
    assert_eq!(x2s("u@h.example/\\27'&\\40\\5c"), "sip:u@h.example;gr=%5C27'&%5C40%5C5c");
}

#[test]
fn check_013_sips_is_mapped_by_agreement_only() {
    let uri = Uri::parse("sips:r@h.example").unwrap();
    let error = jid_from_uri(&uri, &MapOptions::default()).unwrap_err();
    assert_eq!((error, error.status_as_target(), error.warn_code()), (MapError::Sips, 480, 380));
    let agreed = MapOptions { allow_sips: true, ..MapOptions::default() };
    assert_eq!(jid_from_uri(&uri, &agreed).unwrap().as_str(), "r@h.example");
}

#[test]
fn check_014_other_schemes_are_416_and_tel_needs_a_domain() {
    for uri in ["mailto:a@h.example", "urn:service:sos", "http://h.example/", "xmpp:a@h.example"] {
        assert_eq!(s2x(uri).unwrap_err().status_as_target(), 416, "{uri}");
    }
    assert_eq!(s2x("tel:+1-555-123-0001").unwrap_err().status_as_target(), 416);
    let domain = Domain::parse("tel.example").unwrap();
    let opts = MapOptions { tel_domain: Some(&domain), ..MapOptions::default() };
    let tel = |uri| jid_from_uri(&Uri::parse(uri).unwrap(), &opts).map(|jid| jid.to_string());
    assert_eq!(tel("tel:+1-555-123-0001").as_deref(), Ok("+15551230001@tel.example"));
    assert_eq!(tel("tel:+1.(555).1230001;isub=1").as_deref(), Ok("+15551230001@tel.example"));
    assert_eq!(tel("tel:+15551230001;ext=1-2").as_deref(), Ok("+15551230001;ext=12@tel.example"));
    assert_eq!(tel("tel:7042;phone-context=example.com"), Err(MapError::Tel));
    assert_eq!(tel("tel:+1555;ext=a"), Err(MapError::Tel));
    assert_eq!(s2x("im:h.example"), Err(MapError::NoUser));
}

#[test]
fn check_015_nothing_but_user_host_and_gr_crosses() {
    let uri = "sip:u:p%40w@h.example:5071;method=INVITE;transport=tcp;lr;maddr=9.9.9.9;ttl=1;x=y;gr=r?Subject=x&To=y";
    assert_eq!(s2x(uri).as_deref(), Ok("u@h.example/r"));
}

#[test]
fn check_016_addresses_are_compared_escaped_and_prepared() {
    assert_eq!(s2x("sip:A%27B@H.example"), s2x("sip:a'b@h.example."));
    assert_ne!(Jid::parse("a\\27b@h.example"), Jid::parse("a\\5c27b@h.example"));
    assert_ne!(s2x("sip:a%5C27b@h.example"), s2x("sip:a'b@h.example"));
}

#[test]
fn what_has_no_jid_is_refused_with_a_status() {
    for (uri, target, originator) in [
        ("sip:%C3%28@h.example", 400, 400),
        ("sip:%FF@h.example", 400, 400),
        ("sip:%ED%A0%80@h.example", 400, 400),
        ("sip:a%00@h.example", 400, 400),
        ("sip:a%0D%0Ab@h.example", 400, 400),
        ("sip:a%C2%85@h.example", 400, 400),
        ("sip:a@h.example;gr=%00", 400, 400),
        ("sip:a@h.example;gr=%FF", 400, 400),
        ("sip:%E2%99%9A@h.example", 404, 400),
        ("sip:a%C2%ADb@h.example", 404, 400),
        ("sip:a%E2%80%8Bb@h.example", 404, 400),
        ("sip:a@xn--a.example", 404, 400),
    ] {
        let error = s2x(uri).unwrap_err();
        assert_eq!((error.status_as_target(), error.status_as_originator()), (target, originator), "{uri}");
    }
    for uri in ["sip:@h.example", "sip:", "sip:a%@h.example", "sip:a%4@h.example", "sip:a b@h.example"] {
        assert!(Uri::parse(uri).is_err(), "{uri}");
    }
    assert_eq!(decoded("a%"), Err(MapError::BadSyntax));
    assert_eq!(decoded("a%4"), Err(MapError::BadSyntax));
    assert_eq!(decoded("%4x"), Err(MapError::BadSyntax));
}

#[test]
fn a_mark_does_not_turn_an_escape_into_a_letter() {
    // "/" with a dot above would be escaped to "\2f", whose "f" would take the dot.
    assert_eq!(s2x("sip:/%CC%87@h.example"), Err(MapError::Forbidden));
    assert_eq!(s2x("sip:%3E%CC%81@h.example"), Err(MapError::Forbidden));
    assert_eq!(s2x("sip:%5C2f%CC%87@h.example").as_deref(), Ok("\\2ḟ@h.example"));
}

#[test]
fn a_surplus_escape_has_a_uri_that_leads_to_the_plain_address() {
    assert_eq!(x2s("\\5cfoo@h.example"), "sip:%5Cfoo@h.example");
    assert_eq!(s2x("sip:%5Cfoo@h.example").as_deref(), Ok("\\foo@h.example"));
    assert_eq!(x2s("\\20a@h.example"), "sip:%20a@h.example");
}

#[test]
fn threat_101_a_jid_stays_inside_one_uri() {
    for (local, resource) in [
        ("a%0d%0ab", "r"),
        ("a;transport=udp", "r;transport=udp"),
        ("a?h=x", "r?h=x"),
        ("\\20\\40x", "\\20\\40"),
        ("\\22a\\22", "\"a\""),
        ("a\\3cb\\3e", "<sip:x>"),
        ("a\\40evil.example\\3a5060", "@evil.example"),
        ("a,b", "a,b=c"),
        ("a\\3ab", "%00"),
    ] {
        let jid = Jid::parse(&format!("{local}@h.example/{resource}")).unwrap();
        let text = x2s(jid.as_str());
        let uri = Uri::parse(&text).unwrap();
        assert_eq!(
            (uri.host, uri.password, uri.port, uri.headers),
            ("h.example", None, None, None),
            "{text}"
        );
        assert_eq!(uri.params().map(|(name, _)| name).collect::<Vec<_>>(), ["gr"], "{text}");
        assert!(text.bytes().all(|octet| octet.is_ascii_graphic() && !b"\"<>\\".contains(&octet)), "{text}");
    }
}

#[test]
fn threat_117_a_user_part_never_changes_domain_or_resource() {
    for user in [
        "%40evil.example",
        "a%2Fb",
        "a%40b%2Fc",
        "%2F%2F",
        "a%3Bgr=x",
        "a;gr=x",
        "a?x",
        "%5C40x",
        "%5C%5C",
        "a%00",
        "a%0d%0a",
        "%FF",
        "a%C0%AF",
        "%EF%BC%A0x",
        "a%EF%BC%8Fb",
        "%25%34%30",
    ] {
        let text = format!("sip:{user}@h.example;gr=r");
        match jid_from_uri(&Uri::parse(&text).unwrap(), &MapOptions::default()) {
            Ok(jid) => {
                assert_eq!((jid.domain(), jid.resource()), ("h.example", Some("r")), "{user}");
                assert_eq!(Jid::parse(jid.as_str()).unwrap().domain(), "h.example", "{user}");
            }
            Err(error) => assert_eq!(error.status_as_target(), 400, "{user}"),
        }
    }
}

/// XEP-0106 §4.2 for a user part that is mapped already, written on its own.
fn reference_escape(user: &str) -> String {
    let mut out = user.to_owned();
    for hex in ["5c", "20", "22", "26", "27", "2f", "3a", "3c", "3e", "40"] {
        out = out.replace(&format!("\\{hex}"), &format!("\u{1}{hex}"));
    }
    for c in " \"&'/:<>@".chars() {
        out = out.replace(c, &format!("\\{:02x}", u32::from(c)));
    }
    out.replace('\u{1}', "\\5c")
}

/// Encodes each octet that the mask picks, and all that must be.
fn percent(text: &str, mask: &[bool]) -> String {
    let plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(octet);
    text.bytes()
        .zip(mask.iter().cycle())
        .map(|(octet, pick)| match plain(&octet) && !pick {
            true => char::from(octet).to_string(),
            false => format!("%{octet:02X}"),
        })
        .collect()
}

const USERS: &str = "[a-z0-9\\\\ \"&'/:<>@#%;?=+$,.|{}^`\\[\\]~()!*_\\-25cfßüж日]{1,24}|(\\\\(5c|2[0267f]|3[ace]|40|4)|[ab\\\\5c]){1,6}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_user_part_comes_back_from_its_jid(
        user in USERS,
        mask in proptest::collection::vec(any::<bool>(), 1..24),
    ) {
        let ends = user.starts_with(' ') || user.ends_with(' ');
        let text = format!("sip:{}@h.example", percent(&user, &mask));
        let jid = jid_from_uri(&Uri::parse(&text).unwrap(), &MapOptions::default());
        if ends {
            prop_assert_eq!(jid, Err(MapError::Forbidden));
            return Ok(());
        }
        let jid = jid.unwrap();
        prop_assert_eq!(jid.local().unwrap(), reference_escape(&user));
        prop_assert_eq!(&Jid::parse(jid.as_str()).unwrap(), &jid);
        let back = x2s(jid.as_str());
        let uri = Uri::parse(&back).unwrap();
        prop_assert_eq!(decoded(uri.user.unwrap()).unwrap(), user);
        prop_assert_eq!(jid_from_uri(&uri, &MapOptions::default()).unwrap(), jid);
    }

    #[test]
    fn threat_131_spellings_that_prepare_alike_are_one_jid(
        user in "[a-z0-9'/@üжω]{1,12}",
        style in proptest::collection::vec(0u8..4, 12),
        mask in proptest::collection::vec(any::<bool>(), 1..24),
        tail in "(:[a-z]{1,4})?@(H\\.EXAMPLE|h\\.example|h\\.Example)\\.?(:5060)?(;gr=[a-z]{1,3})?(;lr)?",
    ) {
        let spelled: String = user.chars().zip(&style).map(|(c, style)| match style {
            1 => c.to_uppercase().collect(),
            2 if c.is_ascii_graphic() => char::from_u32(c as u32 + 0xfee0).unwrap().to_string(),
            3 if c == 'ü' => "u\u{308}".to_owned(),
            _ => c.to_string(),
        }).collect();
        let text = format!("sip:{}{tail}", percent(&spelled, &mask));
        let jid = jid_from_uri(&Uri::parse(&text).unwrap(), &MapOptions::default()).unwrap();
        let plain = format!("{}@h.example", reference_escape(&user));
        prop_assert_eq!(jid.bare_str(), plain);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_jid_comes_back_from_its_uri(
        user in USERS,
        domain in "h\\.example|bücher\\.example|192\\.0\\.2\\.4|\\[2001:db8::1\\]",
        resource in proptest::option::of("[!-~éЯ🦀]{1}[ -~éЯ🦀]{0,12}"),
    ) {
        prop_assume!(!user.starts_with(' ') && !user.ends_with(' '));
        let domain = Domain::parse(&domain).unwrap();
        let jid = Jid::from_parts(Some(&reference_escape(&user)), &domain, resource.as_deref()).unwrap();
        let text = x2s(jid.as_str());
        prop_assert!(text.is_ascii());
        prop_assert_eq!(jid_from_uri(&Uri::parse(&text).unwrap(), &MapOptions::default()).unwrap(), jid);
    }

    #[test]
    fn every_jid_has_a_uri_and_no_input_breaks_the_map(local in "\\PC{1,16}", resource in "\\PC{1,16}") {
        let domain = Domain::parse("h.example").unwrap();
        if let Ok(jid) = Jid::from_parts(Some(&local), &domain, Some(&resource)) {
            let text = x2s(jid.as_str());
            let uri = Uri::parse(&text).unwrap();
            prop_assert_eq!((uri.host, uri.password, uri.headers), ("h.example", None, None));
            if let Ok(back) = jid_from_uri(&uri, &MapOptions::default()) {
                prop_assert_eq!(back.resource(), jid.resource());
            }
        }
        let text = format!("sip:{}@h.example", percent(&local, &[true]));
        let _ = jid_from_uri(&Uri::parse(&text).unwrap(), &MapOptions::default());
    }
}
