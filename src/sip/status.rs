//! Reason phrases of status codes, in RFC 3261 §21's spelling.

use rsip::StatusCode;

/// The reason phrase of `code`; of an unknown code that of its class (RFC 3261 §8.1.3.2).
pub fn reason(code: u16) -> &'static str {
    // rsip has no 202 (RFC 6665 §8.3.1 kept it for old subscribers, RFC 3428 §7 uses it).
    if code == 202 {
        return "Accepted";
    }
    match StatusCode::from(code) {
        StatusCode::Trying => "Trying",
        StatusCode::Ringing => "Ringing",
        StatusCode::CallIsBeingForwarded => "Call Is Being Forwarded",
        StatusCode::Queued => "Queued",
        StatusCode::SessionProgress => "Session Progress",
        StatusCode::EarlyDialogTerminated => "Early Dialog Terminated",
        StatusCode::OK => "OK",
        StatusCode::Accepted => "Created",
        StatusCode::NoNotification => "No Notification",
        StatusCode::MultipleChoices => "Multiple Choices",
        StatusCode::MovedPermanently => "Moved Permanently",
        StatusCode::MovedTemporarily => "Moved Temporarily",
        StatusCode::UseProxy => "Use Proxy",
        StatusCode::AlternativeService => "Alternative Service",
        StatusCode::BadRequest => "Bad Request",
        StatusCode::Unauthorized => "Unauthorized",
        StatusCode::PaymentRequired => "Payment Required",
        StatusCode::Forbidden => "Forbidden",
        StatusCode::NotFound => "Not Found",
        StatusCode::MethodNotAllowed => "Method Not Allowed",
        StatusCode::NotAcceptable | StatusCode::NotAcceptableGlobal => "Not Acceptable",
        StatusCode::ProxyAuthenticationRequired => "Proxy Authentication Required",
        StatusCode::RequestTimeout => "Request Timeout",
        StatusCode::Conflict => "Conflict",
        StatusCode::Gone => "Gone",
        StatusCode::LengthRequired => "Length Required",
        StatusCode::ConditionalRequestFailed => "Conditional Request Failed",
        StatusCode::RequestEntityTooLarge => "Request Entity Too Large",
        StatusCode::RequestUriTooLong => "Request-URI Too Long",
        StatusCode::UnsupportedMediaType => "Unsupported Media Type",
        StatusCode::UnsupportedUriScheme => "Unsupported URI Scheme",
        StatusCode::UnknownResourcePriority => "Unknown Resource-Priority",
        StatusCode::BadExtension => "Bad Extension",
        StatusCode::ExtensionRequired => "Extension Required",
        StatusCode::SessionIntervalTooSmall => "Session Interval Too Small",
        StatusCode::IntervalTooBrief => "Interval Too Brief",
        StatusCode::BadLocationInformation => "Bad Location Information",
        StatusCode::UseIdentityHeader => "Use Identity Header",
        StatusCode::ProvideReferrerIdentity => "Provide Referrer Identity",
        StatusCode::AnonymityDisallowed => "Anonymity Disallowed",
        StatusCode::BadIdentityInfo => "Bad Identity Info",
        StatusCode::UnsupportedCertificate => "Unsupported Credential",
        StatusCode::InvalidIdentityHeader => "Invalid Identity Header",
        StatusCode::FirstHopLacksOutboundSupport => "First Hop Lacks Outbound Support",
        StatusCode::MaxBreadthExceeded => "Max-Breadth Exceeded",
        StatusCode::BadInfoPackage => "Bad Info Package",
        StatusCode::ConsentNeeded => "Consent Needed",
        StatusCode::TemporarilyUnavailable => "Temporarily Unavailable",
        StatusCode::CallTransactionDoesNotExist => "Call/Transaction Does Not Exist",
        StatusCode::LoopDetected => "Loop Detected",
        StatusCode::TooManyHops => "Too Many Hops",
        StatusCode::AddressIncomplete => "Address Incomplete",
        StatusCode::Ambiguous => "Ambiguous",
        StatusCode::BusyHere => "Busy Here",
        StatusCode::RequestTerminated => "Request Terminated",
        StatusCode::NotAcceptableHere => "Not Acceptable Here",
        StatusCode::BadEvent => "Bad Event",
        StatusCode::RequestPending => "Request Pending",
        StatusCode::Undecipherable => "Undecipherable",
        StatusCode::SecurityAgreementRequired => "Security Agreement Required",
        StatusCode::ServerInternalError => "Server Internal Error",
        StatusCode::NotImplemented => "Not Implemented",
        StatusCode::BadGateway => "Bad Gateway",
        StatusCode::ServiceUnavailable => "Service Unavailable",
        StatusCode::ServerTimeOut => "Server Time-out",
        StatusCode::VersionNotSupported => "Version Not Supported",
        StatusCode::MessageTooLarge => "Message Too Large",
        StatusCode::PreconditionFailure => "Precondition Failure",
        StatusCode::BusyEverywhere => "Busy Everywhere",
        StatusCode::Decline => "Decline",
        StatusCode::DoesNotExistAnywhere => "Does Not Exist Anywhere",
        StatusCode::Unwanted => "Unwanted",
        StatusCode::Other(code, _) => match code / 100 {
            1 => "Session Progress",
            2 => "OK",
            3 => "Multiple Choices",
            4 => "Bad Request",
            5 => "Server Internal Error",
            _ => "Not Acceptable",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_those_of_rfc_3261() {
        assert_eq!(reason(200), "OK");
        assert_eq!(reason(202), "Accepted");
        assert_eq!(reason(404), "Not Found");
        assert_eq!(reason(481), "Call/Transaction Does Not Exist");
        assert_eq!(reason(505), "Version Not Supported");
        assert_eq!(reason(606), "Not Acceptable");
        assert_eq!(reason(299), "OK");
        assert_eq!(reason(799), "Not Acceptable");
    }
}
