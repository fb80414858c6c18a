//! The error table: SIP status codes and XMPP defined conditions, total both ways.
//!
//! RFC 7247 §7 (Tables 2 and 3) with these decisions of ours:
//!
//! * 408 never answers a non-INVITE (RFC 4320 §4.2): 504 instead.
//! * 6xx would stop all forking upstream, so bare-JID errors stay 4xx unless
//!   [`StatusContext::global_failures`] is on.
//! * `service-unavailable` mostly means "offline or no such user": 480, never 503.
//! * 401 and 407 need a challenge that we do not have: 403.
//! * `policy-violation` whose cause is size is 413.
//!
//! Every local failure (no route, time-out, refusal) is stated as a [`Condition`] too, so this is the
//! only place where one side's error becomes the other's.

use crate::addr::Jid;
use crate::policy::Reason;
use crate::xmpp::error::Condition;

/// What decides between two SIP codes for one condition.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusContext<'a> {
    /// The failed request is an INVITE.
    pub invite: bool,
    /// The error is about a full JID.
    pub full_jid: bool,
    /// 6xx for errors about a bare JID, as RFC 7247 Table 2 note 2 recommends.
    pub global_failures: bool,
    /// The cause is the size of the message.
    pub size: bool,
    /// Character data of `<gone/>` or `<redirect/>`.
    pub new_address: Option<&'a str>,
}

/// A SIP answer to an XMPP condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipAnswer {
    /// The status code, 300..=699.
    pub status: u16,
    /// Where the user has moved: goes into Contact with 301 and 302.
    pub contact: Option<Jid>,
    /// Seconds for Retry-After.
    pub retry_after: Option<u32>,
}

impl SipAnswer {
    fn plain(status: u16) -> Self {
        Self { status, contact: None, retry_after: None }
    }
}

/// Seconds that a sender is asked to wait when we are short of something.
const RETRY_AFTER: u32 = 30;

/// The SIP answer to `condition`: RFC 7247 §7.1 Table 2.
pub fn status_of(condition: Condition, context: &StatusContext<'_>) -> SipAnswer {
    let by_jid = |full: u16, bare: u16| {
        SipAnswer::plain(if context.full_jid || !context.global_failures { full } else { bare })
    };
    match condition {
        Condition::BadRequest
        | Condition::Conflict
        | Condition::JidMalformed
        | Condition::SubscriptionRequired
        | Condition::UndefinedCondition => SipAnswer::plain(400),
        Condition::FeatureNotImplemented => SipAnswer::plain(if context.full_jid { 405 } else { 501 }),
        Condition::Forbidden => by_jid(403, 603),
        Condition::Gone => moved(301, 410, context),
        Condition::InternalServerError => SipAnswer::plain(500),
        Condition::ItemNotFound => by_jid(404, 604),
        Condition::NotAcceptable => by_jid(406, 606),
        Condition::NotAllowed | Condition::NotAuthorized | Condition::RegistrationRequired => {
            SipAnswer::plain(403)
        }
        Condition::PolicyViolation => SipAnswer::plain(if context.size { 413 } else { 403 }),
        Condition::RecipientUnavailable => by_jid(480, 600),
        Condition::Redirect => moved(302, 480, context),
        Condition::RemoteServerNotFound => SipAnswer::plain(404),
        Condition::RemoteServerTimeout => timeout(context),
        Condition::ResourceConstraint => {
            SipAnswer { retry_after: Some(RETRY_AFTER), ..SipAnswer::plain(500) }
        }
        Condition::ServiceUnavailable => SipAnswer::plain(480),
        Condition::UnexpectedRequest => SipAnswer::plain(if context.invite { 491 } else { 400 }),
    }
}

/// RFC 4320 §4.2: 408 is for INVITE alone.
fn timeout(context: &StatusContext<'_>) -> SipAnswer {
    SipAnswer::plain(if context.invite { 408 } else { 504 })
}

/// RFC 7247 Table 2 note 3: a new address or none decides the code.
fn moved(with_address: u16, without: u16, context: &StatusContext<'_>) -> SipAnswer {
    let contact = context.new_address.map(str::trim).and_then(|text| {
        let address = text.strip_prefix("xmpp:").unwrap_or(text);
        Jid::parse(address).ok().filter(|jid| jid.local().is_some())
    });
    match contact {
        Some(jid) => SipAnswer { contact: Some(jid), ..SipAnswer::plain(with_address) },
        None => SipAnswer::plain(without),
    }
}

/// The XMPP condition for a SIP `status`: RFC 7247 §7.2 Table 3; unlisted codes by their class.
///
/// A final response below 300 is no error; it and everything outside 300..=699 is read as 500, which
/// RFC 3261 §8.1.3.2 makes of what can't be understood.
pub fn condition_of(status: u16) -> Condition {
    match status {
        301 | 410 => Condition::Gone,
        380 | 406 | 415 | 416 | 421 | 482 | 483 | 488 | 505 | 580 | 606 => Condition::NotAcceptable,
        300..=399 => Condition::Redirect,
        401 | 428 | 433 | 436 | 437 | 438 => Condition::NotAuthorized,
        407 => Condition::RegistrationRequired,
        403 | 607 | 608 => Condition::Forbidden,
        404 | 481 | 484 | 485 | 604 => Condition::ItemNotFound,
        405 | 420 | 439 | 501 => Condition::FeatureNotImplemented,
        408 | 504 => Condition::RemoteServerTimeout,
        412 | 422 | 491 => Condition::UnexpectedRequest,
        413 | 414 | 440 | 489 | 513 => Condition::PolicyViolation,
        423 => Condition::ResourceConstraint,
        430 | 480 | 486 | 487 => Condition::RecipientUnavailable,
        400..=499 => Condition::BadRequest,
        502 => Condition::RemoteServerNotFound,
        600..=699 => Condition::RecipientUnavailable,
        _ => Condition::InternalServerError,
    }
}

/// The XMPP condition for a status code of MSRP (RFC 4975 §10); one that it does not have is read by its class.
pub fn condition_of_msrp(status: u16) -> Condition {
    match status {
        403 => Condition::Forbidden,
        408 => Condition::RemoteServerTimeout,
        413 | 423 => Condition::PolicyViolation,
        415 => Condition::NotAcceptable,
        481 => Condition::RecipientUnavailable,
        501 => Condition::FeatureNotImplemented,
        506 => Condition::Conflict,
        400..=499 => Condition::BadRequest,
        _ => Condition::InternalServerError,
    }
}

/// The status code of MSRP for what became of a message that came in a session. 481 and 506 would end the session
/// at its sender, so they are none of them.
pub fn msrp_status_of(condition: Condition) -> u16 {
    match status_of(condition, &StatusContext::default()).status {
        403 | 603 => 403,
        413 | 513 => 413,
        406 | 415 | 488 | 606 => 415,
        400 => 400,
        501 | 405 => 501,
        // RFC 4975 §10.4: what is downstream did not complete.
        _ => 408,
    }
}

/// Character data for the condition element: the new address that `<gone/>` MUST have for a 301 and
/// `<redirect/>` has for other 3xx (RFC 7247 Table 3 note 1, RFC 6120 §8.3.3.5, §8.3.3.14).
///
/// A 301 whose Contact does not map is reported as 410 would be: `<gone/>` without an address.
pub fn new_address(status: u16, contact: Option<&Jid>) -> Option<String> {
    match status {
        300..=399 if status != 380 => contact.map(|jid| format!("xmpp:{jid}")),
        _ => None,
    }
}

/// The number and text of `ms-diagnostics` for a refusal by the table, as Microsoft's servers number theirs.
/// It says no more of the addressed user than the status does.
pub fn diagnostic_of_reason(reason: Reason) -> (u16, &'static str) {
    match reason {
        Reason::FederationOff => (1012, "Not authorized to communicate outside the enterprise"),
        Reason::Unlisted | Reason::DomainBlocked => (1005, "Cannot route to the destination domain"),
        Reason::AddressBlocked | Reason::PolicyFederation | Reason::PolicyXmpp | Reason::NotAdded => {
            (1002, "From URI not authorized to communicate with federated partners")
        }
    }
}

/// The same where there is no way to the addressed domain.
pub fn diagnostic_of_route(condition: Condition) -> Option<(u16, &'static str)> {
    match condition {
        Condition::RemoteServerNotFound => Some((1008, "Unable to resolve the SRV record of the domain")),
        Condition::RemoteServerTimeout => Some((1007, "Temporarily cannot route to the destination domain")),
        _ => None,
    }
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
