//! Which ways are there to refuse and to fail, and what does each mean?

use std::fmt;

use crate::outcome::{Mark, Outcome};

/// Every way this platform refuses or fails; the word is the `reason` in logs, metrics and problem documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller left: it closed its connection or its stream before it was answered.
    ///
    /// The work is dropped where it stands; it is in logs and metrics alone, because nobody is there to be told, and
    /// evidence for no guard. Many of them say that callers are less patient than this service is quick.
    Abandoned,
    /// The request's body is larger than `server.limits.body`.
    ///
    /// Refused unread where the head says how long it is, else as soon as it is longer. The caller sends less, or the
    /// service's owner raises the limit.
    BodyTooLarge,
    /// A dependency's breaker is open, so it was not asked.
    ///
    /// It has failed too often, or was too slow; the error says by which rule and when it is asked again. Nothing is to
    /// be done here but to answer without it ([`fallback`](crate::fallback)): look at the dependency. See
    /// [`admission::breaker`](crate::admission::breaker).
    BreakerOpen,
    /// As many calls to a dependency as this process allows are under way, and none ended in time.
    ///
    /// By its bulkhead, which guards our memory, or by the concurrency limit that was found for it; `layer` says which.
    /// Most often the dependency has become slow. See [`admission::bulkhead`](crate::admission::bulkhead) and
    /// [`admission::concurrency`](crate::admission::concurrency).
    BulkheadFull,
    /// The configuration was refused: an unknown key, a value that cannot be meant, two that contradict each other.
    ///
    /// The error names file, line and key, and what would be right. The process ends with status 78; a change while it
    /// runs is refused and the old values stay. `platform check` finds it before.
    Config,
    /// This instance is about to stop and takes no new work.
    ///
    /// Marked `safe`: nothing was begun, whoever asked goes to another instance. Nothing of the platform raises it yet,
    /// because a server that drains closes its connections in an orderly way; a handler may.
    Draining,
    /// The deadline had passed on arrival: nobody waits for an answer any more.
    ///
    /// Refused before anything is done. Its caller's time went on the way here or in a queue before; callers see their own
    /// [`Timeout`](Self::Timeout).
    Expired,
    /// Known, but not allowed.
    ///
    /// For handlers, and for `platform_http::allow`, which serves only the peers that it names. Asking again does
    /// not help.
    Forbidden,
    /// The request's headers are larger than `server.limits.headers`, or there are more of them.
    ///
    /// HTTP's parser refuses such a request by itself, before there is one to be counted; this kind is for handlers.
    HeadersTooLarge,
    /// A bug, ours or the service's: something that cannot be has happened.
    ///
    /// Callers are told no more than that; the line of the request has the rest. Also what an error of a handler is that
    /// names no better kind.
    Internal,
    /// The request makes no sense: a path, a header, a body or a value that nobody can mean.
    ///
    /// The caller's fault: it is not repeated and no guard holds it against the service. Say in the detail what would be
    /// right.
    Invalid,
    /// A dependency has no endpoint to ask.
    ///
    /// Its registry knows nobody who is ready, and nobody came within `balance.set.empty_wait`. The error says where
    /// endpoints were looked for; `/platform/targets` shows what is known. A wrong name, a service that does not run, or
    /// a registry that has never answered.
    NoEndpoints,
    /// There is no such thing.
    ///
    /// A route, or what a handler was asked for. For guards this is an answer like any other: a dependency that says so
    /// is well.
    NotFound,
    /// More work than this service can bear, so this request is not begun.
    ///
    /// By its concurrency limit, its line, shedding or fair shares; `layer` says which. Marked `safe`: it may go to
    /// another instance at once, and where much has to go a delay says when to come back. See
    /// [`manual::serving`](crate::manual::serving).
    Overloaded,
    /// The handler panicked.
    ///
    /// The request ends with a 500, the next one is served, and the log has the message and its place in the code. It is
    /// never repeated unless the request may be done twice.
    Panic,
    /// More requests than this caller may make: the server's rate of its tenant.
    ///
    /// Marked `safe`, with the time at which the next one would pass, which holds for every instance. See
    /// [`admission::rate_limit`](crate::admission::rate_limit).
    RateLimited,
    /// The process could not start: a port is taken, a certificate unreadable, a start hook failed.
    ///
    /// It ends with status 69; starting it again may help.
    Start,
    /// The client's own throttle, or its rate limit, held the call back; nothing was sent.
    ///
    /// A share of calls is turned away here while the dependency refuses most of what it gets, so that it can recover.
    /// See [`admission::throttle`](crate::admission::throttle).
    Throttled,
    /// The deadline passed while working.
    ///
    /// The error names whose limit it was: the caller's, the whole call's or the attempt's, and who was silent. Whether the
    /// work was done is not known. See [`deadline`](crate::deadline).
    Timeout,
    /// Nobody says who is calling, and somebody has to.
    ///
    /// For handlers and a team's layer in the slot `identity`, and for routes that serve only known peers.
    Unauthenticated,
    /// A dependency could not be reached; nothing was sent.
    ///
    /// Refused, no route, a name that does not resolve, a certificate that is not believed. Any method may be repeated
    /// elsewhere, and is. If it is the end of a call, none of its instances could be reached.
    Unreachable,
    /// A dependency failed for good: it answered, and with an error, or its connection was lost after the request was sent.
    ///
    /// The error has its words, who answered, in which attempt, and why it was not repeated again. For callers this is the
    /// end: they are told not to repeat it (`never`), because here it has been tried.
    Upstream,
    /// Wrong flags.
    ///
    /// The process ends with status 2 and says which flags there are.
    Usage,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [ErrorKind; 23] = [
        ErrorKind::Abandoned,
        ErrorKind::BodyTooLarge,
        ErrorKind::BreakerOpen,
        ErrorKind::BulkheadFull,
        ErrorKind::Config,
        ErrorKind::Draining,
        ErrorKind::Expired,
        ErrorKind::Forbidden,
        ErrorKind::HeadersTooLarge,
        ErrorKind::Internal,
        ErrorKind::Invalid,
        ErrorKind::NoEndpoints,
        ErrorKind::NotFound,
        ErrorKind::Overloaded,
        ErrorKind::Panic,
        ErrorKind::RateLimited,
        ErrorKind::Start,
        ErrorKind::Throttled,
        ErrorKind::Timeout,
        ErrorKind::Unauthenticated,
        ErrorKind::Unreachable,
        ErrorKind::Upstream,
        ErrorKind::Usage,
    ];

    /// The word in logs, labels and problem documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Abandoned => "abandoned",
            ErrorKind::BodyTooLarge => "body_too_large",
            ErrorKind::BreakerOpen => "breaker_open",
            ErrorKind::BulkheadFull => "bulkhead_full",
            ErrorKind::Config => "config",
            ErrorKind::Draining => "draining",
            ErrorKind::Expired => "expired",
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::HeadersTooLarge => "headers_too_large",
            ErrorKind::Internal => "internal",
            ErrorKind::Invalid => "invalid",
            ErrorKind::NoEndpoints => "no_endpoints",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Panic => "panic",
            ErrorKind::RateLimited => "rate_limited",
            ErrorKind::Start => "start",
            ErrorKind::Throttled => "throttled",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Unauthenticated => "unauthenticated",
            ErrorKind::Unreachable => "unreachable",
            ErrorKind::Upstream => "upstream",
            ErrorKind::Usage => "usage",
        }
    }

    /// The kind behind a `reason` word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// What an error of this kind means when nobody says otherwise.
    pub const fn outcome(self) -> Outcome {
        match self {
            ErrorKind::Abandoned => Outcome::Abandoned,
            ErrorKind::BodyTooLarge
            | ErrorKind::Forbidden
            | ErrorKind::HeadersTooLarge
            | ErrorKind::Invalid
            | ErrorKind::NotFound
            | ErrorKind::Unauthenticated => Outcome::CallerFault,
            ErrorKind::BreakerOpen
            | ErrorKind::BulkheadFull
            | ErrorKind::Config
            | ErrorKind::NoEndpoints
            | ErrorKind::Start
            | ErrorKind::Throttled
            | ErrorKind::Usage => Outcome::Local,
            ErrorKind::Draining | ErrorKind::Overloaded | ErrorKind::RateLimited => Outcome::Overload,
            ErrorKind::Expired | ErrorKind::Timeout => Outcome::Timeout,
            ErrorKind::Internal | ErrorKind::Panic | ErrorKind::Upstream => Outcome::ServerFault,
            ErrorKind::Unreachable => Outcome::Unreachable,
        }
    }

    /// What a caller who receives this kind may do about repeating the request.
    pub const fn mark(self) -> Option<Mark> {
        match self {
            ErrorKind::RateLimited | ErrorKind::Overloaded | ErrorKind::Draining => Some(Mark::Safe),
            ErrorKind::BreakerOpen
            | ErrorKind::BulkheadFull
            | ErrorKind::NoEndpoints
            | ErrorKind::Throttled
            | ErrorKind::Unreachable
            | ErrorKind::Upstream => Some(Mark::Never),
            _ => None,
        }
    }

    /// The exit status of a process that ends for this reason.
    pub const fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Config => 78,
            ErrorKind::Start => 69,
            ErrorKind::Usage => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_word() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ErrorKind::parse("nonsense"), None);
    }

    #[test]
    fn exit_codes_are_those_of_the_contract() {
        let codes = [ErrorKind::Config, ErrorKind::Start, ErrorKind::Usage, ErrorKind::Internal]
            .map(ErrorKind::exit_code);
        assert_eq!(codes, [78, 69, 2, 1]);
    }
}
