//! The headers that we know, by number: one table gives the spelling, the compact form and whether
//! a second one is an error.

use std::fmt;

/// What a second header of the same name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    /// A comma-separated list may be spread over headers, or a second one does no harm.
    Many,
    /// Two readers could act on different ones: an error.
    One,
}

macro_rules! names {
    ($($variant:ident $text:literal $compact:literal $count:ident,)*) => {
        /// A header that we know (RFC 3261 §20 and the RFCs of its extensions).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
        }

        impl Name {
            /// Every name, in the order of its number.
            pub const ALL: &'static [Name] = &[$(Name::$variant,)*];

            /// How many names there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name as it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            const fn compact(self) -> u8 {
                match self { $(Self::$variant => $compact,)* }
            }

            const fn count(self) -> Count {
                match self { $(Self::$variant => Count::$count,)* }
            }
        }
    };
}

// Compact forms: the IANA registry "SIP Header Fields"; b' ' is none.
names! {
    Accept "Accept" b' ' Many,
    AcceptContact "Accept-Contact" b'a' Many,
    AcceptEncoding "Accept-Encoding" b' ' Many,
    AcceptLanguage "Accept-Language" b' ' Many,
    AlertInfo "Alert-Info" b' ' Many,
    Allow "Allow" b' ' Many,
    AllowEvents "Allow-Events" b'u' Many,
    AuthenticationInfo "Authentication-Info" b' ' Many,
    Authorization "Authorization" b' ' Many,
    CallId "Call-ID" b'i' One,
    CallInfo "Call-Info" b' ' Many,
    Contact "Contact" b'm' Many,
    ContentDisposition "Content-Disposition" b' ' One,
    ContentEncoding "Content-Encoding" b'e' Many,
    ContentLanguage "Content-Language" b' ' Many,
    ContentLength "Content-Length" b'l' One,
    ContentTransferEncoding "Content-Transfer-Encoding" b' ' One,
    ContentType "Content-Type" b'c' One,
    CSeq "CSeq" b' ' One,
    Date "Date" b' ' One,
    ErrorInfo "Error-Info" b' ' Many,
    Event "Event" b'o' One,
    Expires "Expires" b' ' One,
    From "From" b'f' One,
    Identity "Identity" b'y' Many,
    InReplyTo "In-Reply-To" b' ' Many,
    MaxBreadth "Max-Breadth" b' ' One,
    MaxForwards "Max-Forwards" b' ' One,
    MimeVersion "MIME-Version" b' ' Many,
    MinExpires "Min-Expires" b' ' One,
    MinSe "Min-SE" b' ' One,
    MsDiagnostics "ms-diagnostics" b' ' Many,
    MsDiagnosticsPublic "ms-diagnostics-public" b' ' Many,
    Organization "Organization" b' ' Many,
    PAssertedIdentity "P-Asserted-Identity" b' ' Many,
    PPreferredIdentity "P-Preferred-Identity" b' ' Many,
    Path "Path" b' ' Many,
    Priority "Priority" b' ' Many,
    Privacy "Privacy" b' ' Many,
    ProxyAuthenticate "Proxy-Authenticate" b' ' Many,
    ProxyAuthorization "Proxy-Authorization" b' ' Many,
    ProxyRequire "Proxy-Require" b' ' Many,
    RAck "RAck" b' ' One,
    Reason "Reason" b' ' Many,
    RecordRoute "Record-Route" b' ' Many,
    ReferTo "Refer-To" b'r' One,
    ReferredBy "Referred-By" b'b' One,
    RejectContact "Reject-Contact" b'j' Many,
    Replaces "Replaces" b' ' One,
    ReplyTo "Reply-To" b' ' One,
    RequestDisposition "Request-Disposition" b'd' Many,
    Require "Require" b' ' Many,
    RetryAfter "Retry-After" b' ' One,
    Route "Route" b' ' Many,
    RSeq "RSeq" b' ' One,
    Server "Server" b' ' Many,
    ServiceRoute "Service-Route" b' ' Many,
    SessionExpires "Session-Expires" b'x' One,
    SipEtag "SIP-ETag" b' ' One,
    SipIfMatch "SIP-If-Match" b' ' One,
    Subject "Subject" b's' One,
    SubscriptionState "Subscription-State" b' ' One,
    Supported "Supported" b'k' Many,
    SuppressIfMatch "Suppress-If-Match" b' ' One,
    Timestamp "Timestamp" b' ' One,
    To "To" b't' One,
    Unsupported "Unsupported" b' ' Many,
    UserAgent "User-Agent" b' ' Many,
    Via "Via" b'v' Many,
    Warning "Warning" b' ' Many,
    WwwAuthenticate "WWW-Authenticate" b' ' Many,
}

impl Name {
    /// The name that `text` spells, in any case, in full or compact form.
    pub fn parse(text: &str) -> Option<Self> {
        if let [letter] = text.as_bytes() {
            return COMPACT.get(usize::from(letter.to_ascii_lowercase()).wrapping_sub(97)).copied()?;
        }
        let mut slot = slot(text.as_bytes());
        while let Some(name) = TABLE.get(slot).copied().flatten() {
            if name.as_str().eq_ignore_ascii_case(text) {
                return Some(name);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }

    /// Whether a second header of this name makes a message malformed (RFC 3261 §7.3.1).
    pub fn is_single(self) -> bool {
        self.count() == Count::One
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of each compact form, `a` to `z`.
static COMPACT: [Option<Name>; 26] = {
    let mut table = [None; 26];
    let mut i = 0;
    while i < Name::COUNT {
        let name = Name::ALL[i];
        if name.compact() != b' ' {
            table[(name.compact() - b'a') as usize] = Some(name);
        }
        i += 1;
    }
    table
};

const SLOTS: usize = 512;

/// Where the search for a name starts: its length and three of its letters, in any case.
const fn slot(text: &[u8]) -> usize {
    let length = text.len();
    if length == 0 {
        return 0;
    }
    let (first, middle, last) = (text[0] | 0x20, text[length / 2] | 0x20, text[length - 1] | 0x20);
    (length * 31 + first as usize * 7 + middle as usize * 57 + last as usize * 13) % SLOTS
}

/// The names by [`slot`], each in the first that was free.
static TABLE: [Option<Name>; SLOTS] = {
    let mut table = [None; SLOTS];
    let mut i = 0;
    while i < Name::COUNT {
        let mut at = slot(Name::ALL[i].as_str().as_bytes());
        while table[at].is_some() {
            at = (at + 1) % SLOTS;
        }
        table[at] = Some(Name::ALL[i]);
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for name in Name::ALL {
            assert_eq!(Name::parse(name.as_str()), Some(*name));
            assert_eq!(Name::parse(&name.as_str().to_ascii_uppercase()), Some(*name));
            assert_eq!(Name::parse(&name.as_str().to_ascii_lowercase()), Some(*name));
            assert_eq!(Name::parse(&format!("{name}x")), None);
        }
        for other in ["", "C%6Fntact", "Vi", "Viaa", "X-Header", "q", "%", "\u{e9}"] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    #[test]
    fn pitfall_04_compact_forms_are_their_headers() {
        let forms = [
            ("v", Name::Via),
            ("f", Name::From),
            ("t", Name::To),
            ("i", Name::CallId),
            ("m", Name::Contact),
            ("c", Name::ContentType),
            ("l", Name::ContentLength),
            ("e", Name::ContentEncoding),
            ("s", Name::Subject),
            ("k", Name::Supported),
            ("o", Name::Event),
            ("u", Name::AllowEvents),
            ("r", Name::ReferTo),
            ("b", Name::ReferredBy),
            ("x", Name::SessionExpires),
            ("y", Name::Identity),
            ("a", Name::AcceptContact),
            ("d", Name::RequestDisposition),
            ("j", Name::RejectContact),
        ];
        for (form, name) in forms {
            assert_eq!(Name::parse(form), Some(name));
            assert_eq!(Name::parse(&form.to_ascii_uppercase()), Some(name));
        }
    }

    #[test]
    fn pitfall_10_subscription_state_has_a_name() {
        assert_eq!(Name::parse("Subscription-State"), Some(Name::SubscriptionState));
    }
}
