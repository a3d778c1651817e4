//! HTTP/1.1 as thousands of light clients need it: requests that are bytes already, answers read as
//! they come, a kilobyte of memory for a stream that says nothing.

use std::io::{self, Error, ErrorKind};
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::world::{Event, EventStream};

/// What is read at once: most streams say little, seldom.
const BUFFER: usize = 1024;
/// Longest line of a head, and largest chunk or body: far above what a scenario expects.
const LINE_MAX: usize = 8 * 1024;
const BODY_MAX: usize = 1 << 20;

/// A kept-alive connection.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<TcpStream>,
    framing: Framing,
    lasting: bool,
    /// Read of a stream's body and not taken yet.
    text: Vec<u8>,
}

/// How much body is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
    Over,
}

/// The head of an answer.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The session that was opened.
    pub session: Option<String>,
    /// Whether events follow.
    pub is_stream: bool,
    /// When to try again, in seconds.
    pub retry_after: Option<u64>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            reader: BufReader::with_capacity(BUFFER, stream),
            framing: Framing::Over,
            lasting: true,
            text: Vec::new(),
        })
    }

    /// Sends a request and reads the head of its answer.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<Head> {
        self.reader.write_all(request).await?;
        let status = self.line().await?;
        let status = status.split(' ').nth(1).and_then(|it| it.parse().ok());
        let mut head = Head {
            status: status.ok_or_else(|| unreadable("no status"))?,
            ..Head::default()
        };
        self.framing = Framing::UntilClose;
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    let length = value.parse().map_err(|_| unreadable("no length"))?;
                    self.framing = Framing::Length(length);
                }
                "transfer-encoding" => self.framing = Framing::Chunked,
                "content-type" => head.is_stream = value.starts_with("text/event-stream"),
                "retry-after" => head.retry_after = value.parse().ok(),
                "mcp-session-id" => head.session = Some(value.to_owned()),
                "connection" if value.eq_ignore_ascii_case("close") => self.lasting = false,
                _ => {}
            }
        }
        let may_be_bare = matches!(head.status, 202 | 204);
        if may_be_bare && self.framing == Framing::UntilClose {
            self.framing = Framing::Over;
        }
        Ok(head)
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn body(&mut self) -> io::Result<String> {
        while self.more().await? {}
        String::from_utf8(std::mem::take(&mut self.text)).map_err(|_| unreadable("no text"))
    }

    /// The next event; `None` at the end of the stream.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn event(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.text.drain(..end + 2).collect();
                if self.text.is_empty() {
                    // Ten thousand streams wait at once; what they once held is given back.
                    self.text = Vec::new();
                }
                let block = String::from_utf8(block).map_err(|_| unreadable("no text"))?;
                match EventStream::parse_all(&block).pop() {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    /// Whether another request can be sent, as far as the server has said by now.
    pub fn is_reusable(&self) -> bool {
        let silent = self.reader.get_ref().try_read(&mut [0]);
        let open = silent.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        open && self.lasting && self.framing == Framing::Over
    }

    /// Reads on; `false` at the end of the body.
    async fn more(&mut self) -> io::Result<bool> {
        match self.framing {
            Framing::Over => return Ok(false),
            Framing::Length(length) => {
                self.exactly(length).await?;
                self.framing = Framing::Over;
            }
            Framing::UntilClose => {
                self.lasting = false;
                if self.reader.read_buf(&mut self.text).await? == 0 {
                    self.framing = Framing::Over;
                }
            }
            Framing::Chunked => {
                let size = self.line().await?;
                let size = usize::from_str_radix(&size, 16).map_err(|_| unreadable("no size"))?;
                self.exactly(size).await?;
                self.line().await?;
                if size == 0 {
                    self.framing = Framing::Over;
                }
            }
        }
        Ok(true)
    }

    async fn exactly(&mut self, length: usize) -> io::Result<()> {
        if length > BODY_MAX {
            return Err(unreadable("a large body"));
        }
        let start = self.text.len();
        self.text.resize(start + length, 0);
        self.reader.read_exact(&mut self.text[start..]).await?;
        Ok(())
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        let mut limited = (&mut self.reader).take(LINE_MAX as u64);
        limited.read_line(&mut line).await?;
        if !line.ends_with('\n') {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

fn unreadable(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
