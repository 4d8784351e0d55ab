//! How many files and connections this process may have open.
//!
//! Not here: what becomes of it when that is too few; each user says that in its own words. Tested: below.

/// Raises the soft limit to the hard one and says how many there may be now; `None`: the system does not say.
pub fn raise() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for what `getrlimit` writes, and then a valid limit.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return None;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
            limit = raised;
        }
    }
    Some(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_as_high_as_it_goes() {
        assert!(super::raise().is_some_and(|most| most > 0));
        assert_eq!(super::raise(), super::raise());
    }
}
