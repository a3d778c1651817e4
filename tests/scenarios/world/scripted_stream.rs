//! A server of HTTP+SSE that says what it is told: what our client meets elsewhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::scripted::{Heard, read};

/// What is said on the stream of a client when it has posted a message.
#[derive(Clone, Debug)]
pub enum Say {
    /// These messages.
    Messages(Vec<Value>),
    /// This again and again, for as long as the client reads.
    Endless(String),
    /// Nothing.
    Nothing,
    /// Nothing any more: the stream ends.
    End,
}

/// Where the clients of the streams post, and how each is told of it.
type Streams = Arc<Mutex<HashMap<String, mpsc::UnboundedSender<Say>>>>;

/// See the module docs. Stopped when dropped.
#[derive(Debug)]
pub struct ScriptedStream {
    /// Where its streams are.
    pub url: String,
    accepting: JoinHandle<()>,
}

impl Drop for ScriptedStream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl ScriptedStream {
    /// Answers each message on the stream of who posts it.
    pub async fn start(answer: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/sse", listener.local_addr().unwrap());
        let (streams, answer) = (Streams::default(), Arc::new(answer));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (streams, answer) = (streams.clone(), answer.clone());
                tokio::spawn(async move { serve(stream, &streams, &*answer).await });
            }
        });
        Self { url, accepting }
    }
}

async fn serve(mut stream: TcpStream, streams: &Streams, answer: &(dyn Fn(&Heard) -> Say + Sync)) {
    let Some(heard) = read(&mut stream).await else {
        return;
    };
    println!(
        "-> {} {} {:.200}",
        heard.verb,
        heard.path,
        heard.message.to_string()
    );
    if heard.verb == "GET" {
        return say(stream, streams).await;
    }
    let sender = streams.lock().unwrap().get(&heard.path).cloned();
    let status = match sender {
        Some(sender) => {
            sender.send(answer(&heard)).ok();
            "202 Accepted"
        }
        None => "405 Method Not Allowed",
    };
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

/// Carries what is said to one client.
async fn say(mut stream: TcpStream, streams: &Streams) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let post = format!("/messages/{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let (sender, mut said) = mpsc::unbounded_channel();
    streams.lock().unwrap().insert(post.clone(), sender);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    let first = format!("{head}event: endpoint\ndata: {post}\n\n");
    let mut written = stream.write_all(first.as_bytes()).await;
    while let Some(say) = said.recv().await {
        match say {
            Say::Messages(messages) => {
                let events = messages.iter().map(|it| format!("data: {it}\n\n"));
                let events = events.collect::<String>();
                written = written.and(stream.write_all(events.as_bytes()).await);
            }
            Say::Endless(piece) => {
                while written.is_ok() {
                    written = stream.write_all(piece.repeat(1_000).as_bytes()).await;
                }
            }
            Say::Nothing => {}
            Say::End => break,
        }
        if written.is_err() {
            break;
        }
    }
    streams.lock().unwrap().remove(&post);
}
