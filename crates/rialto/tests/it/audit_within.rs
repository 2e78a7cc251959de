//! The audit of payments within one bank, held against a bank that shows other books than the gateway ordered.
//!
//! The bank is real and so is the gateway; between the bank and the audit stands a relay that changes what the bank says of
//! its transfers, and nothing else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use api::client::gateway::{GatewayClient, GatewayError, new_payment_id};
use api::code::Code;
use certs::Expected;
use serde_json::{Value, json};

use crate::network::{network_json, run, stdout};
use crate::town::{Town, caller, order, paid, refused_for};

/// What the relay makes of the transfers of an answer.
type Lie = Box<dyn Fn(&mut Vec<Value>) + Send>;

/// Passes HTTP on to a bank's node, one request a connection.
struct Relay {
    address: SocketAddr,
    lie: Arc<Mutex<Lie>>,
}

impl Relay {
    fn before(node: &str) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let lie: Arc<Mutex<Lie>> = Arc::new(Mutex::new(Box::new(|_| {})));
        let (node, told) = (node.strip_prefix("http://").expect("plain http").to_owned(), Arc::clone(&lie));
        // It ends with the test's process.
        thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let (node, told) = (node.clone(), Arc::clone(&told));
                thread::spawn(move || pass_on(&caller, &node, &told));
            }
        });
        Relay { address, lie }
    }

    fn tells(&self, lie: impl Fn(&mut Vec<Value>) + Send + 'static) {
        *self.lie.lock().expect("nobody panics with it") = Box::new(lie);
    }
}

/// One request and its answer; whoever hangs up in between gets none.
fn pass_on(caller: &TcpStream, node: &str, lie: &Mutex<Lie>) -> Option<()> {
    let mut reader = BufReader::new(caller);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line == "\r\n" {
            break;
        }
        let name = line.to_ascii_lowercase();
        if let Some(value) = name.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if !name.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let is_about_transfers = head.contains(" /v1/audit/transfers");
    let mut bank = TcpStream::connect(node).ok()?;
    write!(bank, "{head}connection: close\r\n\r\n").ok()?;
    bank.write_all(&body).ok()?;
    let mut answer = String::new();
    bank.read_to_string(&mut answer).ok()?;
    let (answer_head, answer_body) = answer.split_once("\r\n\r\n")?;
    let mut said = answer_body.to_owned();
    if is_about_transfers {
        let mut value: Value = serde_json::from_str(answer_body).ok()?;
        lie.lock().ok()?(value["transfers"].as_array_mut()?);
        said = value.to_string();
    }
    let kept = answer_head.lines().filter(|line| {
        let name = line.to_ascii_lowercase();
        !name.starts_with("content-length:") && !name.starts_with("connection:")
    });
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    write!(&mut &*caller, "{head}content-length: {}\r\nconnection: close\r\n\r\n{said}", said.len()).ok()
}

#[test]
fn a_bank_that_lacks_a_payment_or_has_another_is_found() {
    let town = Town::patient("audit-within");
    let (alice, carol) = (town.sign_in("alice@alpha"), town.sign_in("carol@alpha"));
    let (first, second) = (new_payment_id(), new_payment_id());
    assert!(paid(&town.pay(&alice, &order(first, "alice@alpha", "carol@alpha", 12_50))));
    assert!(paid(&town.pay(&carol, &order(second, "carol@alpha", "alice@alpha", 3_00))));
    let beyond = order(new_payment_id(), "alice@alpha", "carol@alpha", 1_000_000_00);
    assert_eq!(refused_for(&town.pay(&alice, &beyond)), "insufficient_funds");

    let file = network_json(town.network.dir().as_ref());
    let gateway = file["gateway"]["grpc"].as_str().expect("an address");
    let tls = file["tls"].as_str().expect("a directory");
    let relay = Relay::before(town.network.node_of("alpha", 1)["http"].as_str().expect("an address"));
    let (url, other) = (format!("http://{}", relay.address), town.network.node_of("beta", 1)["http"].clone());
    let other = other.as_str().expect("an address");
    let audit = |flags: &[&str]| {
        let places = ["audit", "--url", &url, "--url", other, "--gateway", gateway, "--tls-dir", tls];
        let done = run(&[&places, flags].concat());
        (done.status.code(), stdout(&done))
    };

    // A cursor that was never given out is refused, and shows no page that ends too early.
    let operator = {
        let _runtime = town.runtime.enter();
        let tls = caller(&town.network, "operator/local", Expected::NodeOfAnyGateway);
        let client = GatewayClient::connect_with([gateway], Some(tls)).expect("an address");
        client.operator(None).expect("its certificate is enough")
    };
    for place in [0, 1] {
        let refused = town.runtime.block_on(operator.decided_within("alpha", Some(place)));
        assert!(matches!(refused, Err(GatewayError::Refused { code: Code::InvalidCursor, .. })), "{refused:?}");
    }

    // A bank that says what is so.
    let (code, said) = audit(&[]);
    let agreed = "within bank alpha: 2 payments, each booked once for its amount; 1 refused, none of them booked\n";
    assert!(code == Some(0) && said.contains(agreed), "{said}");
    assert!(said.contains("within bank beta: 0 payments") && said.ends_with("the books are in order\n"), "{said}");
    let here = run(&["audit", "--dir", town.network.dir()]);
    assert!(here.status.success() && stdout(&here).contains(agreed), "{}", stdout(&here));

    // One that has not booked what is paid.
    let id = first.to_string();
    relay.tells(move |transfers| transfers.retain(|transfer| transfer["id"] != id.as_str()));
    let (code, said) = audit(&[]);
    let lacks = format!(
        "within bank alpha: payment {first}, 12.50 EUR from alice@alpha to carol@alpha, is paid by the gateway's count, and the \
         bank has not booked it; keep all directories\n"
    );
    assert!(code == Some(1) && said.contains(&lacks), "{said}");
    assert!(said.ends_with("the books are NOT proved to be in order\n"), "{said}");
    let (code, said) = audit(&["--json"]);
    let verdict: Value = serde_json::from_str(&said).expect("one JSON object");
    assert!(code == Some(1) && verdict["ok"] == false, "{said}");
    assert_eq!(verdict["findings"], json!([lacks.trim_end()]));

    // One that booked another amount.
    let id = second.to_string();
    relay.tells(move |transfers| {
        let of_it = transfers.iter_mut().filter(|transfer| transfer["id"] == id.as_str());
        of_it.for_each(|transfer| transfer["amount"] = json!("3.01"));
    });
    let (code, said) = audit(&[]);
    let differs = format!("payment {second}, 3.00 EUR from carol@alpha to alice@alpha, is paid");
    assert!(code == Some(1) && said.contains(&differs) && said.contains("the bank booked 3.01 EUR"), "{said}");

    // One that booked what is refused.
    let refused = beyond.id.to_string();
    let and_another = move |transfers: &mut Vec<Value>, id: &str| {
        let another = transfers.first().cloned();
        transfers.extend(another.map(|mut another| {
            another["id"] = json!(id);
            another
        }));
    };
    relay.tells(move |transfers| and_another(transfers, &refused));
    let (code, said) = audit(&[]);
    let otherwise = "is refused by the gateway's count, and under its id the bank booked 12.50 EUR";
    assert!(code == Some(1) && said.contains(otherwise), "{said}");

    // One that booked in the gateway's name what the gateway never ordered.
    let invented = new_payment_id().to_string();
    let never = format!("is booked in the gateway's name as {invented}, and the gateway knows no such payment");
    relay.tells(move |transfers| and_another(transfers, &invented));
    let (code, said) = audit(&[]);
    assert!(code == Some(1) && said.contains(&never), "{said}");
}
