//! Documents as servers and user agents of other people shape them, for every test that reads some.

/// RFC 8048 §6.2, Example 19.
pub(crate) const RFC_8048: &str = "<?xml version='1.0' encoding='UTF-8'?>\n\
<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:juliet@example.com'>\n  \
<tuple id='ID-yn0cl4bnw0yr3vym'>\n    <status>\n      <basic>open</basic>\n      \
<show xmlns='jabber:client'>away</show>\n    </status>\n  </tuple>\n</presence>";

/// A server of Microsoft, to a federated watcher: one tuple, activities in the status.
pub(crate) const LYNC: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n\
<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
xmlns:ep=\"urn:ietf:params:xml:ns:pidf:status:rpid-status\" \
xmlns:ci=\"urn:ietf:params:xml:ns:pidf:cipid\" entity=\"sip:alice@contoso.example\">\r\n\
<tuple id=\"0\">\r\n<status>\r\n<basic>open</basic>\r\n<ep:activities>\r\n \
<ep:activity>busy</ep:activity>\r\n</ep:activities>\r\n</status>\r\n</tuple>\r\n\
<ci:display-name>Alice Capulet</ci:display-name>\r\n</presence>\r\n";

/// The same with the number that its own documents carry.
pub(crate) const LYNC_STATE: &str = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
entity=\"sip:alice@contoso.example\"><tuple id=\"0\"><status><basic>open</basic>\
<state xmlns=\"http://schemas.microsoft.com/2006/09/sip/state\" \
xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"aggregateState\">\
<availability>9500</availability></state></status>\
<contact priority=\"1.0\">sip:alice@contoso.example;opaque=user:epid:Xy12;gruu</contact></tuple></presence>";

/// Kamailio or OpenSIPS: what its module publishes, with a word beside the activity.
pub(crate) const KAMAILIO: &str = "<?xml version=\"1.0\"?>\n\
<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" xmlns:c=\"urn:ietf:params:xml:ns:pidf:cipid\" \
entity=\"sip:alice@contoso.example\">\n  <tuple xmlns=\"urn:ietf:params:xml:ns:pidf\" id=\"0x81475a0\">\n    \
<status>\n      <basic>open</basic>\n    </status>\n  </tuple>\n  \
<note xmlns=\"urn:ietf:params:xml:ns:pidf\">Away</note>\n  <dm:person \
xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" id=\"pdd748945\">\n    \
<rpid:activities><rpid:away/>away</rpid:activities>\n    <dm:note>CPU:16 MEM:476</dm:note>\n  \
</dm:person>\n</presence>";

/// linphone: prefixes of its own, activities at the person, a timestamp everywhere.
pub(crate) const LINPHONE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
<p:presence xmlns:p=\"urn:ietf:params:xml:ns:pidf\" xmlns:pdm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:alice@contoso.example\">\
<p:tuple id=\"qmht-a\"><p:status><p:basic>open</p:basic></p:status>\
<p:contact priority=\"0.8\">sip:alice@contoso.example;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6\
</p:contact><p:timestamp>2026-11-22T23:58:00Z</p:timestamp></p:tuple>\
<pdm:person id=\"n7ksk9\"><rpid:activities><rpid:on-the-phone/></rpid:activities>\
<pdm:note xml:lang=\"en\">On the phone</pdm:note>\
<pdm:timestamp>2026-11-22T23:58:00Z</pdm:timestamp></pdm:person></p:presence>";

/// Cisco Unified: RPID of a draft beside the one of the RFC, user input, service capabilities.
pub(crate) const CISCO: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
<presence entity=\"sip:alice@contoso.example\" xmlns=\"urn:ietf:params:xml:ns:pidf\" \
xmlns:e=\"urn:ietf:params:xml:ns:pidf:status:rpid\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" xmlns:sc=\"urn:ietf:params:xml:ns:pidf:servcaps\">\
<dm:person id=\"alice\"><r:activities><r:meeting/></r:activities></dm:person>\
<tuple id=\"cisco-upc\"><status><basic>open</basic></status><r:user-input idle-threshold=\"600\" \
last-input=\"2026-11-22T18:30:00.000-05:00\">idle</r:user-input><sc:servcaps><sc:audio>true</sc:audio>\
<sc:text>true</sc:text><sc:video>false</sc:video></sc:servcaps>\
<contact priority=\"0.8\">sip:alice@contoso.example:5060;transport=tcp</contact>\
<note>Back at <![CDATA[<noon>]]></note><timestamp>2026-11-22T23:30:00Z</timestamp></tuple></presence>";

/// RFC 4480 §4, with a second person whose time has passed.
pub(crate) const RPID: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" xmlns:lt=\"urn:ietf:params:xml:ns:location-type\" \
entity=\"pres:alice@contoso.example\">\
<tuple id=\"bs35r9\"><status><basic>open</basic></status><dm:deviceID>urn:device:0003ba4811e3</dm:deviceID>\
<rpid:relationship><rpid:self/></rpid:relationship><contact priority=\"0.8\">im:alice@mobile.example</contact>\
<note xml:lang=\"en\">Don't Disturb Please!</note><note xml:lang=\"fr\">Ne derangez pas, s'il vous plait</note>\
<timestamp>2026-10-27T16:49:29Z</timestamp></tuple>\
<tuple id=\"ty4658\"><status><basic>open</basic></status><rpid:relationship><rpid:assistant/>\
</rpid:relationship><contact priority=\"1.0\">mailto:secretary@contoso.example</contact></tuple>\
<note>I'll be in Tokyo next week</note>\
<dm:device id=\"pc147\"><rpid:user-input idle-threshold=\"600\" \
last-input=\"2026-11-22T23:00:00Z\">idle</rpid:user-input>\
<dm:deviceID>urn:device:0003ba4811e3</dm:deviceID><dm:note>PC</dm:note></dm:device>\
<dm:person id=\"p1\"><rpid:activities from=\"2026-11-01T12:00:00+05:00\" until=\"2026-11-02T17:00:00+05:00\">\
<rpid:note>Far away</rpid:note><rpid:vacation/></rpid:activities><rpid:mood><rpid:angry/></rpid:mood>\
<rpid:sphere>bowling league</rpid:sphere><dm:note>Scoring 120</dm:note></dm:person></presence>";

/// All of them.
pub(crate) const ALL: [&str; 8] = [RFC_8048, LYNC, LYNC_STATE, KAMAILIO, LINPHONE, CISCO, RPID, MINIMAL];

/// The least there is.
pub(crate) const MINIMAL: &str = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity=''/>";
