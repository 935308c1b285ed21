//! Connections of the HTTP port.

use std::{io, sync::Arc, time::Duration};

use rocketwire_broker::Broker;
use rocketwire_remoting::{BindError, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::timeout,
};

use super::{
    Site,
    answer::Answer,
    request::{MAX_HEAD, Parsed, parse},
};

/// Connections at a time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 32;
/// From accept to the last byte of the answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Where files are short, accepting fails for everybody at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening port; dropped, it does not listen any more.
pub(crate) struct Http {
    site: Arc<Site>,
    accepting: JoinHandle<()>,
}

/// Listens at `HOST:PORT`.
pub(crate) async fn bind(addr: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr).await.map_err(|source| BindError { addr: addr.to_owned(), source })
}

impl Http {
    /// Serves `site` to who comes by the listener; the node is starting.
    pub(crate) fn start(listener: TcpListener, site: Site) -> Http {
        let site = Arc::new(site);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&site)));
        Http { site, accepting }
    }

    /// From now on the node is ready.
    pub(crate) fn running(&self, broker: &Broker, server: &Arc<Server>) {
        self.site.running(broker, server);
    }

    /// From now on the node is not ready; it still answers.
    pub(crate) fn stopping(&self) {
        self.site.stopping();
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, site: Arc<Site>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&site), place));
            }
            Err(error) => {
                tracing::debug!(%error, "a connection of the HTTP port was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(mut stream: TcpStream, site: Arc<Site>, place: OwnedSemaphorePermit) {
    // Whoever is slower is not answered.
    let _ = timeout(DEADLINE, exchange(&mut stream, site)).await;
    drop(place);
}

async fn exchange(stream: &mut TcpStream, site: Arc<Site>) -> io::Result<()> {
    let mut head = Vec::with_capacity(1 << 10);
    let (answer, has_body) = loop {
        match parse(&head) {
            Parsed::More => {}
            Parsed::Get(path) => break (answer(site, path).await, true),
            Parsed::Head(path) => break (answer(site, path).await, false),
            Parsed::Method => break (Answer::plain("405 Method Not Allowed", "GET or HEAD\n"), true),
            Parsed::Bad => break (Answer::plain("400 Bad Request", "this port speaks HTTP/1.1\n"), true),
            Parsed::TooLong => {
                break (Answer::plain("431 Request Header Fields Too Large", "too long\n"), true);
            }
        }
        let room = (MAX_HEAD - head.len().min(MAX_HEAD)).max(1) as u64;
        if (&mut *stream).take(room).read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    stream.write_all(written(&answer, has_body).as_bytes()).await?;
    stream.shutdown().await?;
    // Unread bytes would reset the connection before the answer is read; so would a peer that goes on, which the
    // deadline ends.
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

/// On a thread that may wait for the disk.
async fn answer(site: Arc<Site>, path: &str) -> Answer {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || site.answer(&path)).await.unwrap_or_else(|error| {
        tracing::error!(%error, "an answer of the HTTP port was not finished");
        Answer::plain("500 Internal Server Error", "see the log\n")
    })
}

fn written(answer: &Answer, has_body: bool) -> String {
    let Answer { status, content_type, body } = answer;
    let length = body.len();
    let body = if has_body { body.as_str() } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{body}"
    )
}
