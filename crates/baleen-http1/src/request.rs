//! Request heads: the request line, `Host`, and what a request says about its body and connection.
//!
//! Not here: field lines (`lex`), framing fields (`fields`), writing (`encode`). Tested in
//! `request/tests.rs`.

use crate::fields::{FIELDS_MAX, Field, Fields};
use crate::lex::{self, Progress};
use crate::{Asked, Framing, Known, Limits, Parsed, Refusal, Rule, Span, Version, is_authority};

/// Empty lines before a request line that are ignored: some old clients send one after a body.
const EMPTY_LINES_MAX: usize = 2;

/// What a request method is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the method of that name")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Trace,
    Connect,
    /// Any other token; methods are case-sensitive, so `get` is one.
    Other,
}

impl Method {
    /// The method of this name.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }

    /// Does sending it twice mean the same as sending it once (RFC 9110 9.2.2)?
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }

    /// Does it only read (RFC 9110 9.2.1)?
    #[must_use]
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }
}

/// In which form the target came (RFC 9112 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://host/path?query`; its authority replaces `Host`.
    Absolute,
    /// `host:port`, for CONNECT.
    Authority,
    /// `*`, for OPTIONS.
    Asterisk,
}

/// What requests are allowed to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestOptions {
    /// Accept CONNECT.
    pub allow_connect: bool,
}

/// A parsed request head. Reuse it: it keeps its memory.
///
/// While [`parse`](Self::parse) says [`Parsed::Partial`], call it with the same bytes at the same
/// place and more behind them, or [`reset`](Self::reset) it. All spans are about the buffer of the
/// call that completed; what the getters say before that means nothing.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    pub(crate) fields: Fields,
    progress: Progress,
    /// Where the request line starts (after ignored empty lines) and where the first field does.
    pub(crate) line: Span,
    method_name: Span,
    method: Method,
    pub(crate) target: Span,
    form: Target,
    authority: Option<Span>,
    path: Span,
    version: Version,
    framing: Framing,
    keep_alive: bool,
    upgrade: Option<Span>,
    expect_continue: bool,
    begun: bool,
}

impl RequestHead {
    /// An empty head, without memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets a head that did not complete, because the next call is about another one.
    pub fn reset(&mut self) {
        self.progress.reset();
        self.begun = false;
    }

    /// Parses the head at the start of `buf`. At most two empty lines before it are ignored.
    ///
    /// # Errors
    ///
    /// The rule that was broken and the status to answer with. The connection must be closed then:
    /// where the next message would start is unknown.
    #[inline]
    pub fn parse(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        options: &RequestOptions,
    ) -> Result<Parsed, Refusal> {
        let limit = limits.head_bytes.min(u32::MAX as usize);
        let view = buf.get(..limit).unwrap_or(buf);
        let line_limit = longest_line(self.line.start as usize, limits);
        if self.begun && !self.progress.worth_parsing(view, line_limit) && buf.len() < limit {
            return Ok(Parsed::Partial);
        }
        self.fields.clear();
        self.line = Span::default();
        match self.attempt(view, limits, options) {
            Ok(Some(consumed)) => {
                self.progress.reset();
                Ok(Parsed::Complete { consumed })
            }
            Ok(None) if buf.len() < limit => {
                self.progress.partial(view, !self.line.is_empty());
                Ok(Parsed::Partial)
            }
            Ok(None) => {
                self.progress.reset();
                Err(Rule::HeadTooLarge.into())
            }
            Err(rule) => {
                self.progress.reset();
                Err(rule.into())
            }
        }
    }

    #[inline]
    fn attempt(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        options: &RequestOptions,
    ) -> Result<Option<usize>, Rule> {
        let Some(fields_start) = self.request_line(buf, limits, options)? else { return Ok(None) };
        let most = limits.fields.min(FIELDS_MAX);
        let end = lex::field_lines(buf, fields_start, &mut self.fields, most)?;
        if end.is_some() {
            self.understand(buf)?;
        }
        Ok(end)
    }

    /// Reads the request line and returns the index after it.
    #[inline]
    fn request_line(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        options: &RequestOptions,
    ) -> Result<Option<usize>, Rule> {
        let Some(start) = first_line(buf)? else {
            self.begun = false;
            return Ok(None);
        };
        self.begun = true;
        self.line = Span::new(start, start);
        let longest = longest_line(start, limits);
        let line = buf.get(..longest).unwrap_or(buf);
        let cut = if buf.len() >= longest { Err(Rule::RequestLineTooLong) } else { Ok(None) };

        let method_end = lex::token_end(line, start);
        match line.get(method_end) {
            None => return cut,
            Some(b' ') if method_end > start => {}
            Some(b) => return Err(no_method(*b)),
        }
        let target_start = method_end + 1;
        let target_end = lex::target_end(line, target_start);
        match line.get(target_end) {
            None => return cut,
            Some(b' ') if target_end > target_start => {}
            Some(b) => return Err(no_target(*b, target_end > target_start)),
        }
        let Some((version, end)) = version(line, target_end + 1)? else { return cut };
        let (Some(b"\r"), Some(b"\n")) = (line.get(end..=end), line.get(end + 1..end + 2)) else {
            return match lex::line_end(line, end) {
                Ok(_) => cut,
                Err(Rule::Control) => Err(Rule::VersionSyntax),
                Err(rule) => Err(rule),
            };
        };
        self.version = supported(version)?;
        self.method_name = Span::new(start, method_end);
        self.method = Method::of(self.method_name.of(buf));
        self.target = Span::new(target_start, target_end);
        self.read_target(buf, options)?;
        self.line = Span::new(start, end + 2);
        Ok(Some(end + 2))
    }

    /// Sorts the target into its form.
    #[inline]
    fn read_target(&mut self, buf: &[u8], options: &RequestOptions) -> Result<(), Rule> {
        let target = self.target.of(buf);
        self.authority = None;
        self.path = self.target;
        if self.method == Method::Connect {
            if !options.allow_connect {
                return Err(Rule::ConnectNotAllowed);
            }
            if !is_authority(target, true) {
                return Err(Rule::TargetForm);
            }
            self.form = Target::Authority;
            self.authority = Some(self.target);
            self.path = Span::new(self.target.end as usize, self.target.end as usize);
            return Ok(());
        }
        if target.first() == Some(&b'/') {
            self.form = Target::Origin;
            return Ok(());
        }
        if target == b"*" && self.method == Method::Options {
            self.form = Target::Asterisk;
            return Ok(());
        }
        self.read_absolute(target)
    }

    fn read_absolute(&mut self, target: &[u8]) -> Result<(), Rule> {
        let Some(scheme_bytes) = target.windows(3).position(|w| w == b"://") else {
            return Err(Rule::TargetForm);
        };
        let (scheme, rest) = target.split_at(scheme_bytes);
        if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
            return Err(Rule::TargetScheme);
        }
        let rest = rest.get(3..).unwrap_or_default();
        let bytes = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        if !is_authority(rest.get(..bytes).unwrap_or_default(), false) {
            return Err(Rule::TargetAuthority);
        }
        let start = self.target.start as usize + scheme_bytes + 3;
        self.form = Target::Absolute;
        self.authority = Some(Span::new(start, start + bytes));
        self.path = Span::new(start + bytes, self.target.end as usize);
        Ok(())
    }

    /// What the fields say, once all are there.
    #[inline]
    fn understand(&mut self, buf: &[u8]) -> Result<(), Rule> {
        let connection = self.fields.connection(buf)?;
        self.read_host(buf)?;
        let length = self.fields.content_length(buf)?;
        self.framing = match length {
            _ if self.fields.chunked(buf, self.version)? => Framing::Chunked,
            Some(n) => Framing::Length(n),
            None => Framing::None,
        };
        if self.method == Method::Connect && self.framing != Framing::None {
            return Err(Rule::ConnectWithBody);
        }
        self.keep_alive = connection.persists(self.version);
        self.upgrade = None;
        self.expect_continue = false;
        if self.fields.has(Known::Upgrade) {
            let offered = self.fields.upgrade(buf)?;
            if connection.upgrade && self.version == Version::Http11 {
                self.upgrade = offered;
            }
        }
        if self.fields.has(Known::Expect) {
            if self.version == Version::Http10 {
                // To be ignored (RFC 9110 10.1.1), and it would mean something when sent on as 1.1.
                self.fields.hop_by_hop |= self.fields.mask(Known::Expect.bit());
                return Ok(());
            }
            let mut all = self.fields.all(Known::Expect);
            if !all.all(|f| f.value.of(buf).eq_ignore_ascii_case(b"100-continue")) {
                return Err(Rule::Expectation);
            }
            self.expect_continue = !matches!(self.framing, Framing::None | Framing::Length(0));
        }
        Ok(())
    }

    #[inline]
    fn read_host(&mut self, buf: &[u8]) -> Result<(), Rule> {
        match self.fields.all(Known::Host).next() {
            None if self.version == Version::Http11 => Err(Rule::HostMissing),
            None => Ok(()),
            Some(host) if !is_authority(host.value.of(buf), false) => Err(Rule::HostSyntax),
            Some(host) => {
                self.authority = self.authority.or(Some(host.value));
                Ok(())
            }
        }
    }

    /// After [`Parsed::Partial`]: has anything but empty lines arrived? If not, the client is idle.
    #[must_use]
    pub fn begun(&self) -> bool {
        self.begun
    }

    /// The method as it came.
    #[must_use]
    pub fn method_name(&self) -> Span {
        self.method_name
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The target as it came.
    #[must_use]
    pub fn target(&self) -> Span {
        self.target
    }

    /// The form of the target.
    #[must_use]
    pub fn form(&self) -> Target {
        self.form
    }

    /// Host and port the request is for: from the target if it has them, else from `Host`. Nothing
    /// only in HTTP/1.0.
    #[must_use]
    pub fn authority(&self) -> Option<Span> {
        self.authority
    }

    /// Path and query. Empty, or starting with `?`, if an absolute target has no path (which means
    /// `/`): [`forward_prefix`](Self::forward_prefix) is what to put before it. Empty for CONNECT.
    #[must_use]
    pub fn path_and_query(&self) -> Span {
        self.path
    }

    /// What stands before [`path_and_query`](Self::path_and_query) in the target sent on: nothing,
    /// `/`, or `*` for OPTIONS on a whole server (RFC 9112 3.2.4).
    #[must_use]
    pub fn forward_prefix(&self, buf: &[u8]) -> &'static [u8] {
        match (self.form, self.path.of(buf).first()) {
            (Target::Absolute, None) if self.method == Method::Options => b"*",
            (Target::Absolute, None | Some(b'?')) => b"/",
            _ => b"",
        }
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The fields in order.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields.list
    }

    /// How the body ends; never [`Framing::UntilClose`].
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Does the client want the connection to live on?
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The protocols the client offers to switch to: only in HTTP/1.1, only if `Connection` says so,
    /// and never to another HTTP or TLS.
    #[must_use]
    pub fn upgrade(&self) -> Option<Span> {
        self.upgrade
    }

    /// Does the client wait for 100 before it sends the body? Never without a body or in HTTP/1.0.
    #[must_use]
    pub fn expect_continue(&self) -> bool {
        self.expect_continue
    }

    /// One bit for each field that concerns this connection only. [`crate::encode_request`] always
    /// drops them.
    #[must_use]
    pub fn hop_by_hop(&self) -> u128 {
        self.fields.hop_by_hop
    }

    /// Is there a field of this name?
    #[inline]
    #[must_use]
    pub fn has(&self, known: Known) -> bool {
        self.fields.has(known)
    }

    /// All fields of this name, in order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &Field> {
        self.fields.all(known)
    }

    /// One bit for each field whose name is in `names`, a sum of [`Known::bit`]s.
    #[must_use]
    pub fn mask(&self, names: u32) -> u128 {
        self.fields.mask(names)
    }

    /// The value of the first field of this name, in any case.
    #[must_use]
    pub fn find<'b>(&self, buf: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
        self.fields.find(buf, name)
    }

    /// What the response to this request has to be read with. `upgrade_sent` says whether the offer
    /// to upgrade was passed on.
    #[must_use]
    pub fn asked(&self, upgrade_sent: bool) -> Asked {
        Asked { method: self.method, upgrade: upgrade_sent && self.upgrade.is_some() }
    }
}

/// Where the longest request line that starts at `start` ends, with its line end.
#[inline]
fn longest_line(start: usize, limits: &Limits) -> usize {
    start.saturating_add(limits.request_line_bytes).saturating_add(2)
}

/// Where the request line starts: after the empty lines that are ignored.
#[inline]
fn first_line(buf: &[u8]) -> Result<Option<usize>, Rule> {
    let mut at = 0;
    loop {
        match buf.get(at) {
            None => return Ok(None),
            Some(b'\r' | b'\n') => match lex::line_end(buf, at)? {
                None => return Ok(None),
                Some(_) if at == 2 * EMPTY_LINES_MAX => return Err(Rule::LeadingLines),
                Some(next) => at = next,
            },
            Some(_) => return Ok(Some(at)),
        }
    }
}

#[cold]
fn no_method(stop: u8) -> Rule {
    match stop {
        b'\r' | b'\n' | b'\t' => Rule::RequestLine,
        b if lex::is_control(b) => Rule::Control,
        _ => Rule::MethodSyntax,
    }
}

#[cold]
fn no_target(stop: u8, any: bool) -> Rule {
    match stop {
        b'\r' | b'\n' if any => Rule::Http09,
        b'\r' | b'\n' | b'\t' | b' ' => Rule::RequestLine,
        b if lex::is_control(b) => Rule::Control,
        _ => Rule::TargetSyntax,
    }
}

/// Reads `HTTP/d.d` at `at` and returns its digits and the index after it, or `None` if it has not
/// arrived yet.
#[inline]
pub(crate) fn version(buf: &[u8], at: usize) -> Result<Option<([u8; 2], usize)>, Rule> {
    let rest = buf.get(at..).unwrap_or_default();
    if let Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1')]) =
        rest.first_chunk::<8>()
    {
        return Ok(Some(([b'1', *minor], at + 8)));
    }
    odd_version(rest, at)
}

#[cold]
fn odd_version(rest: &[u8], at: usize) -> Result<Option<([u8; 2], usize)>, Rule> {
    for (expected, found) in b"HTTP/d.d".iter().zip(rest) {
        let fits = if *expected == b'd' { found.is_ascii_digit() } else { expected == found };
        if !fits {
            return Err(Rule::VersionSyntax);
        }
    }
    match (rest.get(5), rest.get(7)) {
        (Some(major), Some(minor)) => Ok(Some(([*major, *minor], at + 8))),
        _ => Ok(None),
    }
}

#[inline]
pub(crate) fn supported(version: [u8; 2]) -> Result<Version, Rule> {
    match &version {
        b"11" => Ok(Version::Http11),
        b"10" => Ok(Version::Http10),
        _ => Err(Rule::VersionUnsupported),
    }
}

#[cfg(test)]
mod tests;
