//! Request heads: the request line, `Host`, and what a request says about its body and connection.
//!
//! Not here: field lines (`lex`), framing fields (`fields`), writing (`encode`). Tested in
//! `request/tests.rs`.

use crate::fields::{FIELDS_MAX, Field, Fields};
use crate::host::is_authority_at;
use crate::lex;
use crate::progress::Progress;
use crate::start_line::{first_line, longest_line, no_method, no_target, supported, version};
use crate::{Asked, Framing, Known, Limits, Method, Parsed, Refusal, Rule, Span, Target, Version};

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
            if !is_authority_at(buf, self.target, true) {
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
        self.read_absolute(buf)
    }

    fn read_absolute(&mut self, buf: &[u8]) -> Result<(), Rule> {
        let target = self.target.of(buf);
        let Some(scheme_bytes) = target.windows(3).position(|w| w == b"://") else {
            return Err(Rule::TargetForm);
        };
        let (scheme, rest) = target.split_at(scheme_bytes);
        if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
            return Err(Rule::TargetScheme);
        }
        let rest = rest.get(3..).unwrap_or_default();
        let bytes = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        let start = self.target.start as usize + scheme_bytes + 3;
        if !is_authority_at(buf, Span::new(start, start + bytes), false) {
            return Err(Rule::TargetAuthority);
        }
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
            Some(host) if !is_authority_at(buf, host.value, false) => Err(Rule::HostSyntax),
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

#[cfg(test)]
mod tests;
