//! A client of Redis as small as its protocol: one command, one reply.
//!
//! Not the product's client, so that what is checked and what checks share no mistakes.

use std::io;
use std::net::SocketAddr;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Deepest nesting of a reply: `XRANGE` within `MULTI` has four.
const DEPTH_MAX: usize = 8;
/// Largest string in a reply: the largest value a store may keep, and far more than it does.
const BYTES_MAX: usize = 64 << 20;

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`, and strings of any length.
    Text(Vec<u8>),
    /// `-ERR ...`
    Error(String),
    /// `:1`
    Number(i64),
    /// A list; also a map, key by key.
    List(Vec<Reply>),
    /// Nothing.
    Nil,
}

impl Reply {
    /// It as text.
    ///
    /// # Panics
    /// When it is none.
    pub fn text(&self) -> String {
        match self {
            Self::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// It as a number, also one that is written out.
    ///
    /// # Panics
    /// When it is none.
    pub fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            other => (other.text().parse()).unwrap_or_else(|_| panic!("no number: {other:?}")),
        }
    }

    /// It as a list.
    ///
    /// # Panics
    /// When it is none.
    pub fn list(&self) -> &[Reply] {
        match self {
            Self::List(list) => list,
            other => panic!("no list: {other:?}"),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command and reads its reply.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn command<T: AsRef<[u8]>>(&mut self, command: &[T]) -> io::Result<Reply> {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for part in command {
            let part = part.as_ref();
            bytes.extend(format!("${}\r\n", part.len()).as_bytes());
            bytes.extend(part);
            bytes.extend(b"\r\n");
        }
        self.0.write_all(&bytes).await?;
        self.reply().await
    }

    /// Reads one reply more: `MONITOR` and subscriptions go on.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn reply(&mut self) -> io::Result<Reply> {
        self.nested(DEPTH_MAX).await
    }

    fn nested(&mut self, depth: usize) -> BoxFuture<'_, io::Result<Reply>> {
        async move {
            let line = self.line().await?;
            let (kind, rest) = line.split_at_checked(1).unwrap_or(("", ""));
            let size = || rest.parse::<i64>().map_err(|_| unreadable(&line));
            Ok(match kind {
                "+" => Reply::Text(rest.into()),
                "-" => Reply::Error(rest.to_owned()),
                ":" => Reply::Number(size()?),
                "$" => match usize::try_from(size()?) {
                    Err(_) => Reply::Nil,
                    Ok(length) if length > BYTES_MAX => return Err(unreadable(&line)),
                    Ok(length) => {
                        let mut bytes = vec![0; length + 2];
                        self.0.read_exact(&mut bytes).await?;
                        bytes.truncate(length);
                        Reply::Text(bytes)
                    }
                },
                "*" if depth > 0 => match size()? {
                    -1 => Reply::Nil,
                    count => {
                        let mut list = Vec::new();
                        for _ in 0..count {
                            list.push(self.nested(depth - 1).await?);
                        }
                        Reply::List(list)
                    }
                },
                _ => return Err(unreadable(&line)),
            })
        }
        .boxed()
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

fn unreadable(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no reply: {line:?}"))
}
