#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn credentials(realm: &str, username: &str, password: &str) -> Credentials {
    Credentials { realm: realm.into(), username: username.into(), password: password.into() }
}

fn romeo() -> Credentials {
    credentials("example.net", "romeo", "pass")
}

const MESSAGE: Answering<'_> =
    Answering { method: "MESSAGE", uri: "sip:juliet@example.com", cnonce: "0a4f113b", count: 1 };

fn answer(challenge: &str, credentials: &Credentials, answering: &Answering<'_>) -> String {
    let mut out = Vec::new();
    Challenge::parse(challenge).unwrap().write(credentials, answering, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn response(answer: &str) -> &str {
    let (_, rest) = answer.split_once("response=\"").unwrap();
    rest.split_once('"').unwrap().0
}

#[test]
fn check_038_the_vectors_of_rfc_7616() {
    let mufasa = credentials("http-auth@example.org", "Mufasa", "Circle of Life");
    let get = Answering {
        method: "GET",
        uri: "/dir/index.html",
        cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        count: 1,
    };
    let challenge = |algorithm| {
        format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        )
    };
    let md5 = answer(&challenge("MD5"), &mufasa, &get);
    assert_eq!(response(&md5), "8ca523f5e9506fed4657c9700eebdbec");
    let sha = answer(&challenge("SHA-256"), &mufasa, &get);
    assert_eq!(response(&sha), "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
    assert_eq!(
        sha,
        "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", \
         nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", uri=\"/dir/index.html\", \
         response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", algorithm=SHA-256, \
         cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, nc=00000001, \
         opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
    );
}

#[test]
fn check_038_the_sha_512_256_vector_of_rfc_7616_as_its_erratum_has_it() {
    // RFC 7616 §3.9.2 prints what SHA-512 cut to 256 bits gives; erratum 4897 has the true values.
    assert_eq!(
        Hash::Sha512_256.of(&["abc"]),
        "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23",
        "FIPS 180-4"
    );
    let challenge = "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
         nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
         opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", charset=UTF-8, userhash=true";
    let doe = credentials("api@example.org", "J\u{e4}s\u{f8}n Doe", "Secret, or not?");
    let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
    let text = answer(challenge, &doe, &Answering { method: "GET", uri: "/doe.json", cnonce, count: 1 });
    assert_eq!(response(&text), "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
}

#[test]
fn check_038_the_vectors_of_rfc_2617_and_rfc_2069() {
    let get = Answering { method: "GET", uri: "/dir/index.html", cnonce: "0a4f113b", count: 1 };
    let nonce = "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";
    let new = format!("Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", {nonce}");
    let mufasa = credentials("testrealm@host.com", "Mufasa", "Circle Of Life");
    assert_eq!(response(&answer(&new, &mufasa, &get)), "6629fae49393a05397450978507c4ef1");
    let old = format!("Digest realm=\"testrealm@host.com\", {nonce}, opaque=\"5ccc\"");
    let mufasa = credentials("testrealm@host.com", "Mufasa", "CircleOfLife");
    let text = answer(&old, &mufasa, &get);
    assert_eq!(response(&text), "1949323746fe6a43ef61f9606e7febea", "RFC 2069 §2.4, corrected");
    assert!(!text.contains("qop") && !text.contains("nc=") && !text.contains("cnonce"), "{text}");
}

#[test]
fn check_038_session_algorithms_hash_the_nonces_into_the_secret() {
    let challenge =
        |name| format!("Digest realm=\"example.net\",nonce=\"abc\",qop=\"auth\",algorithm={name}");
    let given = |name| response(&answer(&challenge(name), &romeo(), &MESSAGE)).to_owned();
    assert_eq!(given("MD5-sess"), "f4bfa0ba0eb1b23835eccdc08d1dc276");
    assert_eq!(given("sha-256-SESS"), "9ed4be35b0155094076dd02355db9c9fac58496320f0e3b340eb15a2beb806a8");
}

#[test]
fn check_038_a_user_name_is_quoted_and_hashed_as_it_is_and_nc_is_hexadecimal() {
    let challenge = "Digest realm=\"example.net\", nonce=\"abc\", qop=\"auth\"";
    let odd = credentials("example.net", "ro\"m\\eo", "pass");
    let text = answer(challenge, &odd, &Answering { count: 10, ..MESSAGE });
    assert!(text.starts_with("Digest username=\"ro\\\"m\\\\eo\", realm="), "{text}");
    assert!(text.contains("nc=0000000a"));
    assert_eq!(response(&text), "a34a11cc4396daaa941b340719810b9f");
}

#[test]
fn check_038_a_challenge_is_answered_once() {
    let mine = romeo();
    let plain = ["Digest realm=\"example.net\", nonce=\"1\", qop=\"auth\""];
    for status in [401, 407] {
        let mut login = Login::default();
        assert!(login.on_challenge(status, plain, Some(&mine)).is_some());
        assert_eq!(login.on_challenge(status, plain, Some(&mine)), None, "it was refused");
    }
    let mut login = Login::default();
    assert!(login.on_challenge(407, plain, Some(&mine)).is_some());
    assert!(login.on_challenge(401, plain, Some(&mine)).is_some(), "the server behind the proxy");
    assert_eq!(login.on_challenge(407, plain, Some(&mine)), None);
    for status in [200, 400, 403, 404, 408, 500] {
        assert_eq!(Login::default().on_challenge(status, plain, Some(&mine)), None, "{status}");
    }
    assert_eq!(
        (Login::header(401), Login::header(407)),
        (Some("Authorization"), Some("Proxy-Authorization"))
    );
    assert_eq!(Login::header(403), None);
}

#[test]
fn check_038_a_stale_nonce_is_renewed_once() {
    let mine = romeo();
    let plain = ["Digest realm=\"example.net\", nonce=\"1\""];
    let stale = ["Digest realm=\"example.net\", nonce=\"2\", stale=TRUE"];
    let mut login = Login::default();
    assert!(login.on_challenge(401, plain, Some(&mine)).is_some());
    assert!(login.on_challenge(401, stale, Some(&mine)).is_some());
    assert_eq!(login.on_challenge(401, stale, Some(&mine)), None, "no storm");
}

#[test]
fn threat_106_without_credentials_for_the_realm_there_is_no_answer() {
    let plain = ["Digest realm=\"example.net\", nonce=\"1\""];
    assert_eq!(Login::default().on_challenge(401, plain, None), None);
    let other = credentials("other.example", "romeo", "pass");
    assert_eq!(Login::default().on_challenge(401, plain, Some(&other)), None, "a hash is worth stealing");
    assert!(!format!("{:?}", romeo()).contains("pass"));
}

#[test]
fn check_038_the_first_challenge_that_we_can_answer_is_taken() {
    let values = [
        "Basic realm=\"example.net\"",
        "Digest realm=\"example.net\", nonce=\"1\", algorithm=SHA-9999",
        "Digest realm=\"example.net\", nonce=\"2\", algorithm=SHA-256, qop=\"auth-int\"",
        "Digest realm=\"elsewhere.example\", nonce=\"3\", algorithm=SHA-256",
        "Digest realm=\"example.net\", nonce=\"4\", algorithm=SHA-256, qop=\"auth\"",
        "Digest realm=\"example.net\", nonce=\"5\", algorithm=MD5, qop=\"auth\"",
    ];
    let challenge = Login::default().on_challenge(401, values, Some(&romeo())).unwrap();
    assert_eq!((challenge.nonce, challenge.hash), ("4", Hash::Sha256));
}

#[test]
fn odd_but_legal_challenges_are_read() {
    for value in [
        "digest REALM=\"example.net\",NONCE=\"abc\",QOP=auth",
        "  Digest \t realm = \"example.net\" , nonce = \"abc\" , algorithm=\"MD5\", domain=\"sip:x\", qop=\" auth \"  ",
        "Digest nonce=\"abc\", x-new=token, realm=\"example.net\", charset=UTF-8",
    ] {
        let challenge = Challenge::parse(value).unwrap();
        assert_eq!((challenge.realm, challenge.nonce), ("example.net", "abc"), "{value}");
    }
}

#[test]
fn threat_109_hostile_challenges_do_no_harm() {
    let long = format!("Digest realm=\"{}\", nonce=\"x\"", "a".repeat(5000));
    let many = format!("Digest realm=\"a\", nonce=\"x\"{}", ", b=c".repeat(40));
    for value in [
        "",
        "Digest",
        "Digest ",
        "Digest realm",
        "Digest =",
        "Digest realm=\"a\"",
        "Digest realm=\"a\", nonce=\"x",
        "Digest realm=\"a\\\", nonce=\"x\"",
        "Digest realm=\"a\" nonce=\"x\"",
        "Digest realm=\"a\", nonce=\"x\",",
        "Digest realm=\"a\", nonce=\"x\", realm=\"b\"",
        "Digest realm=\"a\r\nX-Evil: 1\", nonce=\"x\"",
        "Digest realm=\"a\\\r\", nonce=\"x\"",
        "Digest realm=\"a\", nonce=\"x\0\"",
        "Digest realm=\"a\", nonce=x\r\n",
        "Digest realm=a\"b, nonce=\"x\"",
        "Digest realm=\"a\", nonce=\"x\", algorithm=MD5\"",
        "Digest re\u{e4}lm=\"a\", nonce=\"x\"",
        &long,
        &many,
    ] {
        assert!(Challenge::parse(value).is_err(), "{value:?}");
    }
}

#[test]
fn threat_109_what_is_echoed_stays_one_quoted_string_each() {
    let value = "Digest realm=\"a\\\"b\u{e4}\", nonce=\"n, uri=\\\"sip:evil\\\"\", opaque=\"\\\\\"";
    let text = answer(value, &credentials("a\\\"b\u{e4}", "romeo", "pass"), &MESSAGE);
    assert!(
        text.contains("realm=\"a\\\"b\u{e4}\", nonce=\"n, uri=\\\"sip:evil\\\"\", uri=\"sip:juliet@"),
        "{text}"
    );
    assert!(text.ends_with(", opaque=\"\\\\\""), "{text}");
    let refused = |credentials: &Credentials, answering: &Answering<'_>| {
        let mut out = Vec::new();
        let plain = Challenge::parse("Digest realm=\"a\", nonce=\"x\"").unwrap();
        assert_eq!(plain.write(credentials, answering, &mut out), Err(DigestError::Text));
        assert!(out.is_empty());
    };
    refused(&credentials("a", "ro\r\nmeo", "pass"), &MESSAGE);
    refused(&romeo(), &Answering { uri: "sip:x\", realm=\"y", ..MESSAGE });
    refused(&romeo(), &Answering { cnonce: "\\", ..MESSAGE });
}

proptest::proptest! {
    #[test]
    fn no_challenge_panics_or_gets_a_line_break_out(value in "Digest ([a-z]{1,9}|realm|nonce|qop)=(\"?[ -~\\r\\n\\t\u{e4}]{0,12}\"?)(,[a-z]{1,9}=[ -~]{0,9}){0,4}|\\PC{0,60}") {
        if let Ok(challenge) = Challenge::parse(&value) {
            let mut out = Vec::new();
            let _ = challenge.write(&romeo(), &MESSAGE, &mut out);
            proptest::prop_assert!(!out.iter().any(|octet| *octet == b'\r' || *octet == b'\n'));
        }
    }
}
