//! How connections come in. One is handed on only when its first bytes are those of HTTP/2: hyper waits for them without end, and
//! whoever opens connections and says nothing would take a file descriptor each, for good.

use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// What every client of HTTP/2 says first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// For the first bytes. A connection that goes silent later is found by its pings.
const PATIENCE: Duration = Duration::from_secs(10);

/// Before the second look at a preface that has begun to come; it doubles. It is one packet but for odd networks, and for whoever
/// wants to keep this node looking.
const LOOK: Duration = Duration::from_millis(10);

/// Connections that have said what they are. Ends when nobody takes them any more.
pub(crate) fn connections(listener: TcpListener) -> mpsc::Receiver<io::Result<TcpStream>> {
    let (connections, incoming) = mpsc::channel(64);
    tokio::spawn(async move {
        while !connections.is_closed() {
            match listener.accept().await {
                Ok((connection, _)) => {
                    tokio::spawn(welcome(connection, connections.clone()));
                }
                // Out of file descriptors, most likely: others close theirs in time.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    incoming
}

async fn welcome(connection: TcpStream, connections: mpsc::Sender<io::Result<TcpStream>>) {
    // Latency counts for more than packets.
    let _ = connection.set_nodelay(true);
    if timeout(PATIENCE, speaks_http2(&connection)).await == Ok(true) {
        let _ = connections.send(Ok(connection)).await;
    } else {
        tracing::debug!(peer = ?connection.peer_addr().ok(), "a connection that does not speak HTTP/2 was closed");
    }
}

/// Whether the preface came; what was read of it stays to be read.
async fn speaks_http2(connection: &TcpStream) -> bool {
    let mut seen = [0; PREFACE.len()];
    let mut look = LOOK;
    loop {
        match connection.peek(&mut seen).await {
            Ok(count) if count > 0 && PREFACE.starts_with(&seen[..count]) => {
                if count == PREFACE.len() {
                    return true;
                }
                // These bytes stay there, so that the next look would not wait for others.
                sleep(look).await;
                look *= 2;
            }
            Ok(_) | Err(_) => return false,
        }
    }
}
