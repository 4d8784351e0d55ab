//! What an observer of bodies sees: frames, in the order in which they pass, whatever the HTTP version.
//!
//! A request's content is seen when it is taken from the downstream, once, however often it is sent; a response's when it is
//! on its way down, so never that of a response which policy did not let go. For taps and shadowing. An observer must be quick
//! and bounded: it runs on the request path. Nothing is allocated for calls that nobody observes.
//!
//! Not here: framing on the wire (`exchange`, codec). Tested: `tests/`.

use std::rc::Rc;

use baleen_http1::BodyDecoder;

/// Which way a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// With the request.
    Up,
    /// With the response.
    Down,
}

/// A piece of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame<'a> {
    /// Content; not empty.
    Data(&'a [u8]),
    /// One field of the trailers, which follow all content.
    Trailer(&'a [u8], &'a [u8]),
    /// The body is complete.
    End,
    /// The exchange broke off: nothing follows, whichever way it was.
    Reset,
}

/// Sees the bodies of one call.
pub trait Observer {
    /// A frame passes.
    fn frame(&self, way: Way, frame: Frame<'_>);
}

/// Says which calls are observed. Shared by all workers.
pub trait Observe: Send + Sync {
    /// An observer for a call to `name`, on the worker that carries it.
    fn call(&self, name: &str) -> Option<Rc<dyn Observer>>;
}

/// Tell of content that came through `decoder`.
#[inline]
pub(crate) fn tell(to: Option<&Rc<dyn Observer>>, way: Way, content: &[u8], decoder: &BodyDecoder) {
    let Some(observer) = to else { return };
    if !content.is_empty() {
        observer.frame(way, Frame::Data(content));
    }
    if decoder.is_done() {
        for (name, value) in decoder.trailers() {
            observer.frame(way, Frame::Trailer(name, value));
        }
        observer.frame(way, Frame::End);
    }
}
