//! Peers whose header does not say who they are.

use super::*;

#[test]
fn threat_005_a_header_without_from_waits_for_dialback_to_name_the_domain() {
    let mut one = One::receiving(plain());
    assert_eq!(one.feed(&header(&format!("to='{OURS}' version='1.0'"))), "");
    let out = one.out();
    assert!(!out.contains(" to=") && out.contains("<starttls") && out.contains("<errors/>"), "{out}");
    let key = format!("<db:result from='{PARTNER}' to='{OURS}'>k</db:result>");
    assert_eq!(one.feed(&key), "wanted sip.example~xmpp.example k");
    assert_eq!(one.answer(Outcome::Valid), "up sip.example~xmpp.example TcpDialback");
    // Whose terms are not open to that is told so now.
    let mut one = One::receiving(usual());
    one.feed(&header(&format!("to='{OURS}' version='1.0'")));
    one.out();
    one.feed(&key);
    assert_error(&one.out(), "policy-violation");
    // Over TLS nothing but dialback is offered to a stranger.
    let mut one = One::receiving(usual());
    one.stream.handle_tls(Names::valid(PARTNER));
    one.feed(&header(&format!("to='{OURS}' version='1.0'")));
    let out = one.out();
    assert!(!out.contains("EXTERNAL") && out.contains("<errors/>"), "{out}");
}

#[test]
fn threat_002_a_stranger_is_offered_tls_alone_where_no_partner_may_do_without() {
    let no_from = header(&format!("to='{OURS}' version='1.0'"));
    let optional = || terms(Need::Optional, Need::Optional, true);
    for (partners, offered) in [
        (vec![(PARTNER, usual()), ("second.example", Terms::default())], Some((FEATURES_TLS, ""))),
        (vec![(PARTNER, usual()), ("second.example", optional())], Some((STARTTLS, "<errors/>"))),
        (vec![(PARTNER, usual()), ("second.example", plain())], Some((STARTTLS, "<errors/>"))),
        (vec![(PARTNER, terms(Need::Optional, Need::Required, false))], Some((FEATURES_TLS, ""))),
        (vec![], None),
    ] {
        let mut one = One::receiving(usual());
        one.realm.partners = partners;
        one.feed(&no_from);
        let out = one.out();
        let Some((tls, dialback)) = offered else {
            assert_error(&out, "policy-violation");
            continue;
        };
        let tls = tls.trim_start_matches("<stream:features>").trim_end_matches("</stream:features>");
        assert!(out.contains(&format!("<stream:features>{tls}<")), "{out}");
        assert_eq!(out.contains("<errors/>"), !dialback.is_empty(), "{out}");
        assert_eq!(one.feed(STARTTLS), "starttls");
    }
    // Nor may a stranger without features go on there.
    let mut one = One::receiving(usual());
    one.feed(&header(&format!("to='{OURS}'")));
    assert_error(&one.out(), "policy-violation");
    // Over TLS likewise: where every partner must use EXTERNAL, a stranger can't be proven.
    let mut one = One::receiving(Terms::default());
    one.stream.handle_tls(Names::valid(PARTNER));
    one.feed(&no_from);
    assert_error(&one.out(), "policy-violation");
}

#[test]
fn after_sasl_a_header_without_from_is_the_proven_domains() {
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
    let no_from = header(&format!("to='{OURS}' version='1.0'"));
    let mut one = One::secured(Terms { keepalive: false, ..usual() }, Names::valid(PARTNER));
    one.feed(auth);
    one.out();
    assert_eq!(one.feed(&no_from), "up sip.example~xmpp.example External");
    let out = one.out();
    assert_eq!(attribute(&out, "to"), PARTNER);
    assert!(out.contains("<errors/>"), "its terms count: {out}");
    assert_eq!(one.stream.deadline(), Some(Now::at(600).mono));
    // It may have lost them meanwhile.
    let mut one = One::secured(usual(), Names::valid(PARTNER));
    one.feed(auth);
    one.out();
    one.realm.partners.clear();
    assert_eq!(one.feed(&no_from), "down: refused: domain is not an allowed partner");
}
