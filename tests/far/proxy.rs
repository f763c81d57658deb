//! The only way out of the second daemon's containers: an HTTP proxy that passes connections on, and nothing else.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// Serves at `address` until this program ends; its URL.
pub(crate) fn serve(address: &str) -> String {
    let listener = std::net::TcpListener::bind((address, 0)).expect("the bridge's address is ours");
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(pass_on(from));
            }
        });
    });
    url
}

/// `CONNECT host:port`, answered and joined; anything else is cut off.
async fn pass_on(mut from: TcpStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 {
        head.push(from.read_u8().await.ok()?);
    }
    let line = String::from_utf8_lossy(&head).into_owned();
    let target = line.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    let mut to = TcpStream::connect(target).await.ok()?;
    from.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    copy_bidirectional(&mut from, &mut to).await.ok().map(drop)
}
