//! Two sides that shake hands in memory, with certificates from directories of their own.

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory of one's own that goes when the test ends.
struct TestDir(PathBuf);

impl TestDir {
    fn new() -> TestDir {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("rialto-certs-{}-{number}", std::process::id()));
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).expect("a temporary directory");
        TestDir(dir)
    }

    fn authority(&self) -> Authority {
        Authority::init(&self.0, SystemTime::now()).expect("the directory is empty")
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn subject(text: &str) -> Subject {
    text.parse().expect("it is one")
}

fn issue(authority: &Authority, text: &str) -> Files {
    authority.issue(&subject(text), &[], SystemTime::now()).expect("there is none yet")
}

fn server(files: &Files, expected: Expected) -> Server {
    Server::new(files.clone(), expected, Protocol::Grpc).expect("the files are good")
}

fn client(files: &Files, expected: Expected) -> Client {
    Client::new(files.clone(), expected, Protocol::Grpc).expect("the files are good")
}

/// A connection whose both ends are here.
struct Pair {
    client: ClientConnection,
    server: ServerConnection,
}

impl Pair {
    fn shake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Result<Pair, String> {
        let anywhere = ServerName::try_from("anywhere").expect("a name");
        let client = ClientConnection::new(client, anywhere).expect("a good configuration");
        let server = ServerConnection::new(server).expect("a good configuration");
        let mut pair = Pair { client, server };
        while pair.client.is_handshaking() || pair.server.is_handshaking() {
            pair.carry()?;
        }
        pair.carry()?;
        Ok(pair)
    }

    /// Carries what each has to say to the other; what one side cannot believe is the failure.
    fn carry(&mut self) -> Result<(), String> {
        let told = |error: rustls::Error| why(&io::Error::new(io::ErrorKind::InvalidData, error));
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).expect("a vector takes all");
        }
        let mut said = bytes.as_slice();
        while !said.is_empty() {
            self.server.read_tls(&mut said).expect("a slice gives all");
            self.server.process_new_packets().map_err(told)?;
        }
        let mut bytes = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut bytes).expect("a vector takes all");
        }
        let mut said = bytes.as_slice();
        while !said.is_empty() {
            self.client.read_tls(&mut said).expect("a slice gives all");
            self.client.process_new_packets().map_err(told)?;
        }
        Ok(())
    }

    fn say(&mut self, what: &str) -> String {
        self.client.writer().write_all(what.as_bytes()).expect("there is room");
        self.carry().expect("the connection stands");
        let mut heard = vec![0; what.len()];
        self.server.reader().read_exact(&mut heard).expect("it was carried");
        String::from_utf8(heard).expect("as it was said")
    }
}

fn refusal(client: &Client, server: &Server) -> String {
    Pair::shake(client.config(), server.config()).err().expect("they must not believe each other")
}

#[test]
fn both_sides_learn_who_the_other_is() {
    let dir = TestDir::new();
    let authority = dir.authority();
    let (one, two) = (issue(&authority, "bank/alpha/1"), issue(&authority, "bank/alpha/2"));
    let alpha = || Expected::NodeOfBank("alpha".parse().expect("a name"));
    let pair = Pair::shake(client(&two, alpha()).config(), server(&one, alpha()).config()).expect("both are good");
    assert_eq!(subject_of(pair.server.peer_certificates()), Some(subject("bank/alpha/2")));
    assert_eq!(subject_of(pair.client.peer_certificates()), Some(subject("bank/alpha/1")));
    assert_eq!(pair.server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(pair.server.alpn_protocol(), Some(b"h2".as_slice()));
}

#[test]
fn a_certificate_of_another_ca_is_refused_by_both_sides() {
    let (ours, theirs) = (TestDir::new(), TestDir::new());
    let (ours, theirs) = (ours.authority(), theirs.authority());
    let (node, stranger) = (issue(&ours, "bank/alpha/1"), issue(&theirs, "bank/alpha/1"));
    let trusting = issue(&ours, "client");
    let by_client = refusal(&client(&trusting, Expected::Anybody), &server(&stranger, Expected::Anybody));
    assert_eq!(by_client, "its certificate is of another CA than the one that is trusted here");
    // It trusts the right CA, and shows a certificate of the other one.
    let mut mixed = (*client(&trusting, Expected::Anybody).config()).clone();
    let eve = issue(&theirs, "operator/eve");
    mixed.client_auth_cert_resolver = client(&eve, Expected::Anybody).config().client_auth_cert_resolver.clone();
    let by_server = Pair::shake(Arc::new(mixed), server(&node, Expected::Anybody).config());
    assert_eq!(by_server.err().as_deref(), Some("its certificate is of another CA than the one that is trusted here"));
    // Files that are mixed so are found before anybody is called.
    fs::copy(node.authority(), eve.authority()).expect("copied");
    let error = Client::new(eve, Expected::Anybody, Protocol::Grpc).expect_err("it would be refused");
    assert!(error.to_string().contains("was not issued by the CA of"), "{error}");
}

#[test]
fn an_expired_certificate_is_refused_by_both_sides() {
    let dir = TestDir::new();
    let past = SystemTime::now() - 400 * DAY;
    let authority = Authority::init(&dir.0, past).expect("the directory is empty");
    let expired = |text: &str| authority.issue(&subject(text), &[], past).expect("there is none yet");
    let (old_node, old_client) = (expired("bank/alpha/1"), expired("operator/old"));
    let (node, caller) = (issue(&authority, "bank/alpha/2"), issue(&authority, "client"));
    let by_client = refusal(&client(&caller, Expected::Anybody), &server(&old_node, Expected::Anybody));
    assert!(by_client.starts_with("its certificate has expired"), "{by_client}");
    let by_server = refusal(&client(&old_client, Expected::Anybody), &server(&node, Expected::Anybody));
    assert!(by_server.starts_with("its certificate has expired"), "{by_server}");
    // A certificate of the future counts no more than one of the past.
    let early =
        authority.issue(&subject("operator/early"), &[], SystemTime::now() + 2 * DAY).expect("there is none yet");
    let refused = refusal(&client(&early, Expected::Anybody), &server(&node, Expected::Anybody));
    assert!(refused.contains("does not count yet"), "{refused}");
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let dir = TestDir::new();
    let authority = dir.authority();
    let (node, caller) = (issue(&authority, "bank/alpha/1"), issue(&authority, "client"));
    let mut bare = (*client(&caller, Expected::Anybody).config()).clone();
    bare.client_auth_cert_resolver = Arc::new(NoCertificate);
    let refused = Pair::shake(Arc::new(bare), server(&node, Expected::Anybody).config());
    assert_eq!(refused.err().as_deref(), Some("it shows no certificate"));
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn the_wrong_role_group_or_node_is_refused() {
    let dir = TestDir::new();
    let authority = dir.authority();
    let node = issue(&authority, "bank/alpha/1");
    let alpha = || Expected::NodeOfBank("alpha".parse().expect("a name"));
    for wrong in ["bank/beta/2", "gateway/alpha/2", "operator/alpha", "client"] {
        let refused = refusal(&client(&issue(&authority, wrong), alpha()), &server(&node, alpha()));
        assert_eq!(refused, format!("it is {wrong}, and not a node of bank alpha"));
    }
    let caller = issue(&authority, "bank/alpha/2");
    let meant = Expected::Exactly(subject("bank/alpha/3"));
    assert_eq!(refusal(&client(&caller, meant), &server(&node, alpha())), "it is bank/alpha/1, and not bank/alpha/3");
}

#[test]
fn who_only_calls_cannot_pose_as_a_server() {
    let dir = TestDir::new();
    let authority = dir.authority();
    let (caller, operator) = (issue(&authority, "client"), issue(&authority, "operator/anna"));
    let refused = refusal(&client(&caller, Expected::Anybody), &server(&operator, Expected::Anybody));
    assert!(refused.starts_with("its certificate is not good"), "{refused}");
}

#[test]
fn each_wire_is_spoken_on_its_own_port() {
    let dir = TestDir::new();
    let authority = dir.authority();
    let (one, two) = (issue(&authority, "bank/alpha/1"), issue(&authority, "bank/alpha/2"));
    let peer = Client::new(two, Expected::Anybody, Protocol::Peers).expect("the files are good");
    assert_eq!(
        refusal(&peer, &server(&one, Expected::Anybody)),
        "it wants to speak something else than is spoken here"
    );
}

#[test]
fn a_new_certificate_is_for_new_connections_while_old_ones_go_on() {
    let dir = TestDir::new();
    let authority = dir.authority();
    let (node, caller) = (issue(&authority, "bank/alpha/1"), issue(&authority, "client"));
    let (server, client) = (server(&node, Expected::Anybody), client(&caller, Expected::Anybody));
    let connect = || Pair::shake(client.config(), server.config()).expect("both are good");
    let shown = |pair: &Pair| pair.client.peer_certificates().expect("shaken hands")[0].clone();
    let mut old = connect();
    authority.rotate(node.subject(), SystemTime::now()).expect("there is one");
    assert_eq!(shown(&connect()), shown(&old), "the files are looked at once a second");
    let began = Instant::now();
    let mut new = loop {
        let pair = connect();
        if shown(&pair) != shown(&old) {
            break pair;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the new certificate is not taken");
        std::thread::yield_now();
    };
    assert_eq!(old.say("on the old one"), "on the old one");
    assert_eq!(new.say("on the new one"), "on the new one");
}

#[test]
fn files_that_went_bad_leave_the_former_certificate_in_use() {
    let dir = TestDir::new();
    let authority = dir.authority();
    let node = issue(&authority, "bank/alpha/1");
    let server = server(&node, Expected::Anybody);
    let before = server.config();
    fs::write(node.key(), "no key").expect("written");
    server.0.look_now();
    assert!(Arc::ptr_eq(&before, &server.config()));
    // And when they are good again, they are taken.
    fs::remove_file(node.certificate()).expect("it is there");
    fs::remove_file(node.key()).expect("it is there");
    issue(&authority, "bank/alpha/1");
    server.0.look_now();
    assert!(!Arc::ptr_eq(&before, &server.config()));
    fs::write(node.key(), "no key").expect("written");
    let error = Server::new(node, Expected::Anybody, Protocol::Grpc).expect_err("a start finds out");
    assert!(error.to_string().contains("bank-alpha-1.key is damaged"), "{error}");
}

#[test]
fn a_replacement_that_was_cut_short_leaves_one_whole_pair() {
    let dir = TestDir::new();
    let authority = dir.authority();
    let node = issue(&authority, "bank/alpha/1");
    let kept = dir.0.join("kept");
    fs::copy(node.certificate(), &kept).expect("copied");
    authority.rotate(node.subject(), SystemTime::now()).expect("there is one");
    // As it is between the two renames: the new key, the old certificate, and the new one still waiting.
    fs::rename(node.certificate(), dir.0.join("bank-alpha-1.crt.new")).expect("renamed");
    fs::rename(&kept, node.certificate()).expect("renamed");
    node.load().expect("the pair is whole");
    fs::remove_file(dir.0.join("bank-alpha-1.crt.new")).expect("it is there");
    let error = node.load().err().expect("nothing fits the key").to_string();
    assert!(error.contains("is not the key of"), "{error}");
}

#[test]
fn keys_are_their_owners_alone() {
    let dir = TestDir::new();
    let authority = dir.authority();
    let node = issue(&authority, "bank/alpha/1");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&dir.0.join("ca.key")), 0o600);
    assert_eq!(mode(&node.key()), 0o600);
    // Also one that replaces a key which somebody had opened to all.
    fs::set_permissions(node.key(), fs::Permissions::from_mode(0o644)).expect("set");
    authority.rotate(node.subject(), SystemTime::now()).expect("there is one");
    assert_eq!(mode(&node.key()), 0o600);
    assert_eq!(mode(&node.certificate()), 0o644);
}

#[test]
fn keys_and_their_directory_are_refused_where_others_may_look_into_them() {
    let dir = TestDir::new();
    let authority = dir.authority();
    let node = issue(&authority, "bank/alpha/1");
    let good = server(&node, Expected::Anybody);
    let open =
        |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    let (ca_key, whole) = (dir.0.join("ca.key"), &dir.0);
    let used = || [node.load().err(), Authority::open(whole).err()];
    for (path, closed, modes) in [
        (whole.clone(), 0o700, [0o777, 0o750, 0o701].as_slice()),
        (node.key(), 0o600, &[0o666, 0o640, 0o604, 0o602]),
        (ca_key.clone(), 0o600, &[0o666, 0o640]),
    ] {
        for mode in modes {
            open(&path, *mode);
            let refusals: Vec<String> = used().into_iter().flatten().map(|error| error.to_string()).collect();
            assert!(!refusals.is_empty(), "{} {mode:o}", path.display());
            for said in refusals {
                let remedy = format!("chmod {closed:o} {}", path.display());
                assert!(said.contains(&format!("mode {mode:04o}")) && said.ends_with(&remedy), "{said}");
            }
        }
        // A node that runs goes on with what it has.
        let before = good.config();
        good.0.look_now();
        assert!(Arc::ptr_eq(&before, &good.config()));
        open(&path, closed);
    }
    assert!(used().into_iter().flatten().next().is_none(), "what is public may be read by everybody");
    let shared = dir.0.join("shared");
    fs::create_dir(&shared).expect("there is room");
    open(&shared, 0o777);
    let said = Authority::init(&shared, SystemTime::now()).expect_err("others may look into it").to_string();
    assert!(said.ends_with(&format!("chmod 700 {}", shared.display())), "{said}");
    assert_eq!(fs::read_dir(&shared).expect("it is there").count(), 0, "no key was written there");
}

#[test]
fn no_key_is_ever_printed() {
    let dir = TestDir::new();
    let authority = dir.authority();
    let node = issue(&authority, "bank/alpha/1");
    let (server, client) = (server(&node, Expected::Anybody), client(&node, Expected::Anybody));
    let printed = [
        format!("{authority:?} {node:?} {server:?} {client:?}"),
        format!("{:?} {:?}", server.config(), client.config()),
    ];
    for key in [dir.0.join("ca.key"), node.key()] {
        let key = pem::read_key(&key).expect("readable").expect("there");
        // The secret number itself stands behind a fixed head of 36 bytes (RFC 5915 in RFC 5208).
        let (head, secret) = (&key.secret_der()[34..36], &key.secret_der()[36..68]);
        assert_eq!(head, [0x04, 32], "an octet string of 32 bytes");
        let hexadecimal: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        for printed in &printed {
            assert!(!printed.contains(&hexadecimal));
            assert!(!printed.contains(format!("{secret:?}").trim_matches(['[', ']'])));
            assert!(!printed.contains("PRIVATE"));
        }
    }
}

#[test]
fn facts_are_those_of_the_certificate() {
    let dir = TestDir::new();
    let authority = dir.authority();
    let now = SystemTime::now();
    let hosts: Vec<Host> = ["bank.example", "10.0.0.1", "::1"].map(|host| host.parse().expect("a host")).to_vec();
    let node = authority.issue(&subject("bank/alpha/1"), &hosts, now).expect("there is none yet");
    let facts = node.facts().expect("just written");
    assert_eq!((facts.subject.clone(), facts.hosts.clone()), (Some(subject("bank/alpha/1")), hosts.clone()));
    assert_eq!((facts.days_left(now), facts.days_left(now + 400 * DAY)), (364, -35));
    assert_eq!((facts.expires_soon(now), facts.expires_soon(now + 336 * DAY)), (false, true));
    assert_eq!((facts.has_expired(now), facts.has_expired(now + 366 * DAY)), (false, true));
    assert_eq!(facts.fingerprint.len(), 32 * 3 - 1);
    authority.rotate(node.subject(), now).expect("there is one");
    let rotated = node.facts().expect("just written");
    assert_ne!((&rotated.serial, &rotated.fingerprint), (&facts.serial, &facts.fingerprint));
    assert_eq!(rotated.hosts, hosts, "the hosts stay");
    let all = Facts::of_each_in(&dir.0).expect("readable");
    let all: Vec<Facts> = all.into_iter().collect::<Result<_, _>>().expect("readable");
    let subjects: Vec<Option<Subject>> = all.into_iter().map(|facts| facts.subject).collect();
    assert_eq!(subjects, [Some(subject("bank/alpha/1")), None]);
}

#[test]
fn nothing_that_is_there_is_overwritten_and_what_is_missing_is_named() {
    let dir = TestDir::new();
    let now = SystemTime::now();
    let missing = Authority::open(&dir.0).expect_err("there is none").to_string();
    assert!(missing.contains("rialto certs init"), "{missing}");
    let authority = dir.authority();
    assert!(matches!(Authority::init(&dir.0, now), Err(CertsError::Exists { .. })));
    let files = Files::new(&dir.0, subject("bank/alpha/1"));
    let missing = files.load().err().expect("there is none").to_string();
    assert!(missing.contains("rialto certs issue bank/alpha/1"), "{missing}");
    assert!(matches!(authority.rotate(files.subject(), now), Err(CertsError::NoCertificate { .. })));
    issue(&authority, "bank/alpha/1");
    assert!(matches!(authority.issue(files.subject(), &[], now), Err(CertsError::Exists { .. })));
    // Somebody else's certificate under this name.
    let other = issue(&authority, "bank/alpha/2");
    fs::copy(other.certificate(), files.certificate()).expect("copied");
    fs::copy(other.key(), files.key()).expect("copied");
    assert!(matches!(files.load().err(), Some(CertsError::OtherSubject { .. })));
}

/// A CA is replaced without an outage by trusting both for a while.
#[test]
fn a_file_of_two_cas_trusts_both() {
    let (old, new) = (TestDir::new(), TestDir::new());
    let (node, caller) = (issue(&old.authority(), "bank/alpha/1"), issue(&new.authority(), "client"));
    let read = |files: &Files| fs::read_to_string(files.authority()).expect("it is there");
    let both = read(&node) + &read(&caller);
    fs::write(node.authority(), &both).expect("written");
    fs::write(caller.authority(), &both).expect("written");
    let shaken = Pair::shake(client(&caller, Expected::Anybody).config(), server(&node, Expected::Anybody).config());
    assert!(shaken.is_ok(), "{:?}", shaken.err());
}
