//! Why a message was refused.
//!
//! One [`Rule`] per reason, declared once in a table with its slug, the status a client is told, the
//! section of the RFC it rests on and a sentence for people. Metrics use the slug, local answers use
//! the sentence. Not here: the checks themselves (they are beside what they check). Tested in
//! `refusal/tests.rs`.

macro_rules! rules {
    ($($variant:ident $slug:literal $status:literal $rfc:literal $why:literal;)*) => {
        /// One reason to refuse a message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Rule {
            $(#[doc = $why] #[doc = concat!(" (", $rfc, ", status ", stringify!($status), ")")] $variant,)*
        }

        impl Rule {
            /// Every rule, in the order of declaration: `ALL[rule as usize] == rule`.
            pub const ALL: &'static [Rule] = &[$(Rule::$variant),*];

            /// A short name that never changes: for metrics and `Proxy-Status` details.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Rule::$variant => $slug,)* }
            }

            /// The status of the answer when a client broke the rule.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Rule::$variant => $status,)* }
            }

            /// The section the rule rests on.
            #[must_use]
            pub const fn rfc(self) -> &'static str {
                match self { $(Rule::$variant => $rfc,)* }
            }

            /// One sentence that says what was wrong.
            #[must_use]
            pub const fn why(self) -> &'static str {
                match self { $(Rule::$variant => $why,)* }
            }
        }
    };
}

rules! {
    HeadTooLarge "head-too-large" 431 "RFC 6585 5" "The head is larger than the limit.";
    TooManyFields "too-many-fields" 431 "RFC 6585 5" "The head has more fields than the limit.";
    RequestLineTooLong "request-line-too-long" 414 "RFC 9112 3" "The request line is longer than the limit.";
    LeadingLines "leading-lines" 400 "RFC 9112 2.2" "Too many empty lines came before the request line.";
    BareCr "bare-cr" 400 "RFC 9112 2.2" "A carriage return is not followed by a line feed.";
    BareLf "bare-lf" 400 "RFC 9112 2.2" "A line ends in a line feed without a carriage return.";
    Control "control-byte" 400 "RFC 9110 5.5" "A control byte stands where text belongs.";
    RequestLine "request-line" 400 "RFC 9112 3" "The request line is not a method, a target and a version with one space between them.";
    MethodSyntax "method-syntax" 400 "RFC 9110 9.1" "The method is not a token.";
    TargetSyntax "target-syntax" 400 "RFC 9112 3.2" "The target holds a byte that no URI may hold, or a fragment.";
    TargetForm "target-form" 400 "RFC 9112 3.2" "The target is in none of the forms that the method allows.";
    TargetScheme "target-scheme" 400 "RFC 9110 4.2" "The target names a scheme other than http or https.";
    TargetAuthority "target-authority" 400 "RFC 9110 4.2" "The authority in the target is not a host with an optional port.";
    Http09 "http-0.9" 400 "RFC 9112 2.3" "The request line has no version, as in HTTP/0.9.";
    VersionSyntax "version-syntax" 400 "RFC 9112 2.3" "The version is not written as HTTP/digit.digit.";
    VersionUnsupported "version-unsupported" 505 "RFC 9110 15.6.6" "The version is neither HTTP/1.0 nor HTTP/1.1.";
    ConnectNotAllowed "connect-not-allowed" 501 "RFC 9110 9.3.6" "CONNECT is not offered here.";
    ConnectWithBody "connect-with-body" 400 "RFC 9110 9.3.6" "A CONNECT request announces a body.";
    NameEmpty "name-empty" 400 "RFC 9112 5" "A field has no name.";
    NameSyntax "name-syntax" 400 "RFC 9110 5.1" "A field name holds a byte that no token may hold.";
    NameSpace "name-space" 400 "RFC 9112 5.1" "White space stands in a field name or before its colon.";
    NoColon "no-colon" 400 "RFC 9112 5" "A line of the head has no colon.";
    Folded "folded-line" 400 "RFC 9112 5.2" "A line starts with white space: folded lines are obsolete.";
    HostMissing "host-missing" 400 "RFC 9112 3.2" "An HTTP/1.1 request has no Host.";
    HostRepeated "host-repeated" 400 "RFC 9112 3.2" "The request has more than one Host.";
    HostSyntax "host-syntax" 400 "RFC 9112 3.2" "Host is not a host with an optional port.";
    LengthSyntax "length-syntax" 400 "RFC 9110 8.6" "Content-Length is not a plain decimal number.";
    LengthOverflow "length-overflow" 400 "RFC 9110 8.6" "Content-Length is too large.";
    LengthRepeated "length-repeated" 400 "RFC 9112 6.3" "There is more than one Content-Length.";
    LengthWithCoding "length-with-coding" 400 "RFC 9112 6.1" "Content-Length and Transfer-Encoding stand in one message.";
    CodingSyntax "coding-syntax" 400 "RFC 9112 6.1" "Transfer-Encoding is not a list of codings.";
    CodingUnknown "coding-unknown" 501 "RFC 9112 6.1" "The transfer coding is not chunked.";
    CodingRepeated "coding-repeated" 400 "RFC 9112 6.1" "The chunked coding is applied more than once.";
    CodingNotLast "coding-not-last" 400 "RFC 9112 6.3" "Chunked is not the last transfer coding.";
    CodingInHttp10 "coding-in-http-1.0" 400 "RFC 9112 6.1" "An HTTP/1.0 message has a Transfer-Encoding.";
    ConnectionSyntax "connection-syntax" 400 "RFC 9110 7.6.1" "Connection is not a list of tokens.";
    ConnectionOptions "connection-options" 400 "RFC 9110 7.6.1" "Connection lists too many options.";
    UpgradeSyntax "upgrade-syntax" 400 "RFC 9110 7.8" "Upgrade is not a list of protocols.";
    Expectation "expectation" 417 "RFC 9110 10.1.1" "Expect asks for something other than 100-continue.";
    StatusLine "status-line" 502 "RFC 9112 4" "The status line is not a version, a status and a reason.";
    StatusCode "status-code" 502 "RFC 9110 15" "The status is not a number from 100 to 599.";
    BodyNotAllowed "body-not-allowed" 502 "RFC 9110 8.6" "A response that has no body announces one.";
    SwitchUnasked "switch-unasked" 502 "RFC 9110 15.2.2" "The server switched protocols without being asked, or without saying to which.";
    ChunkSize "chunk-size" 400 "RFC 9112 7.1" "A chunk size is not one to sixteen hex digits.";
    ChunkOverflow "chunk-overflow" 400 "RFC 9112 7.1" "A chunk size is too large.";
    ChunkLineTooLong "chunk-line-too-long" 400 "RFC 9112 7.1.1" "A chunk size with its extensions is longer than the limit.";
    ChunkExtension "chunk-extension" 400 "RFC 9112 7.1.1" "A chunk extension is not `;name` or `;name=value`.";
    ChunkEnd "chunk-end" 400 "RFC 9112 7.1" "The content of a chunk is not followed by the end of its line.";
    TrailersTooLarge "trailers-too-large" 431 "RFC 6585 5" "The trailer section is larger than the limit.";
    TooManyTrailers "too-many-trailers" 431 "RFC 6585 5" "The trailer section has more fields than the limit.";
    TrailerForbidden "trailer-forbidden" 400 "RFC 9110 6.5.1" "A trailer field may only stand in a head.";
    Truncated "truncated" 400 "RFC 9112 8" "The message ended before its body was complete.";
}

/// A message that is not acted on, and the status that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was wrong.
    pub rule: Rule,
    /// The status to answer with; 502 for everything a server did wrong.
    pub status: u16,
}

impl Refusal {
    /// The same refusal as told to a client when a server is to blame.
    #[must_use]
    pub const fn by_upstream(self) -> Self {
        Self { rule: self.rule, status: 502 }
    }
}

impl From<Rule> for Refusal {
    fn from(rule: Rule) -> Self {
        Self { rule, status: rule.status() }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({}, {})", self.rule.why(), self.rule.as_str(), self.rule.rfc())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests;
