//! An event stream as a load generator reads it: opened, read piece by piece, held.
//!
//! It undoes the chunks of HTTP/1.1 and nothing else; what a piece says is for the caller.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http_client::Broken;

/// Largest head of an answer.
const HEAD_MAX: usize = 8 * 1024;
/// Most bytes read at once. Ten thousand held streams read almost nothing, so theirs stay small.
const PIECE: usize = 512;
const PIECE_MAX: usize = 64 * 1024;

/// The body of an answer that goes on for as long as it likes.
#[derive(Debug)]
pub(crate) struct EventStream {
    stream: TcpStream,
    raw: Vec<u8>,
    chunk: Chunk,
    /// Bytes of the body that were read and not taken.
    text: Vec<u8>,
}

/// Where in the chunks of a body the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// In the line that gives a size, so far this.
    Size(usize),
    /// In the data, with so many bytes to come.
    Data(usize),
    /// In the line break behind the data.
    Behind,
    /// Behind the last chunk.
    Over,
}

impl EventStream {
    /// Sends `request` on a connection of its own and reads the head of its answer.
    pub(crate) async fn open(address: SocketAddr, request: &[u8]) -> Result<Self, Broken> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(request).await?;
        let mut head = Vec::with_capacity(PIECE);
        let end = loop {
            if stream.read_buf(&mut head).await? == 0 {
                return Err(Broken::Closed);
            }
            let end = head.windows(4).position(|window| window == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None if head.len() > HEAD_MAX => return Err(Broken::Unreadable("a long head")),
                None => {}
            }
        };
        let lower = head[..end].to_ascii_lowercase();
        let has = |text: &[u8]| lower.windows(text.len()).any(|window| window == text);
        if !has(b"http/1.1 200 ") || !has(b"text/event-stream") || !has(b"chunked") {
            return Err(Broken::Unreadable("no event stream"));
        }
        let rest = head.split_off(end);
        let mut opened = Self {
            stream,
            raw: Vec::new(),
            chunk: Chunk::Size(0),
            text: Vec::new(),
        };
        opened.take_in(&rest)?;
        Ok(opened)
    }

    /// What came next of the body, at least a byte; `None` at its end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        loop {
            if !self.text.is_empty() {
                return Ok(Some(std::mem::take(&mut self.text)));
            }
            if self.chunk == Chunk::Over {
                return Ok(None);
            }
            let size = (self.raw.len() * 2).clamp(PIECE, PIECE_MAX);
            let mut raw = std::mem::take(&mut self.raw);
            raw.resize(size, 0);
            let read = self.stream.read(&mut raw).await?;
            if read == 0 {
                return Err(Broken::Closed);
            }
            self.take_in(&raw[..read])?;
            // Grows with what comes at once, and is given back when that is little.
            if read == raw.len() {
                self.raw = raw;
            }
        }
    }

    fn take_in(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        while let Some((&first, rest)) = bytes.split_first() {
            self.chunk = match self.chunk {
                Chunk::Size(0) if first == b'\n' => Chunk::Over,
                Chunk::Size(size) if first == b'\n' => Chunk::Data(size),
                Chunk::Size(size) if first == b'\r' => Chunk::Size(size),
                Chunk::Size(size) => {
                    let digit = char::from(first).to_digit(16);
                    let digit = digit.ok_or(Broken::Unreadable("no chunk size"))?;
                    Chunk::Size(size * 16 + digit as usize)
                }
                Chunk::Data(left) => {
                    let taken = left.min(bytes.len());
                    self.text.extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    self.chunk = match left - taken {
                        0 => Chunk::Behind,
                        left => Chunk::Data(left),
                    };
                    continue;
                }
                Chunk::Behind if first == b'\n' => Chunk::Size(0),
                Chunk::Behind => Chunk::Behind,
                Chunk::Over => Chunk::Over,
            };
            bytes = rest;
        }
        Ok(())
    }
}
