//! A request's name, and what it is bound to; or why it is not.
//!
//! A name whose place is not known yet waits for a newer directory, at most as long as the worker allows, and only so many requests at a
//! time; then it is answered that it is not known. A downstream that leaves meanwhile is noticed afterwards.
//!
//! Not here: names (`identify`), where they lead (`names`), answers (`local`). Tested: `tests/it/names.rs`.

use std::cell::Cell;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;

use baleen_http1::Method;

use super::call::view;
use super::{Client, Scratch};
use crate::forward;
use crate::identify::{Hit, NoName};
use crate::names::{Bound, Nowhere, WAITING_MAX, carried};

/// Why a request leads nowhere.
pub(super) enum Unbound {
    /// It has no name.
    NoName(NoName),
    /// It is answered by this rule, and has no name.
    ByRule(u16),
    /// Its name leads nowhere; whether the request brought a table of its own.
    Nowhere(Nowhere, bool),
    /// The table that it brought is wrong.
    BadTable(Box<str>),
    /// It goes in circles.
    Loop,
    /// It is an OPTIONS that is not to go farther.
    LastOptions,
    /// It is a TRACE that is not to go farther.
    LastTrace,
}

impl Unbound {
    /// Whether it may be known soon; then whether the request brought a table of its own.
    #[inline]
    pub(super) fn may_wait(&self) -> Option<bool> {
        match self {
            Unbound::Nowhere(Nowhere::Undecided(_), own) => Some(*own),
            _ => None,
        }
    }
}

/// One that waits, counted.
struct Waits<'w>(&'w Cell<usize>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl<'w> Client<'w> {
    /// Give it a name and find where that leads, and what the rule that named it says besides.
    #[inline]
    pub(super) fn bind(&self, s: &mut Scratch) -> Result<(Bound<'w>, Hit), Unbound> {
        let view = view(&s.request, s.input.upto_end());
        if forward::is_loop(&view) {
            return Err(Unbound::Loop);
        }
        match forward::hops_left(&view) {
            Some(0) if s.request.method() == Method::Options => return Err(Unbound::LastOptions),
            Some(0) => return Err(Unbound::LastTrace),
            _ => {}
        }
        let naming = &self.site.naming;
        let hit = naming.name(&view, self.trusted, &mut s.name).map_err(Unbound::NoName)?;
        if let (true, Some(rule)) = (hit.own, hit.rule) {
            return Err(Unbound::ByRule(rule));
        }
        // Who is not believed brings no table; what came is not sent on either.
        let own =
            if self.trusted { carried::carried(&view).map_err(Unbound::BadTable)? } else { None };
        let w = self.w;
        let directory = w.directory.borrow();
        let bound = w.binder.bind(directory.places(), &w.driver, &s.name, own.as_ref());
        match bound {
            Ok(bound) => Ok((bound, hit)),
            Err(nowhere) => Err(Unbound::Nowhere(nowhere, own.is_some())),
        }
    }

    /// The same once it is known. `own`: the request brought a table of its own.
    #[cold]
    pub(super) async fn bind_later(
        &self,
        s: &mut Scratch,
        own: bool,
    ) -> Result<(Bound<'w>, Hit), Unbound> {
        let binder = &self.w.binder;
        if binder.waiting.get() >= WAITING_MAX {
            let what = "requests that wait for their names to be found out";
            return Err(Unbound::Nowhere(Nowhere::Full(what), own));
        }
        binder.waiting.set(binder.waiting.get() + 1);
        let _waits = Waits(&binder.waiting);
        let mut timeout = pin!(tokio::time::sleep(binder.bind_timeout));
        loop {
            let mut news = pin!(binder.news.notified());
            // Registered before the directory is read, so that no change is missed.
            news.as_mut().enable();
            match self.bind(s) {
                Err(unbound) if unbound.may_wait().is_some() => {
                    let go_on = poll_fn(|cx| {
                        if news.as_mut().poll(cx).is_ready() {
                            return Poll::Ready(true);
                        }
                        let ends = self.w.driver.has_mail(self.id);
                        if ends || timeout.as_mut().poll(cx).is_ready() {
                            return Poll::Ready(false);
                        }
                        Poll::Pending
                    });
                    let go_on = go_on.await;
                    self.w.driver.tick();
                    if !go_on {
                        return Err(unbound);
                    }
                }
                other => return other,
            }
        }
    }
}
