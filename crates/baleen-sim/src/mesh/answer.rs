//! Which status a caller gets when Baleen itself answers. The proxy has the same table with words around it
//! (`baleen-proxy/src/answer.rs`); it can't be used from here, because it needs sockets.
//!
//! Not here: why it was refused (policy). Tested: below, against the reference page that the proxy's own tests hold.

use baleen_base::{Cause, RefusalKind};
use baleen_policy::Refusal;

/// The status of a refusal.
pub(super) fn status(refusal: &Refusal) -> u16 {
    match refusal.kind {
        RefusalKind::NoCluster
        | RefusalKind::NoEndpoint
        | RefusalKind::QueueFull
        | RefusalKind::QueueTimeout
        | RefusalKind::TooManyCalls
        | RefusalKind::RouteFull
        | RefusalKind::Shed
        | RefusalKind::Throttled
        | RefusalKind::Overloaded
        | RefusalKind::Quarantined => 503,
        RefusalKind::RateLimited => 429,
        RefusalKind::DeadlineExceeded | RefusalKind::TotalTimeout => 504,
        RefusalKind::AttemptFailed => refusal.cause.map_or(500, of_cause),
    }
}

fn of_cause(cause: Cause) -> u16 {
    match cause {
        Cause::ConnectRefused
        | Cause::ConnectFailed
        | Cause::ConnectionStale
        | Cause::ConnectionTerminated
        | Cause::ReusedConnectionTerminated
        | Cause::ResponseInvalid
        | Cause::BodyIncomplete => 502,
        Cause::ConnectTimeout | Cause::ResponseTimeout | Cause::IdleTimeout => 504,
        Cause::Status(_) | Cause::Grpc(_) | Cause::OutOfDescriptors => 503,
        Cause::DownstreamGone => 400,
        Cause::Internal => 500,
    }
}

#[cfg(test)]
mod tests {
    use baleen_base::RouteId;

    use super::*;

    fn refusal(kind: RefusalKind, cause: Option<Cause>) -> Refusal {
        Refusal {
            kind,
            cause,
            route: RouteId(0),
            cluster: None,
            endpoint: None,
            attempts: 1,
            denied: None,
            retry_after: None,
        }
    }

    /// Each "NNN `word`" of the page.
    fn documented(page: &str) -> Vec<(u16, String)> {
        let mut found = Vec::new();
        let parts: Vec<&str> = page.split('`').collect();
        for pair in parts.windows(2).step_by(1) {
            let status = pair[0].trim_end().rsplit(' ').next().and_then(|s| s.parse().ok());
            if let Some(status) = status.filter(|s| (400..600).contains(s)) {
                found.push((status, pair[1].to_owned()));
            }
        }
        found
    }

    #[test]
    fn refusals_have_the_status_of_the_reference_page() {
        let page = include_str!("../../../../docs/reference/composition.md");
        let documented = documented(page);
        let kinds = [
            RefusalKind::TooManyCalls,
            RefusalKind::Quarantined,
            RefusalKind::DeadlineExceeded,
            RefusalKind::RateLimited,
            RefusalKind::RouteFull,
            RefusalKind::NoCluster,
            RefusalKind::Shed,
            RefusalKind::Throttled,
            RefusalKind::QueueFull,
            RefusalKind::Overloaded,
            RefusalKind::NoEndpoint,
        ];
        for kind in kinds {
            let of: Vec<u16> =
                documented.iter().filter(|(_, w)| w == kind.as_str()).map(|(s, _)| *s).collect();
            assert!(!of.is_empty(), "{} is not on the page", kind.as_str());
            assert!(of.iter().all(|s| *s == status(&refusal(kind, None))), "{kind:?} {of:?}");
        }
    }

    #[test]
    fn a_failed_attempt_has_the_status_of_its_cause() {
        let of = |cause| status(&refusal(RefusalKind::AttemptFailed, Some(cause)));
        assert_eq!(of(Cause::ConnectRefused), 502);
        assert_eq!(of(Cause::ResponseTimeout), 504);
        assert_eq!(of(Cause::ConnectTimeout), 504);
        assert_eq!(of(Cause::Status(500)), 503);
        assert_eq!(of(Cause::Internal), 500);
        assert_eq!(status(&refusal(RefusalKind::AttemptFailed, None)), 500);
    }
}
