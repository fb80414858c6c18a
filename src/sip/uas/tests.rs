//! What is examined, method by method: in a dialog and out of one, and who may have sent it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

const DOMAINS: [&str; 1] = ["contoso.example"];

fn domains() -> Vec<Domain> {
    DOMAINS.iter().map(|name| Domain::parse(name).unwrap()).collect()
}

fn request(method: &str, to_tag: &str, headers: &str) -> String {
    format!(
        "{method} sip:romeo@capulet.example SIP/2.0\r\nVia: SIP/2.0/TLS edge.contoso.example;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\nFrom: \"A\"<sip:alice@contoso.example>;tag=1;epid=0af\r\n\
         To: <sip:romeo@capulet.example>{to_tag}\r\nCall-ID: c1\r\nCSeq: 1 {method}\r\n{headers}\
         Content-Length: 0\r\n\r\n"
    )
}

/// What became of it: the variant's name, or the status.
fn examined(text: &str, proven: &str) -> Result<String, Reject> {
    let domains = domains();
    let uas = Uas { name: "gw.example", domains: &domains, map: MapOptions::default() };
    let link = LinkIdentity { peer: None, domains: [Domain::parse(proven).unwrap()].into() };
    let message = Message::parse(text.as_bytes()).unwrap();
    let examined = uas.examine(&message, &link)?;
    let (name, request) = match &examined {
        Examined::Message(request) => ("Message", request),
        Examined::Subscribe(request) => ("Subscribe", request),
        Examined::Notify(request) => ("Notify", request),
        Examined::Invite(request) => ("Invite", request),
        Examined::InDialog(request) => ("InDialog", request),
        Examined::Options => return Ok("Options".into()),
    };
    assert_eq!(request.sender.as_str(), "alice@contoso.example", "without what stands behind the bracket");
    assert_eq!(request.target.as_str(), "romeo@capulet.example");
    let is_presence = matches!(request.kind, Kind::Presence);
    assert_eq!(is_presence, ["Subscribe", "Notify"].contains(&name));
    Ok(name.into())
}

#[test]
fn check_153_each_method_is_examined_or_refused_in_a_dialog_and_out_of_one() {
    let table = [
        ("MESSAGE", "Message", "InDialog"),
        ("INVITE", "Invite", "InDialog"),
        ("ACK", "481", "InDialog"),
        ("BYE", "481", "InDialog"),
        ("INFO", "481", "InDialog"),
        ("UPDATE", "481", "InDialog"),
        ("CANCEL", "481", "481"),
        ("PRACK", "405", "481"),
        ("SUBSCRIBE", "Subscribe", "Subscribe"),
        ("NOTIFY", "481", "Notify"),
        ("OPTIONS", "Options", "Options"),
        ("REFER", "405", "603"),
        ("REGISTER", "405", "405"),
        ("PUBLISH", "405", "405"),
        ("BENOTIFY", "501", "501"),
        ("invite", "501", "501"),
    ];
    for (method, outside, inside) in table {
        for (tag, expected) in [("", outside), (";tag=ours", inside)] {
            let done = match examined(&request(method, tag, ""), "contoso.example") {
                Ok(name) => name,
                Err(reject) => {
                    let allow = reject.headers.iter().find(|(name, _)| *name == Name::Allow);
                    assert_eq!(allow.is_some(), matches!(reject.status, 405 | 501), "{method}");
                    reject.status.to_string()
                }
            };
            assert_eq!(done, expected, "{method}{tag}");
        }
    }
}

#[test]
fn every_method_that_allow_names_is_one_that_we_do() {
    for method in ALLOW.split(", ") {
        let inside = examined(&request(method, ";tag=ours", ""), "contoso.example");
        let status = inside.err().map(|reject| reject.status);
        assert!(!matches!(status, Some(405 | 501)), "{method}: {status:?}");
    }
}

#[test]
fn check_160_what_belongs_to_a_session_is_proven_like_a_message() {
    for method in ["INVITE", "MESSAGE", "BYE", "INFO", "UPDATE", "ACK"] {
        for tag in ["", ";tag=ours"] {
            let text = request(method, tag, "");
            let refused = |text: &str, proven| examined(text, proven).unwrap_err().status;
            let unknown = tag.is_empty() && !["INVITE", "MESSAGE"].contains(&method);
            assert_eq!(refused(&text, "other.example"), if unknown { 481 } else { 403 }, "{method}{tag}");
            let nobody = text.replace("alice@", "");
            assert_eq!(refused(&nobody, "contoso.example"), if unknown { 481 } else { 403 }, "{method}{tag}");
            let home = text.replace("romeo@capulet.example", "bob@contoso.example");
            assert_eq!(refused(&home, "contoso.example"), if unknown { 481 } else { 404 }, "{method}{tag}");
            let spent = text.replace("Max-Forwards: 70", "Max-Forwards: 0");
            assert_eq!(refused(&spent, "contoso.example"), 483, "{method}{tag}");
        }
    }
}

#[test]
fn check_153_the_session_timer_may_be_required_and_nothing_else() {
    for (require, unsupported) in [
        ("timer", None),
        ("Timer, timer", None),
        ("com.microsoft.rtc-multiparty", Some("com.microsoft.rtc-multiparty")),
        ("timer, 100rel, com.microsoft.rtc-multiparty", Some("100rel, com.microsoft.rtc-multiparty")),
    ] {
        let headers = format!("Require: {require}\r\nProxy-Require: x\r\n");
        match (examined(&request("INVITE", "", &headers), "contoso.example"), unsupported) {
            (Ok(name), None) => assert_eq!(name, "Invite"),
            (Err(reject), Some(unsupported)) => {
                assert_eq!(reject.status, 420);
                assert_eq!(reject.headers, [(Name::Unsupported, unsupported.to_owned())]);
            }
            (other, _) => panic!("{require}: {other:?}"),
        }
        // An ACK is not asked (RFC 3261 §8.2.2.3).
        assert!(examined(&request("ACK", ";tag=ours", &headers), "contoso.example").is_ok());
    }
}

#[test]
fn microsofts_headers_change_nothing() {
    let zoo = "EndPoints: <sip:alice@contoso.example>, <sip:romeo@capulet.example>\r\n\
               Roster-Manager: sip:alice@contoso.example\r\nms-conf-invite: TRUE\r\n\
               Ms-Sensitivity: private\r\nms-keep-alive: UAC;hop-hop=yes\r\nSupported: com.microsoft.rtc-multiparty\r\n\
               Record-Route: <sip:e:5061;lr>;ms-rrsig=x;tag=y\r\nP-Asserted-Identity: <sip:eve@evil.example>\r\n";
    assert_eq!(examined(&request("INVITE", "", zoo), "contoso.example"), Ok("Invite".into()));
    assert_eq!(examined(&request("INFO", ";tag=ours", zoo), "contoso.example"), Ok("InDialog".into()));
}
