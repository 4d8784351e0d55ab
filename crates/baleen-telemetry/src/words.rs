//! Positions of the enums of events in rows of counters, and the words that stand for them in labels.
//!
//! Not here: the causes (`baleen_base::Cause::ALL`). Tested: below.

use baleen_base::{Cause, ClientClose, ConnClose, EjectReason, RefusalKind, RetryDenied};

/// Causes, for the length of rows.
pub(crate) const CAUSES: usize = Cause::ALL.len();

/// Classes of statuses; the last is for what is no status.
pub(crate) const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// The position of a status in [`CLASSES`].
#[inline]
pub(crate) const fn class(status: u16) -> usize {
    match status {
        100..=599 => status as usize / 100 - 1,
        _ => 5,
    }
}

/// The word of a cause that may be missing; the last position is for "none".
pub(crate) fn cause_word(index: usize) -> &'static str {
    Cause::ALL.get(index).map_or("none", |c| c.as_str())
}

/// Why calls are refused, in the order of [`refusal`].
pub(crate) const REFUSALS: [RefusalKind; 14] = [
    RefusalKind::NoCluster,
    RefusalKind::NoEndpoint,
    RefusalKind::QueueFull,
    RefusalKind::QueueTimeout,
    RefusalKind::TotalTimeout,
    RefusalKind::AttemptFailed,
    RefusalKind::TooManyCalls,
    RefusalKind::RouteFull,
    RefusalKind::RateLimited,
    RefusalKind::Shed,
    RefusalKind::Throttled,
    RefusalKind::Overloaded,
    RefusalKind::DeadlineExceeded,
    RefusalKind::Quarantined,
];

/// The position in [`REFUSALS`].
pub(crate) const fn refusal(kind: RefusalKind) -> usize {
    match kind {
        RefusalKind::NoCluster => 0,
        RefusalKind::NoEndpoint => 1,
        RefusalKind::QueueFull => 2,
        RefusalKind::QueueTimeout => 3,
        RefusalKind::TotalTimeout => 4,
        RefusalKind::AttemptFailed => 5,
        RefusalKind::TooManyCalls => 6,
        RefusalKind::RouteFull => 7,
        RefusalKind::RateLimited => 8,
        RefusalKind::Shed => 9,
        RefusalKind::Throttled => 10,
        RefusalKind::Overloaded => 11,
        RefusalKind::DeadlineExceeded => 12,
        RefusalKind::Quarantined => 13,
    }
}

/// Why retries are denied, in the order of [`denied`].
pub(crate) const DENIALS: [RetryDenied; 9] = [
    RetryDenied::Tries,
    RetryDenied::Pool,
    RetryDenied::NotIdempotent,
    RetryDenied::BodyGone,
    RetryDenied::NoTime,
    RetryDenied::Nested,
    RetryDenied::PushedBack,
    RetryDenied::Poison,
    RetryDenied::Classifier,
];

/// The position in [`DENIALS`].
pub(crate) const fn denied(why: RetryDenied) -> usize {
    match why {
        RetryDenied::Tries => 0,
        RetryDenied::Pool => 1,
        RetryDenied::NotIdempotent => 2,
        RetryDenied::BodyGone => 3,
        RetryDenied::NoTime => 4,
        RetryDenied::Nested => 5,
        RetryDenied::PushedBack => 6,
        RetryDenied::Poison => 7,
        RetryDenied::Classifier => 8,
    }
}

/// How downstream connections end, in the order of [`client_close`].
pub(crate) const CLIENT_CLOSES: [&str; 6] = [
    ClientClose::TooMany.as_str(),
    ClientClose::HeadTimeout.as_str(),
    ClientClose::BodyTimeout.as_str(),
    ClientClose::TooSlow.as_str(),
    ClientClose::KeepAliveIdle.as_str(),
    "ended",
];

/// The position in [`CLIENT_CLOSES`].
pub(crate) const fn client_close(why: Option<ClientClose>) -> usize {
    match why {
        Some(ClientClose::TooMany) => 0,
        Some(ClientClose::HeadTimeout) => 1,
        Some(ClientClose::BodyTimeout) => 2,
        Some(ClientClose::TooSlow) => 3,
        Some(ClientClose::KeepAliveIdle) => 4,
        None => 5,
    }
}

/// How upstream connections end, in the order of [`conn_close`].
pub(crate) const CONN_CLOSES: [&str; 5] = [
    ConnClose::Idle.as_str(),
    ConnClose::PoolFull.as_str(),
    ConnClose::Age.as_str(),
    ConnClose::EndpointGone.as_str(),
    "ended",
];

/// The position in [`CONN_CLOSES`].
pub(crate) const fn conn_close(why: Option<ConnClose>) -> usize {
    match why {
        Some(ConnClose::Idle) => 0,
        Some(ConnClose::PoolFull) => 1,
        Some(ConnClose::Age) => 2,
        Some(ConnClose::EndpointGone) => 3,
        None => 4,
    }
}

/// Why endpoints are ejected, in the order of [`ejection`].
pub(crate) const EJECTIONS: [&str; 5] =
    ["consecutive_failures", "trial_failed", "success_rate", "success_outlier", "latency_outlier"];

/// The position in [`EJECTIONS`].
pub(crate) const fn ejection(reason: EjectReason) -> usize {
    match reason {
        EjectReason::ConsecutiveFailures { .. } => 0,
        EjectReason::TrialFailed { .. } => 1,
        EjectReason::SuccessRate { .. } => 2,
        EjectReason::SuccessOutlier { .. } => 3,
        EjectReason::LatencyOutlier { .. } => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_match_the_words() {
        for (i, kind) in REFUSALS.into_iter().enumerate() {
            assert_eq!(refusal(kind), i);
        }
        for (i, why) in DENIALS.into_iter().enumerate() {
            assert_eq!(denied(why), i);
        }
        let client = [
            ClientClose::TooMany,
            ClientClose::HeadTimeout,
            ClientClose::BodyTimeout,
            ClientClose::TooSlow,
            ClientClose::KeepAliveIdle,
        ];
        for why in client {
            assert_eq!(CLIENT_CLOSES[client_close(Some(why))], why.as_str());
        }
        let conn = [ConnClose::Idle, ConnClose::PoolFull, ConnClose::Age, ConnClose::EndpointGone];
        for why in conn {
            assert_eq!(CONN_CLOSES[conn_close(Some(why))], why.as_str());
        }
        assert_eq!(CLIENT_CLOSES[client_close(None)], "ended");
        assert_eq!(CONN_CLOSES[conn_close(None)], "ended");
    }

    #[test]
    fn classes() {
        let words = [99, 100, 199, 200, 304, 404, 599, 600].map(|s| CLASSES[class(s)]);
        assert_eq!(words, ["other", "1xx", "1xx", "2xx", "3xx", "4xx", "5xx", "other"]);
    }
}
