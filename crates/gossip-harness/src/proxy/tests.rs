use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::*;

/// A server that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await.ok();
            });
        }
    });
    address
}

async fn link_and_stream() -> (Link, TcpStream) {
    let link = Link::open(echo().await).await.unwrap();
    let stream = TcpStream::connect(link.address()).await.unwrap();
    (link, stream)
}

async fn round_trip(stream: &mut TcpStream, text: &[u8]) -> io::Result<()> {
    stream.write_all(text).await?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await?;
    assert_eq!(back, text);
    Ok(())
}

/// Whether `stream` stays silent for a while.
async fn is_silent(stream: &mut TcpStream) -> bool {
    tokio::time::timeout(Duration::from_millis(150), stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn a_sound_link_passes_everything_in_order() {
    let (link, mut stream) = link_and_stream().await;
    let text: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    let (mut reader, mut writer) = stream.split();
    let mut back = vec![0; text.len()];
    let (sent, read) = tokio::join!(writer.write_all(&text), reader.read_exact(&mut back));
    sent.unwrap();
    read.unwrap();
    assert_eq!(back, text);
    assert_eq!(link.counters().effects(), 0);
}

#[tokio::test]
async fn dropped_bytes_are_counted_and_the_connection_is_reset_after_healing() {
    let (link, mut stream) = link_and_stream().await;
    round_trip(&mut stream, b"before").await.unwrap();
    link.set(Rule::both(Way::Drop));
    stream.write_all(b"lost").await.unwrap();
    assert!(is_silent(&mut stream).await);
    assert_eq!(link.counters().dropped.load(Ordering::Relaxed), 4);
    link.set(Rule::default());
    assert!(round_trip(&mut stream, b"after").await.is_err(), "a stream with a hole must not go on");
    let mut fresh = TcpStream::connect(link.address()).await.unwrap();
    round_trip(&mut fresh, b"after").await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_survives_a_partition() {
    let (link, mut stream) = link_and_stream().await;
    round_trip(&mut stream, b"before").await.unwrap();
    link.set(Rule::both(Way::Drop));
    tokio::task::yield_now().await;
    link.set(Rule::default());
    round_trip(&mut stream, b"after").await.unwrap();
}

#[tokio::test]
async fn one_way_loss_lets_the_other_way_pass() {
    let (link, mut stream) = link_and_stream().await;
    link.set(Rule { forward: Way::Pass, backward: Way::Drop });
    stream.write_all(b"x").await.unwrap();
    assert!(is_silent(&mut stream).await);
    // The request arrived, its answer vanished.
    assert_eq!(link.counters().passed.load(Ordering::Relaxed), 1);
    assert_eq!(link.counters().dropped.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn new_connections_hang_while_the_way_there_is_cut() {
    let link = Link::open(echo().await).await.unwrap();
    link.set(Rule::both(Way::Drop));
    let mut stream = TcpStream::connect(link.address()).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    assert!(is_silent(&mut stream).await);
    assert_eq!(link.counters().hung.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_tear_cuts_in_the_middle() {
    let (link, mut stream) = link_and_stream().await;
    round_trip(&mut stream, b"before").await.unwrap();
    link.set(Rule { forward: Way::Tear { after: 3 }, backward: Way::Pass });
    stream.write_all(b"message").await.unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.ok();
    assert!(b"mes".starts_with(&back), "{back:?}");
    assert_eq!(link.counters().torn.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn delay_and_throttle_slow_down_and_lose_nothing() {
    let (link, mut stream) = link_and_stream().await;
    link.set(Rule { forward: Way::Delay(Duration::from_millis(80)), backward: Way::Pass });
    let begun = Instant::now();
    round_trip(&mut stream, b"late").await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(80));
    link.set(Rule { forward: Way::Throttle(10_000), backward: Way::Pass });
    let begun = Instant::now();
    round_trip(&mut stream, &[7; 1000]).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(80), "{:?}", begun.elapsed());
    assert_eq!(link.counters().slowed.load(Ordering::Relaxed), 1004);
}

/// Sends back what it gets once the other side has said everything, and not before.
async fn late_echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(&all).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    address
}

#[tokio::test]
async fn who_closes_its_half_loses_nothing_and_still_gets_the_answer() {
    let slow = Way::Throttle(4_000_000);
    for rule in [Rule::default(), Rule::both(Way::Delay(Duration::from_millis(40))), Rule::both(slow)] {
        let link = Link::open(late_echo().await).await.unwrap();
        link.set(rule);
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        let text: Vec<u8> = (0..400_000u32).map(|i| (i % 241) as u8).collect();
        stream.write_all(&text).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.unwrap();
        assert!(back == text, "{rule:?}: {} of {} bytes came back", back.len(), text.len());
    }
}
