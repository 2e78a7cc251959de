//! The balancer between real sockets and nodes that are only a listener.

use api::status::{NodeStatus, Role};

use super::*;
use crate::lookout::{Lookout, Sight};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A node that answers each connection with its own number and then echoes.
async fn node(number: u8) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let _ = stream.write_all(&[number]).await;
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    (address, task)
}

fn leads(node: u16) -> Sight {
    let status = NodeStatus { node, role: Role::Leader, ready: true, ..NodeStatus::default() };
    Sight::Said { status: Box::new(status), at: std::time::Instant::now() }
}

fn follows(node: u16) -> Sight {
    let status = NodeStatus { node, role: Role::Follower, ready: true, ..NodeStatus::default() };
    Sight::Said { status: Box::new(status), at: std::time::Instant::now() }
}

struct Setup {
    address: SocketAddr,
    view: watch::Sender<View>,
    backends: watch::Sender<BTreeMap<u16, SocketAddr>>,
    _task: JoinSet<()>,
    _lookout: Lookout,
}

async fn balancer(backends: BTreeMap<u16, SocketAddr>, view: View, traffic: Traffic, connections_max: usize) -> Setup {
    let view = watch::Sender::new(view);
    let lookout = Lookout::start(&BTreeMap::new());
    let backends = watch::channel(backends);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let balancer = Balancer {
        bank: "alpha".to_owned(),
        traffic,
        backends: backends.1,
        view: view.subscribe(),
        hurry: lookout.hurry(),
        connections_max,
    };
    let mut task = JoinSet::new();
    task.spawn(balancer.run(listener));
    Setup { address, view, backends: backends.0, _task: task, _lookout: lookout }
}

async fn who_answers(address: SocketAddr) -> u8 {
    let mut stream = TcpStream::connect(address).await.expect("the balancer listens");
    stream.read_u8().await.expect("the node says its number")
}

#[tokio::test]
async fn new_connections_follow_the_leader_and_old_ones_stay() {
    let ((one, _one), (two, _two)) = (node(1).await, node(2).await);
    let backends = BTreeMap::from([(1, one), (2, two)]);
    let setup = balancer(backends, View::of([(1, leads(1)), (2, follows(2))]), Traffic::Http, 16).await;
    let mut old = TcpStream::connect(setup.address).await.expect("the balancer listens");
    assert_eq!(old.read_u8().await.expect("a number"), 1);

    setup.view.send_replace(View::of([(1, follows(1)), (2, leads(2))]));

    assert_eq!(who_answers(setup.address).await, 2);
    old.write_all(b"x").await.expect("the old connection still takes bytes");
    assert_eq!(old.read_u8().await.expect("and gives them back"), b'x');
}

fn proposes(node: u16, role: Role) -> Sight {
    let mode = api::status::Mode::Leaderless;
    let status = NodeStatus { node, role, mode, ready: true, ..NodeStatus::default() };
    Sight::Said { status: Box::new(status), at: std::time::Instant::now() }
}

#[tokio::test]
async fn without_a_leader_connections_are_spread_over_all_live_nodes() {
    let ((one, _one), (two, two_task), (three, _three)) = (node(1).await, node(2).await, node(3).await);
    let backends = BTreeMap::from([(1, one), (2, two)]);
    let both = [(1, proposes(1, Role::Leader)), (2, proposes(2, Role::Follower))];
    let setup = balancer(backends.clone(), View::of(both), Traffic::Http, 64).await;
    let mut served = [0_u32; 4];
    for _ in 0..10 {
        served[usize::from(who_answers(setup.address).await)] += 1;
    }
    assert_eq!(served, [0, 5, 5, 0]);

    // A third one comes, and the second one dies before the view knows.
    setup.backends.send_replace(backends.into_iter().chain([(3, three)]).collect());
    let all = [1, 2, 3].map(|node| (node, proposes(node, Role::Follower)));
    setup.view.send_replace(View::of(all));
    two_task.abort();
    let _ = two_task.await;
    let mut served = [0_u32; 4];
    for _ in 0..12 {
        served[usize::from(who_answers(setup.address).await)] += 1;
    }
    assert_eq!((served[2], served[1] + served[3]), (0, 12));
    assert!(served[1] >= 4 && served[3] >= 4, "{served:?}");
}

#[tokio::test]
async fn a_dead_leader_is_passed_over_at_once() {
    let (two, _two) = node(2).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let one = gone.local_addr().expect("it is bound");
    drop(gone);
    let setup =
        balancer(BTreeMap::from([(1, one), (2, two)]), View::of([(1, leads(1)), (2, follows(2))]), Traffic::Http, 16)
            .await;
    assert_eq!(who_answers(setup.address).await, 2);
}

#[tokio::test]
async fn each_direction_ends_on_its_own() {
    let (one, _one) = node(1).await;
    let setup = balancer(BTreeMap::from([(1, one)]), View::of([(1, leads(1))]), Traffic::Grpc, 16).await;
    let mut stream = TcpStream::connect(setup.address).await.expect("the balancer listens");
    stream.write_all(b"the last words").await.expect("it takes bytes");
    stream.shutdown().await.expect("one direction closes");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("the other one still delivers");
    assert_eq!(answer, b"\x01the last words");
}

#[tokio::test]
async fn with_every_node_gone_http_hears_that_nothing_was_done() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let one = gone.local_addr().expect("it is bound");
    drop(gone);
    let setup = balancer(BTreeMap::from([(1, one)]), View::of([(1, Sight::Unseen)]), Traffic::Http, 16).await;
    let answer = crate::http::Client::new(setup.address.into())
        .get("/", Duration::from_secs(20))
        .await
        .expect("the balancer answers itself");
    assert_eq!(answer.status.as_u16(), 503);
    assert!(answer.body.starts_with(b"{\"type\""), "{:?}", answer.body);
}

#[tokio::test]
async fn with_every_node_gone_grpc_hears_that_nothing_was_done() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let one = gone.local_addr().expect("it is bound");
    drop(gone);
    let setup = balancer(BTreeMap::from([(1, one)]), View::of([(1, Sight::Unseen)]), Traffic::Grpc, 16).await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", setup.address)).expect("an address");
    let mut bank = api::proto::bank_client::BankClient::new(channel.connect_lazy());
    // The connection is told to end after the first answer, and the next call has one of its own.
    for _ in 0..2 {
        let refused = bank.status(api::proto::StatusRequest::default()).await.expect_err("nobody is there");
        assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
        assert!(refused.message().contains("no node of bank alpha takes connections"), "{refused:?}");
        tokio::time::sleep(CONNECT_PATIENCE * 2).await;
    }
}

#[tokio::test]
async fn when_all_places_are_taken_the_most_idle_connection_goes() {
    let (one, _one) = node(1).await;
    let setup = balancer(BTreeMap::from([(1, one)]), View::of([(1, leads(1))]), Traffic::Http, 2).await;
    let mut idle = TcpStream::connect(setup.address).await.expect("the balancer listens");
    assert_eq!(idle.read_u8().await.expect("a number"), 1);
    // Stamps are milliseconds: the busy one has to move in a later one.
    let from = std::time::Instant::now();
    let mut busy = TcpStream::connect(setup.address).await.expect("the balancer listens");
    while from.elapsed() < Duration::from_millis(5) {
        busy.write_all(b"x").await.expect("it takes bytes");
        busy.read_u8().await.expect("and gives them back");
    }

    assert_eq!(who_answers(setup.address).await, 1, "the third caller is served");
    let ended = timeout(Duration::from_secs(20), idle.read_u8()).await.expect("the idle one is told");
    assert!(ended.is_err(), "the idle one lost its place");
    busy.write_all(b"y").await.expect("the busy one stays");
    while busy.read_u8().await.expect("the busy one stays") != b'y' {}
}
