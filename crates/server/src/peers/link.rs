//! One connection with a peer: in plain text, or TLS 1.3 with certificates on both sides.
//!
//! ```text
//!   writer ──► Link ── records ──► TCP ──► records ── Link ──► reader
//!                  ◄── the reply to the greeting, once ──
//! ```
//!
//! After the greeting a connection carries messages one way only, so the one thread that has it needs no lock and no
//! second half: the writer never reads again, the reader never writes. For that nothing may want an answer behind a
//! writer's back: tickets are off, and new keys are announced without asking for the other's.
//!
//! A peer over TLS is a member of the same group by its certificate, and which one is compared with what it says.

use certs::{CertsError, Expected, Files, Protocol, Subject};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};
use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// What is read at once of a peer that speaks; rustls by itself asks for four kibibytes.
const READ_BUFFER: usize = 256 << 10;
/// Records on their way to one system call: a batch of a megabyte takes four.
const RECORDS_BYTES_MAX: usize = 256 << 10;

/// This node's certificate towards its peers.
#[derive(Debug)]
pub(crate) struct Papers {
    server: certs::Server,
    client: certs::Client,
}

impl Papers {
    /// # Errors
    /// When a file is missing or damaged, or when they do not belong together.
    pub(crate) fn read(files: &Files) -> Result<Papers, CertsError> {
        let fellow = Expected::fellow_of(files.subject());
        let server = certs::Server::new(files.clone(), fellow.clone(), Protocol::Peers)?;
        Ok(Papers { server, client: certs::Client::new(files.clone(), fellow, Protocol::Peers)? })
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) enum Link {
    Plain(Socket),
    Secured(Box<Secured>),
}

impl Link {
    /// Of a connection that came in. All that is read until [`Link::settle`] must be there by `until`.
    pub(super) fn accept(stream: TcpStream, papers: Option<&Papers>, until: Instant) -> io::Result<Link> {
        let Some(papers) = papers else { return Ok(Link::Plain(Socket::new(stream, 0, Some(until)))) };
        let connection = ServerConnection::new(papers.server.config()).map_err(of_tls)?;
        Secured::shake_hands(connection.into(), Socket::new(stream, READ_BUFFER, Some(until)))
    }

    /// Of a connection that was dialled; the stream has its own time for each read.
    pub(super) fn dial(stream: TcpStream, papers: Option<&Papers>) -> io::Result<Link> {
        let Some(papers) = papers else { return Ok(Link::Plain(Socket::new(stream, 0, None))) };
        let address = ServerName::from(stream.peer_addr()?.ip());
        let connection = ClientConnection::new(papers.client.config(), address).map_err(of_tls)?;
        Secured::shake_hands(connection.into(), Socket::new(stream, 0, None))
    }

    /// May the node of this number speak here? In plain text it is believed.
    ///
    /// # Errors
    /// When its certificate says that it is another one.
    pub(super) fn check_number(&self, node: u16) -> io::Result<()> {
        match self {
            Link::Secured(secured) if secured.peer.node() != Some(node) => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("it should be node {node}, and its certificate is that of {}", secured.peer),
            )),
            Link::Secured(_) | Link::Plain(_) => Ok(()),
        }
    }

    /// The greeting is through: from now on each read has this time.
    pub(super) fn settle(&mut self, silence_max: Duration) -> io::Result<()> {
        let socket = self.socket();
        socket.until = None;
        socket.stream().set_read_timeout(Some(silence_max))
    }

    pub(super) fn close(&mut self) {
        // A connection that is gone already is as closed as it gets.
        let _ = self.socket().stream().shutdown(Shutdown::Both);
    }

    fn socket(&mut self) -> &mut Socket {
        match self {
            Link::Plain(socket) => socket,
            Link::Secured(secured) => &mut secured.socket,
        }
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(socket) => socket.read(buffer),
            Link::Secured(secured) => secured.read(buffer),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Link::Plain(socket) => socket.write_vectored(slices),
            Link::Secured(secured) => secured.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket().flush()
    }
}

/// A connection whose other end has proved who it is.
#[derive(Debug)]
pub(crate) struct Secured {
    connection: Connection,
    socket: Socket,
    peer: Subject,
}

impl Secured {
    fn shake_hands(mut connection: Connection, mut socket: Socket) -> io::Result<Link> {
        connection.set_buffer_limit(Some(RECORDS_BYTES_MAX));
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut socket) {
                if certs::is_of_tls(&error) {
                    socket.linger();
                }
                return Err(error);
            }
        }
        let peer = certs::subject_of(connection.peer_certificates());
        let peer = peer.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a certificate without a name"))?;
        let mut secured = Secured { connection, socket, peer };
        secured.push()?;
        Ok(Link::Secured(Box::new(secured)))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            // An end without farewell is one all the same: frames know their own length, so nothing can be cut off unseen.
            if self.connection.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            self.connection.process_new_packets().map_err(of_tls)?;
        }
    }

    /// What is taken is written before this returns; if that fails, the connection is of no more use.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let taken = self.connection.writer().write_vectored(slices)?;
        self.push()?;
        Ok(taken)
    }

    fn push(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            if self.connection.write_tls(&mut self.socket)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

fn of_tls(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A socket that reads until a moment in time, however little comes at once: a stranger that drips holds no thread for
/// longer.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: BufReader<TcpStream>,
    until: Option<Instant>,
    began: Instant,
}

impl Socket {
    fn new(stream: TcpStream, buffer: usize, until: Option<Instant>) -> Socket {
        Socket { stream: BufReader::with_capacity(buffer, stream), until, began: Instant::now() }
    }

    fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Waits until the other end hangs up: closing at once could overtake the alert that tells it why.
    fn linger(&mut self) {
        // Whatever becomes of a caller that was refused changes nothing.
        let _ = self.stream().shutdown(Shutdown::Write);
        let _ = io::copy(self, &mut io::sink());
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(until) = self.until else { return self.stream.read(buffer) };
        let given = until.saturating_duration_since(self.began);
        let late = || {
            let what = format!("it did not say who it is within {} s", given.as_secs_f32().round());
            // Not of the kind of a system's timeout: these words are to be told as they are.
            io::Error::other(what)
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        self.stream().set_read_timeout(Some(left))?;
        self.stream.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => late(),
            _ => error,
        })
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.get_mut().write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.get_mut().write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.get_mut().flush()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::frame::{self, Frame};
    use super::*;
    use bytes::Bytes;
    use certs::Authority;
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU16, Ordering};
    use std::time::SystemTime;

    const PATIENCE: Duration = Duration::from_secs(10);
    static NEXT: AtomicU16 = AtomicU16::new(10);

    /// Papers from one CA, in a directory that goes when the test ends.
    pub(crate) struct Issued(PathBuf, Authority);

    impl Issued {
        pub(crate) fn new(test: &str) -> Issued {
            let dir = std::env::temp_dir().join(format!("rialto-papers-{test}-{}", std::process::id()));
            let authority = Authority::init(&dir, SystemTime::now()).expect("a new directory");
            Issued(dir, authority)
        }

        pub(crate) fn papers(&self, subject: &str) -> Papers {
            let subject = subject.parse().expect("a subject");
            let files = self.1.issue(&subject, &[], SystemTime::now()).expect("there is none yet");
            Papers::read(&files).expect("just written")
        }
    }

    impl Drop for Issued {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// Both ends of a connection: the one that dials, the one that accepts.
    fn connect(dials: Option<Papers>, accepts: Option<Papers>) -> (io::Result<Link>, io::Result<Link>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let dialling = std::thread::spawn(move || {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut link = Link::dial(stream, dials.as_ref())?;
            // Only what is said after the handshake tells whether the other side believed it.
            link.write_all(b"?")?;
            link.read_exact(&mut [0])?;
            Ok(link)
        });
        let (stream, _) = listener.accept().expect("it is dialled");
        let accepted = Link::accept(stream, accepts.as_ref(), Instant::now() + PATIENCE).and_then(|mut link| {
            link.read_exact(&mut [0])?;
            link.write_all(b"!")?;
            Ok(link)
        });
        (dialling.join().expect("it does not panic"), accepted)
    }

    fn carry(mut dialled: Link, mut accepted: Link) {
        let large = Bytes::from((0..3 << 20).map(|place: u32| place as u8 ^ (place >> 8) as u8).collect::<Vec<u8>>());
        let frames: Vec<Frame> = (0..700).map(|_| Frame::new(b"head", Bytes::new())).collect();
        let said = large.clone();
        let writing = std::thread::spawn(move || {
            frame::write_frames(&mut dialled, &frames).expect("the other end reads");
            frame::write_frames(&mut dialled, &[Frame::new(b"", said)]).expect("the other end reads");
        });
        accepted.settle(PATIENCE).expect("the connection stands");
        let mut reader = BufReader::with_capacity(READ_BUFFER, &mut accepted);
        let mut next = || frame::read_frame(&mut reader, 16 << 20).expect("whole frames");
        for _ in 0..700 {
            assert_eq!(next().as_deref(), Some(b"head".as_slice()));
        }
        assert!(next() == Some(large), "the large frame came over as another one");
        assert_eq!(next(), None, "an end between two frames is an orderly one");
        writing.join().expect("it does not panic");
    }

    #[test]
    fn frames_of_all_sizes_come_over_in_order_with_and_without_certificates() {
        let issued = Issued::new("carry");
        let (one, two) = (issued.papers("bank/alpha/1"), issued.papers("bank/alpha/2"));
        for (dials, accepts) in [(None, None), (Some(one), Some(two))] {
            let secured = dials.is_some();
            let (dialled, accepted) = connect(dials, accepts);
            let (dialled, accepted) = (dialled.expect("it is believed"), accepted.expect("it is believed"));
            assert_eq!(matches!(accepted, Link::Secured(_)), secured);
            carry(dialled, accepted);
        }
    }

    #[test]
    fn each_side_may_speak_under_its_own_number_only() {
        let issued = Issued::new("numbers");
        let (dialled, accepted) = connect(Some(issued.papers("bank/alpha/1")), Some(issued.papers("bank/alpha/2")));
        let (dialled, accepted) = (dialled.expect("it is believed"), accepted.expect("it is believed"));
        assert!(dialled.check_number(2).is_ok() && accepted.check_number(1).is_ok());
        let error = accepted.check_number(2).expect_err("it is node 1").to_string();
        assert_eq!(error, "it should be node 2, and its certificate is that of bank/alpha/1");
        assert!(dialled.check_number(1).is_err());
    }

    #[test]
    fn whoever_is_not_of_the_group_is_refused_and_both_sides_learn_why() {
        let issued = Issued::new("refused");
        let others = Issued::new("others");
        let member = || Some(issued.papers(&format!("bank/alpha/{}", NEXT.fetch_add(1, Ordering::Relaxed))));
        for (stranger, why) in [
            (issued.papers("bank/beta/2"), "it is bank/beta/2, and not a node of bank alpha"),
            (issued.papers("gateway/alpha/2"), "it is gateway/alpha/2, and not a node of bank alpha"),
            (issued.papers("operator/anna"), "its certificate is not good"),
            (others.papers("bank/alpha/2"), "its certificate is of another CA"),
        ] {
            // Whoever dials looks first; the accepting side hears of it.
            let (dialled, accepted) = connect(member(), Some(stranger));
            let told = certs::why(&dialled.expect_err("it is not believed"));
            assert!(told.starts_with(why), "{told}");
            assert!(accepted.is_err());
        }
        // What is in plain text there is an alert here, and the other way round a greeting that is none.
        let (_, accepted) = connect(None, member());
        assert_eq!(certs::why(&accepted.expect_err("it is not believed")), "it does not speak TLS");
        let (dialled, _) = connect(member(), None);
        assert!(dialled.is_err());
    }
}
