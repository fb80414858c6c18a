use crate::xml::*;

#[test]
fn a_message_parses() {
    let text = "<message from='a@x' to=\"b@y\" xml:lang='en'><body>Hi &amp; &#x263A;</body><active xmlns='urn:a'/></message>";
    let message = parse(text, &Scope::server(), &Limits::default()).unwrap();
    assert!(message.is("message", ns::SERVER));
    assert_eq!(message.attr("from"), Some("a@x"));
    assert_eq!(message.lang(), Some("en"));
    let body = message.child("body", ns::SERVER).unwrap();
    assert_eq!(body.text(), "Hi & \u{263A}");
    assert_eq!(body.raw(), "<body>Hi &amp; &#x263A;</body>");
    assert_eq!(message.raw(), text);
    assert!(message.child("active", "urn:a").is_some());
}
