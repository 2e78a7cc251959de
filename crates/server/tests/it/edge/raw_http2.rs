//! HTTP/2 by hand, as little of it as a caller needs to do what no client does: exactly the frames that a test means
//! (RFC 9113). Heads are sent without compression of any kind (RFC 7541, literals without Huffman coding).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// One connection.
pub(super) struct Frames {
    stream: TcpStream,
}

/// A frame that came.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frames {
    pub(super) async fn connect(address: SocketAddr) -> Frames {
        Frames::begin_with(address, &[]).await
    }

    /// A caller that takes no byte of any answer's body.
    pub(super) async fn connect_taking_nothing(address: SocketAddr) -> Frames {
        // SETTINGS_INITIAL_WINDOW_SIZE is zero.
        Frames::begin_with(address, &[0, 4, 0, 0, 0, 0]).await
    }

    /// A caller that has room for all of every answer, and for whom the system keeps little.
    pub(super) async fn connect_with_room(address: SocketAddr) -> Frames {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a size");
        let stream = socket.connect(address).await.expect("listening");
        let mut frames = Frames::begin_on(stream, &[0, 4, 0x3f, 0xff, 0xff, 0xff]).await;
        frames.send(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()).await;
        frames
    }

    async fn begin_with(address: SocketAddr, settings: &[u8]) -> Frames {
        Frames::begin_on(TcpStream::connect(address).await.expect("listening"), settings).await
    }

    async fn begin_on(mut stream: TcpStream, settings: &[u8]) -> Frames {
        stream.set_nodelay(true).expect("connected");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("written");
        let mut frames = Frames { stream };
        frames.send(SETTINGS, 0, 0, settings).await;
        // Room for answers, so that no window has to be looked after.
        frames.send(WINDOW_UPDATE, 0, 0, &(1_u32 << 24).to_be_bytes()).await;
        frames
    }

    pub(super) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        // The node may have closed already: then the answer says so.
        let _ = self.stream.write_all(&bytes).await;
    }

    pub(super) async fn begin(&mut self, stream: u32, path: &str, more: &[(&str, &str)]) {
        let mut block = Vec::new();
        let usual = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "127.0.0.1"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        for (name, value) in usual.iter().chain(more) {
            block.push(0);
            text(&mut block, name);
            text(&mut block, value);
        }
        self.send(HEADERS, END_HEADERS, stream, &block).await;
    }

    pub(super) async fn data(&mut self, stream: u32, bytes: &[u8]) {
        self.send(DATA, 0, stream, bytes).await;
    }

    /// A whole call with one message.
    pub(super) async fn call(&mut self, stream: u32, path: &str, message: &[u8]) {
        self.begin(stream, path, &[]).await;
        let mut framed = vec![0];
        framed.extend((message.len() as u32).to_be_bytes());
        framed.extend(message);
        self.send(DATA, END_STREAM, stream, &framed).await;
    }

    pub(super) async fn close_sending_side(&mut self) {
        self.stream.shutdown().await.expect("connected");
    }

    /// The next frame, or none at the end of the connection. Settings and pings are answered on the way.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, s0, s1, s2, s3] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 => self.send(PING, ACK, 0, &payload).await,
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => return Some(Frame { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload }),
            }
        }
    }

    /// The messages with which so many streams are answered, without their prefixes, in the order of their ends.
    pub(super) async fn answers(&mut self, streams: usize) -> Vec<(u32, Vec<u8>)> {
        let mut data: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let mut ended = Vec::new();
        while ended.len() < streams {
            let frame = self.next().await.unwrap_or_else(|| panic!("the connection ended without an answer"));
            match frame.kind {
                DATA => data.entry(frame.stream).or_default().extend(&frame.payload),
                RST_STREAM | GOAWAY => panic!("{frame:?}"),
                _ => {}
            }
            if frame.flags & END_STREAM != 0 {
                let mut answer = data.remove(&frame.stream).unwrap_or_default();
                ended.push((frame.stream, answer.split_off(5.min(answer.len()))));
            }
        }
        ended
    }

    /// The next stream that is over, or none when the connection ends before.
    pub(super) async fn first_end(&mut self) -> Option<u32> {
        loop {
            let frame = self.next().await?;
            if frame.kind == RST_STREAM || (frame.kind <= HEADERS && frame.flags & END_STREAM != 0) {
                return Some(frame.stream);
            }
        }
    }

    /// Waits until a stream is over, however; gives the kind of its last frame.
    pub(super) async fn end_of(&mut self, stream: u32) -> Option<u8> {
        loop {
            let frame = self.next().await?;
            let is_over = frame.kind == RST_STREAM || (frame.kind <= HEADERS && frame.flags & END_STREAM != 0);
            if frame.stream == stream && is_over {
                return Some(frame.kind);
            }
        }
    }
}

/// A text of at most 16,000 bytes or so, as it is.
fn text(block: &mut Vec<u8>, text: &str) {
    match text.len() {
        short @ 0..127 => block.push(short as u8),
        long => {
            block.push(127);
            let mut rest = long - 127;
            while rest >= 128 {
                block.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            block.push(rest as u8);
        }
    }
    block.extend(text.as_bytes());
}
