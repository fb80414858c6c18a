//! What is hidden of stanzas, and what is not.

use super::*;

fn hidden(text: &str) -> String {
    let all = copies(text.as_bytes(), Texts::Hidden);
    all.into_iter().map(|copy| String::from_utf8_lossy(&copy.octets).into_owned()).collect()
}

#[test]
fn what_people_wrote_is_replaced_octet_by_octet_and_tags_stay() {
    for (text, want) in [
        (
            "<message to='a@b' id='1'><body>Hi ö!</body></message>",
            "<message to='a@b' id='1'><body>xxxxxx</body></message>",
        ),
        ("<m><subject>a&amp;b&#x41;</subject></m>", "<m><subject>xxxxxxxxxxxxx</subject></m>"),
        ("<m><body><![CDATA[secret]]></body>tail</m>", "<m><body><![CDATA[xxxxxx]]></body>xxxx</m>"),
        (
            "<presence><show>away</show><status>\n</status></presence>",
            "<presence><show>xxxx</show><status>x</status></presence>",
        ),
        ("<m><!--secret--><x y='z'/></m>", "<m><!--xxxxxx--><x y='z'/></m>"),
        (
            "<m><html xmlns='u:h'><body xml:lang='en'><a href='http://s' title=\"t'u\">v</a></body></html><x y='z'/></m>",
            "<m><html xmlns='u:h'><body xml:lang='en'><a href='xxxxxxxx' title=\"xxx\">x</a></body></html><x y='z'/></m>",
        ),
    ] {
        assert_eq!(hidden(text), want);
    }
}

#[test]
fn texts_stay_where_the_operator_switched_them_on() {
    let text = "<message><body>Hi &lt;3<![CDATA[x]]></body><html><a href='s'/></html></message>";
    let all = copies(text.as_bytes(), Texts::Shown);
    assert_eq!(all.iter().map(|copy| copy.octets.as_slice()).collect::<Vec<_>>(), [text.as_bytes()]);
}

#[test]
fn stanzas_that_stand_together_come_apart_with_their_heads() {
    let text = "<message from='a@b/&apos;' to='c@d' id='7'><body>one</body></message><presence/>\n<p:iq to=\"e\">two</p:iq>";
    let all = copies(text.as_bytes(), Texts::Hidden);
    let heads: Vec<_> =
        all.iter().map(|one| (one.name.as_str(), one.from.as_deref(), one.to.as_deref())).collect();
    assert_eq!(
        heads,
        [("message", Some("a@b/'"), Some("c@d")), ("presence", None, None), ("p:iq", None, Some("e"))]
    );
    assert_eq!((all[0].id.as_deref(), all[1].octets.as_slice()), (Some("7"), &b"<presence/>"[..]));
}

#[test]
fn what_is_broken_hides_to_its_end() {
    let secret = "rosemary";
    for text in [
        format!("<message><body>{secret}"),
        format!("<message><body a='{secret}"),
        format!("<message><body>{secret}</body><x"),
        format!("<message><body>{secret} &bad {secret}</body></message>"),
        format!("<message><![CDATA[{secret}"),
        format!("<message><!-- {secret}"),
        format!("<message><?{secret}?></message>"),
        format!("<message><!DOCTYPE {secret}></message>"),
        format!("{secret}<message/>{secret}"),
        format!("<message></x>{secret}</message>"),
    ] {
        assert!(!hidden(&text).contains(secret), "{text}: {}", hidden(&text));
    }
    assert_eq!(copies(b"<message>\xff</message>", Texts::Hidden), [], "nobody can read that");
}

/// Wholes, each with the word in it that nobody may see.
const WHOLES: &[&str] = &[
    "ROSEMARY",
    "&amp;ROSEMARY&#x41;",
    "<a>ROSEMARY</a>",
    "<x><y>ROSEMARY<z/>ROSEMARY</y></x>",
    "<![CDATA[ROSEMARY]]>",
    "<!--ROSEMARY-->",
    "<?p ROSEMARY?>",
    "<body q='ROSEMARY'>ROSEMARY</body>",
    "<html><p t=\"ROSEMARY\">ROSEMARY<br c='ROSEMARY'/></p></html>",
    "<p:body xmlns:p='u' r = 'ROSEMARY'/>",
    "<e/>",
    " ",
];
/// Parts of such, which make no whole.
const PARTS: &[&str] = &[
    "<m>",
    "</m>",
    "<body>",
    "</body>",
    "<html a='",
    "' b=\"",
    "\">",
    "/>",
    "&",
    "<",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?",
    "?>",
];

proptest::proptest! {
    #[test]
    fn no_word_that_somebody_wrote_is_left_wherever_it_stands(
        stanzas in proptest::collection::vec(proptest::collection::vec(proptest::sample::select(WHOLES), 0..6), 1..4),
    ) {
        let text: String = stanzas.iter().map(|parts| format!("<message id='1'>{}</message>\n", parts.concat())).collect();
        let all = copies(text.as_bytes(), Texts::Hidden);
        proptest::prop_assert_eq!(all.len(), stanzas.len());
        proptest::prop_assert!(!hidden(&text).contains("ROSEMARY"), "{}", hidden(&text));
        let octets: usize = all.iter().map(|copy| copy.octets.len() + 1).sum();
        proptest::prop_assert_eq!(octets, text.len());
    }

    #[test]
    fn whatever_comes_no_more_is_shown_than_came(
        parts in proptest::collection::vec(proptest::sample::select([WHOLES, PARTS].concat()), 0..40),
    ) {
        let text = parts.concat();
        let octets: usize = copies(text.as_bytes(), Texts::Hidden).iter().map(|copy| copy.octets.len()).sum();
        proptest::prop_assert!(octets <= text.len());
        let shown = copies(text.as_bytes(), Texts::Shown);
        let is_part = |copy: &Copy| std::str::from_utf8(&copy.octets).is_ok_and(|copy| text.contains(copy));
        proptest::prop_assert!(shown.iter().all(is_part));
    }
}
