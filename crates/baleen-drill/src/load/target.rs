//! What is sent where, and which answers are good: rendered before anything starts.
//!
//! Not here: reading a command line, sockets. Tested: below and in `tests/loopback.rs`.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use baleen_base::Prng;
use baleen_http1::{Asked, Method};

use super::Url;
use super::response::Needle;

/// Most targets of a load.
pub const TARGETS_MAX: usize = 1000;
/// Most bytes of a request's body.
pub const BODY_MAX: usize = 64 << 20;
/// Most header fields of a request.
pub const HEADERS_MAX: usize = 100;

/// One kind of request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Where to.
    pub url: Url,
    /// The method.
    pub method: String,
    /// Header fields beside `Host` (which one of this name replaces) and `Content-Length`; see [`header`].
    pub headers: Vec<(String, String)>,
    /// The body; none when empty.
    pub body: Arc<[u8]>,
    /// How often it is drawn, beside the others. At least 1.
    pub weight: u32,
    /// Which answers are good.
    pub check: Check,
}

/// Which answers are good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Those with a status in one of these.
    pub status: Vec<RangeInclusive<u16>>,
    /// And with this in their body.
    pub contains: Option<Vec<u8>>,
}

impl Default for Check {
    /// A status below 400.
    fn default() -> Check {
        Check { status: vec![200..=399], contains: None }
    }
}

/// Why a load can't be sent as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsendable(pub(super) String);

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsendable {}

impl Target {
    /// A GET.
    #[must_use]
    pub fn get(url: Url) -> Target {
        Target {
            url,
            method: "GET".to_owned(),
            headers: Vec::new(),
            body: Arc::from(&[][..]),
            weight: 1,
            check: Check::default(),
        }
    }

    /// What is wrong with it.
    pub(super) fn verify(&self) -> Result<(), Unsendable> {
        let wrong = |what: String| Err(Unsendable(what));
        if !is_token(&self.method) {
            return wrong(format!("`{}` is no method", self.method));
        }
        if self.method == "CONNECT" {
            return wrong(
                "CONNECT asks for a tunnel, and this load is made of requests".to_owned(),
            );
        }
        if self.headers.len() > HEADERS_MAX {
            return wrong(format!("more than {HEADERS_MAX} header fields"));
        }
        for (name, value) in &self.headers {
            header_parts(name, value)?;
        }
        if self.body.len() > BODY_MAX {
            return wrong(format!("a body of more than {} MiB", BODY_MAX >> 20));
        }
        if self.weight == 0 {
            return wrong("a weight of 0 is never drawn".to_owned());
        }
        Ok(())
    }
}

fn is_token(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(fine)
}

/// A header field written as `name: value`.
///
/// # Errors
/// It is none, or one that the load writes itself.
pub fn header(text: &str) -> Result<(String, String), Unsendable> {
    let Some((name, value)) = text.split_once(':') else {
        return Err(Unsendable(format!("`{text}` is no `name: value`")));
    };
    header_parts(name, value.trim())?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn header_parts(name: &str, value: &str) -> Result<(), Unsendable> {
    if !is_token(name) {
        return Err(Unsendable(format!("`{name}` is no name of a header field")));
    }
    let ours = ["content-length", "transfer-encoding", "connection", "upgrade", "expect"];
    if ours.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
        return Err(Unsendable(format!("`{name}` is written by the load itself")));
    }
    if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
        return Err(Unsendable(format!("the value of `{name}` holds a control character")));
    }
    Ok(())
}

/// A target, rendered.
pub(super) struct Rendered {
    /// Position in [`Plan::addrs`].
    pub(super) addr: usize,
    /// The request up to the value of `x-load-id`, or all of it.
    pub(super) before: Vec<u8>,
    /// What follows it.
    pub(super) after: Vec<u8>,
    pub(super) asked: Asked,
    /// By status.
    good: Box<[bool; 600]>,
    pub(super) needle: Option<Needle>,
}

impl Rendered {
    fn new(target: &Target, addr: usize, ids: bool, reuse: bool) -> Rendered {
        let own_host = target.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let mut before = format!("{} {} HTTP/1.1\r\n", target.method, target.url.path);
        if !own_host {
            before += &format!("Host: {}\r\n", target.url.host);
        }
        for (name, value) in &target.headers {
            before += &format!("{name}: {value}\r\n");
        }
        if !reuse {
            before += "Connection: close\r\n";
        }
        let bodiless =
            matches!(target.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE" | "TRACE");
        if !target.body.is_empty() || !bodiless {
            before += &format!("Content-Length: {}\r\n", target.body.len());
        }
        let mut before = before.into_bytes();
        let mut after = Vec::new();
        if ids {
            before.extend_from_slice(b"x-load-id: ");
            after.extend_from_slice(b"\r\n\r\n");
            after.extend_from_slice(&target.body);
        } else {
            before.extend_from_slice(b"\r\n");
            before.extend_from_slice(&target.body);
        }
        let mut good = Box::new([false; 600]);
        for range in &target.check.status {
            good.iter_mut().enumerate().for_each(|(n, g)| *g |= range.contains(&(n as u16)));
        }
        let needle = target.check.contains.as_deref().filter(|text| !text.is_empty());
        Rendered {
            addr,
            before,
            after,
            asked: Asked { method: Method::of(target.method.as_bytes()), upgrade: false },
            good,
            needle: needle.map(Needle::new),
        }
    }

    pub(super) fn is_good(&self, status: u16) -> bool {
        self.good.get(usize::from(status)).copied().unwrap_or(false)
    }
}

/// All targets, rendered; shared by all threads.
pub(super) struct Targets {
    pub(super) all: Vec<Rendered>,
    pub(super) addrs: Vec<SocketAddr>,
    /// Sums of weights up to and with each.
    upto: Vec<u64>,
}

impl Targets {
    pub(super) fn new(targets: &[Target], ids: bool, reuse: bool) -> Targets {
        let (mut addrs, mut all, mut upto) = (Vec::new(), Vec::new(), Vec::new());
        let mut sum = 0;
        for target in targets {
            let known = addrs.iter().position(|a| *a == target.url.addr);
            let addr = known.unwrap_or_else(|| {
                addrs.push(target.url.addr);
                addrs.len() - 1
            });
            all.push(Rendered::new(target, addr, ids, reuse));
            sum += u64::from(target.weight);
            upto.push(sum);
        }
        Targets { all, addrs, upto }
    }

    /// One of them, by weight. Nothing is drawn where there is no choice.
    pub(super) fn draw(&self, rng: &mut Prng) -> u32 {
        match self.upto[..] {
            [] | [_] => 0,
            [.., sum] => {
                let at = rng.below(sum);
                self.upto.partition_point(|upto| *upto <= at) as u32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        Target::get(text.parse().expect("a url"))
    }

    #[test]
    fn requests_as_they_go_out() {
        let get = target("http://127.0.0.1:80/a?b");
        let r = Rendered::new(&get, 0, false, true);
        assert_eq!(
            String::from_utf8_lossy(&r.before),
            "GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n"
        );
        assert!(r.after.is_empty() && r.is_good(204) && !r.is_good(404) && !r.is_good(999));
        let post = Target {
            method: "POST".to_owned(),
            headers: vec![header("Host: me").expect("a field"), header("X-A:b").expect("a field")],
            body: Arc::from(&b"xyz"[..]),
            check: Check { status: vec![404..=404, 500..=503], contains: None },
            ..get
        };
        let r = Rendered::new(&post, 0, true, false);
        assert_eq!(
            String::from_utf8_lossy(&r.before),
            "POST /a?b HTTP/1.1\r\nHost: me\r\nX-A: b\r\nConnection: close\r\nContent-Length: 3\r\nx-load-id: "
        );
        assert_eq!(r.after, b"\r\n\r\nxyz");
        assert!(r.is_good(404) && r.is_good(502) && !r.is_good(200));
    }

    #[test]
    fn fields_that_are_none_are_refused() {
        for (text, says) in [
            ("no colon", "`name: value`"),
            ("a b: c", "no name"),
            ("Content-Length: 3", "itself"),
            ("x: a\nb", "control character"),
        ] {
            let e = header(text).expect_err(text);
            assert!(e.to_string().contains(says), "{text}: {e}");
        }
        let odd = Target { method: "G T".to_owned(), ..target("http://127.0.0.1/") };
        assert!(odd.verify().is_err());
    }

    #[test]
    fn weights_are_kept() {
        let with = |weight| Target { weight, ..target("http://127.0.0.1/") };
        let targets = Targets::new(&[with(1), with(7), with(2)], false, true);
        assert_eq!((targets.addrs.len(), targets.all.len()), (1, 3));
        let mut rng = Prng::new(5);
        let mut counts = [0u32; 3];
        for _ in 0..100_000 {
            counts[targets.draw(&mut rng) as usize] += 1;
        }
        // Five standard deviations of a share of a half are 790.
        for (count, expected) in counts.iter().zip([10_000.0, 70_000.0, 20_000.0]) {
            assert!((f64::from(*count) - expected).abs() < 790.0, "{counts:?}");
        }
    }
}
