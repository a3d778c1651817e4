//! HTTP/1.1 as a load generator needs it: requests that are bytes already, answers of known length.
//!
//! One connection, one request at a time. It reads the status, the length and the body of an
//! answer and nothing else, because what the client costs is taken from the server it shares the
//! machine with.
//!
//! It does not take chunked answers, and it has no timeouts: a scenario bounds its run as a whole.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Largest answer, head and body: far above what a scenario expects.
const ANSWER_MAX: usize = 64 * 1024;

/// A kept-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, in the connection's own memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

/// Why there is no answer; the connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It ended in or before an answer.
    #[error("the connection was closed")]
    Closed,
    /// What came is no answer this client takes.
    #[error("an unreadable answer: {0}")]
    Unreadable(&'static str),
}

/// Where the parts of an answer are in the buffer.
struct Layout {
    status: u16,
    head: usize,
    whole: usize,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Broken> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; ANSWER_MAX],
        })
    }

    /// Sends one request and reads its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>, Broken> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        let layout = loop {
            match self.stream.read(&mut self.buffer[filled..]).await? {
                0 if filled == self.buffer.len() => {
                    return Err(Broken::Unreadable("larger than 64 KiB"));
                }
                0 => return Err(Broken::Closed),
                more => filled += more,
            }
            if let Some(layout) = layout(&self.buffer[..filled])? {
                break layout;
            }
        };
        if filled > layout.whole {
            return Err(Broken::Unreadable("more bytes than announced"));
        }
        Ok(Answer {
            status: layout.status,
            head: &self.buffer[..layout.head],
            body: &self.buffer[layout.head..layout.whole],
        })
    }
}

impl Answer<'_> {
    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }

    /// The status and the start of the body, for whoever wonders.
    pub(crate) fn describe(&self) -> String {
        let body = String::from_utf8_lossy(self.body);
        format!("status {}, body {body:.200}", self.status)
    }
}

/// The layout of a complete answer; `None` while some of it is missing.
fn layout(bytes: &[u8]) -> Result<Option<Layout>, Broken> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = end + 4;
    let status = bytes
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| number(rest.get(..3)?))
        .ok_or(Broken::Unreadable("no status"))?;
    // 202 and 204 may come without a length, and then without a body.
    let length = match header(&bytes[..head], "content-length") {
        Some(length) => length.parse::<usize>().ok(),
        None if header(&bytes[..head], "transfer-encoding").is_none() => Some(0),
        None => None,
    };
    let length = length
        .filter(|length| *length <= ANSWER_MAX)
        .ok_or(Broken::Unreadable("no length"))?;
    let whole = head + length;
    Ok((bytes.len() >= whole).then_some(Layout {
        status,
        head,
        whole,
    }))
}

fn number(digits: &[u8]) -> Option<u16> {
    str::from_utf8(digits).ok()?.parse().ok()
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (start, rest) = line.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":")?;
        start
            .eq_ignore_ascii_case(name.as_bytes())
            .then(|| str::from_utf8(value.trim_ascii()).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_last_byte() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nMcp-Session-Id: a\r\n\r\n{}";
        for cut in 0..text.len() {
            assert!(layout(&text[..cut]).unwrap().is_none(), "{cut}");
        }
        let layout = layout(text).unwrap().unwrap();
        assert_eq!((layout.status, layout.whole), (200, text.len()));
        assert_eq!(header(text, "mcp-session-id"), Some("a"));
    }

    #[test]
    fn an_event_stream_is_not_taken() {
        let text = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(layout(text).is_err());
    }
}
