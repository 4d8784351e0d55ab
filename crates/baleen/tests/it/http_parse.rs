//! A second, independent and simple reader of HTTP/1.1, so that the program is not judged by its own parser.
//!
//! It understands only well-formed messages; anything else is `Bad`. Used by the raw upstreams and the raw clients.

/// One message, cut out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// First line, without CRLF.
    pub first: String,
    /// Names as sent, values trimmed.
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, Vec<u8>)>,
    /// Bytes it took.
    pub len: usize,
    /// A response without length: it ends with the stream.
    pub until_close: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Cut {
    More,
    Bad(&'static str),
    Whole(Box<Message>),
}

impl Message {
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_slice())
    }

    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        let same = |n: &str| n.eq_ignore_ascii_case(name);
        self.fields.iter().filter(|(n, _)| same(n)).map(|(_, v)| v.as_slice()).collect()
    }

    pub fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }
}

fn line(buf: &[u8]) -> Option<(&[u8], usize)> {
    let at = buf.windows(2).position(|w| w == b"\r\n")?;
    Some((&buf[..at], at + 2))
}

type Fields = Vec<(String, Vec<u8>)>;

fn fields(buf: &[u8]) -> Result<Option<(Fields, usize)>, &'static str> {
    let (mut out, mut at) = (Vec::new(), 0);
    loop {
        let Some((l, n)) = line(&buf[at..]) else { return Ok(None) };
        at += n;
        if l.is_empty() {
            return Ok(Some((out, at)));
        }
        let colon = l.iter().position(|&c| c == b':').ok_or("field without colon")?;
        let name = std::str::from_utf8(&l[..colon]).map_err(|_| "field name")?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err("field name");
        }
        out.push((name.to_string(), l[colon + 1..].trim_ascii().to_vec()));
    }
}

/// Content, trailers, and the bytes they took.
type Chunked = (Vec<u8>, Fields, usize);

fn chunks(buf: &[u8]) -> Result<Option<Chunked>, &'static str> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some((l, n)) = line(&buf[at..]) else { return Ok(None) };
        let digits = l.split(|&c| c == b';').next().unwrap_or(l);
        let text = std::str::from_utf8(digits).map_err(|_| "chunk size")?;
        let size = usize::from_str_radix(text, 16).map_err(|_| "chunk size")?;
        at += n;
        if size == 0 {
            return Ok(fields(&buf[at..])?.map(|(t, n)| (body, t, at + n)));
        }
        if buf.len() < at + size + 2 {
            return Ok(None);
        }
        body.extend_from_slice(&buf[at..at + size]);
        if &buf[at + size..at + size + 2] != b"\r\n" {
            return Err("chunk end");
        }
        at += size + 2;
    }
}

/// Cut one message off. `no_body` for answers to HEAD. `eof`: nothing more will come.
pub fn cut(buf: &[u8], no_body: bool, eof: bool) -> Cut {
    let Some((first, n)) = line(buf) else { return Cut::More };
    let first = String::from_utf8_lossy(first).into_owned();
    let (list, m) = match fields(&buf[n..]) {
        Ok(Some(x)) => x,
        Ok(None) => return Cut::More,
        Err(why) => return Cut::Bad(why),
    };
    let head = n + m;
    let mut msg = Message {
        first,
        fields: list,
        body: Vec::new(),
        trailers: Vec::new(),
        len: head,
        until_close: false,
    };
    let response = msg.first.starts_with("HTTP/");
    let status = msg.status();
    if response && (no_body || status < 200 || status == 204 || status == 304) {
        return Cut::Whole(Box::new(msg));
    }
    if msg.get("transfer-encoding").is_some() {
        return match chunks(&buf[head..]) {
            Ok(Some((body, trailers, n))) => {
                msg.body = body;
                msg.trailers = trailers;
                msg.len += n;
                Cut::Whole(Box::new(msg))
            }
            Ok(None) => Cut::More,
            Err(why) => Cut::Bad(why),
        };
    }
    let length = msg.get("content-length").map(|v| String::from_utf8_lossy(v).parse::<usize>());
    match length {
        Some(Ok(len)) if buf.len() >= head + len => {
            msg.body = buf[head..head + len].to_vec();
            msg.len += len;
            Cut::Whole(Box::new(msg))
        }
        Some(Ok(_)) => Cut::More,
        Some(Err(_)) => Cut::Bad("length"),
        None if response && eof => {
            msg.body = buf[head..].to_vec();
            msg.len = buf.len();
            msg.until_close = true;
            Cut::Whole(Box::new(msg))
        }
        None if response => Cut::More,
        None => Cut::Whole(Box::new(msg)),
    }
}

#[test]
fn cuts_messages() {
    let Cut::Whole(m) =
        cut(b"POST / HTTP/1.1\r\nA: b\r\nContent-Length: 2\r\n\r\nhiGET", false, false)
    else {
        panic!("whole")
    };
    assert_eq!((m.body.as_slice(), m.len), (b"hi".as_slice(), 46));
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nhi\r\n0\r\nT: v\r\n\r\n";
    let Cut::Whole(m) = cut(chunked, false, false) else { panic!("whole") };
    assert_eq!((m.body.as_slice(), m.len, m.trailers.len()), (b"hi".as_slice(), chunked.len(), 1));
    assert_eq!(cut(&chunked[..60], false, false), Cut::More);
}
