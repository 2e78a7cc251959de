//! `rialto shell` at a terminal: what is typed ahead, pasted, mistyped and interrupted, and what is told above the line.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::client::Secret;
use api::client::gateway::new_payment_id;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::network::{TestDir, rialto};
use crate::test_gateway::{PASSWORD, Serving, TestGateway};

/// A shell at a terminal of its own.
struct Terminal {
    keyboard: OwnedFd,
    screen: Arc<Mutex<Vec<u8>>>,
    /// What of the screen was read already.
    read: usize,
    shell: Child,
}

impl Terminal {
    fn start(mut command: Command) -> Terminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal is free");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("it is ours");
        let name = ptsname(&keyboard, Vec::new()).expect("it has a name").into_string().expect("UTF-8");
        let terminal = std::fs::File::options().read(true).write(true).open(&name).expect("it opens");
        let again = || Stdio::from(terminal.try_clone().expect("it is open"));
        command.stdin(again()).stdout(again()).stderr(again()).env("TERM", "xterm").env("NO_COLOR", "1");
        let shell = command.spawn().expect("it starts");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut from, to) = (std::fs::File::from(keyboard.try_clone().expect("it is open")), screen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends with an error when the shell and its terminal have gone.
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                to.lock().expect("nobody panics with it").extend_from_slice(&bytes[..read]);
            }
        });
        Terminal { keyboard, screen, read: 0, shell }
    }

    fn types(&self, bytes: &[u8]) {
        assert_eq!(rustix::io::write(&self.keyboard, bytes), Ok(bytes.len()), "the terminal takes it");
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().expect("nobody panics with it")[self.read..]).into_owned()
    }

    /// Waits until this is shown, after whatever was waited for before.
    fn sees(&mut self, part: &str) {
        let begun = Instant::now();
        loop {
            let shown = self.shown();
            if let Some(at) = shown.find(part) {
                self.read += at + part.len();
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "waited a minute for {part:?}, and saw {shown:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_over(&mut self) -> bool {
        self.shell.try_wait().expect("it is ours").is_some()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// Alice at a shell, signed in.
struct Alice {
    dir: TestDir,
    gateway: TestGateway,
    serving: Serving,
    runtime: tokio::runtime::Runtime,
}

impl Alice {
    fn new(name: &str) -> Alice {
        let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
        let gateway = TestGateway::new();
        let serving = runtime.block_on(gateway.serve());
        Alice { dir: TestDir::new(name), gateway, serving, runtime }
    }

    fn shell(&self) -> Terminal {
        let mut command = rialto();
        command.args(["shell", "alpha", "alice", "--gateway", &self.serving.address.to_string(), "--dir"]);
        command.arg(self.dir.path()).env("RIALTO_PASSWORD", PASSWORD);
        let mut terminal = Terminal::start(command);
        terminal.sees("signed in as alice@alpha");
        terminal.sees("alice@alpha> ");
        terminal
    }
}

#[test]
fn lines_that_come_in_one_write_are_all_carried_out() {
    let alice = Alice::new("shell-lines");
    let mut shell = alice.shell();
    shell.types(b"pay bob@beta 1 first\rpay bob@beta 2 second\rpay bob@beta 3 third\r");
    for amount in ["1.00", "2.00", "3.00"] {
        shell.sees(&format!("ordered: {amount} EUR to bob@beta"));
    }
    crate::network::until("all are paid", || (alice.gateway.taken().len() == 3).then_some(()));
    // A paste, as terminals mark it: the lines of it are lines.
    shell.types(b"\x1b[200~pay bob@beta 4 fourth\npay bob@beta 5 fifth\x1b[201~\r");
    shell.sees("ordered: 4.00 EUR to bob@beta");
    shell.sees("ordered: 5.00 EUR to bob@beta");
    crate::network::until("all are paid", || (alice.gateway.balance("bob@beta") == 115_00).then_some(()));
}

#[test]
fn neither_an_interrupt_on_a_line_nor_a_byte_that_is_no_text_ends_the_shell() {
    let alice = Alice::new("shell-interrupt");
    let mut shell = alice.shell();
    shell.types(b"pay bob@beta 99");
    shell.sees("pay bob@beta 99");
    shell.types(b"\x03");
    shell.sees("alice@alpha> ");
    shell.types(b"balance\r");
    shell.sees("alice@alpha has 100.00 EUR");
    shell.sees("alice@alpha> ");
    assert!(!shell.is_over());
    shell.types(b"pay bob@beta 99\xff\r");
    shell.sees("not UTF-8");
    shell.sees("alice@alpha> ");
    assert!(!shell.is_over());
    assert_eq!(alice.gateway.live_tokens(), 1);
    // On an empty line it is the end, and signs out.
    shell.types(b"\x03");
    shell.sees("signed out: alice@alpha");
    assert_eq!(alice.gateway.live_tokens(), 0);
}

/// The byte and the Enter behind it may come in one write: nothing of the line is done, and the next line is a line.
#[test]
fn a_line_with_a_byte_that_is_no_text_is_refused_whole_and_the_lines_behind_it_are_carried_out() {
    let alice = Alice::new("shell-bytes");
    let mut shell = alice.shell();
    shell.types(b"pay bob@beta 0.1\xa0\r");
    shell.sees("0xa0");
    shell.sees("nothing of this line was done");
    shell.types(b"1 tea\r");
    shell.sees("takes nothing more");
    assert_eq!(alice.gateway.taken().len(), 0);
    // In one write, typed.
    shell.types(b"pay bob@beta 0.13 caf\xe9 x\rpay bob@beta 2 tea\rbalance\r");
    shell.sees("0xe9");
    shell.sees("nothing of this line was done");
    shell.sees("ordered: 2.00 EUR to bob@beta");
    shell.sees("alice@alpha has ");
    // And pasted.
    shell.types(b"\x1b[200~pay bob@beta 0.17 \xc3\npay bob@beta 3 tea\x1b[201~\r");
    shell.sees("0xc3");
    shell.sees("nothing of this line was done");
    shell.sees("ordered: 3.00 EUR to bob@beta");
    // A key that nobody knows, with such a byte in it.
    shell.types(b"pay bob@beta 0.19 \x1b\xe9\rpay bob@beta 4 tea\r");
    shell.sees("0xe9");
    shell.sees("nothing of this line was done");
    shell.sees("ordered: 4.00 EUR to bob@beta");
    // A character that comes in two writes is one.
    shell.types(b"pay bob@beta 5 caf\xc3");
    shell.sees("pay bob@beta 5 caf");
    shell.types(b"\xa9\r");
    shell.sees("ordered: 5.00 EUR to bob@beta");
    shell.types(b"history\r");
    crate::network::until("all are paid", || (alice.gateway.taken().len() == 4).then_some(()));
    assert_eq!(alice.gateway.balance("bob@beta"), 114_00);
}

#[test]
fn a_long_paste_is_carried_out_to_its_last_line() {
    let alice = Alice::new("shell-long");
    let mut shell = alice.shell();
    let mut lines = "nonsense that is no command, only long enough to fill what lies between\r".repeat(400);
    lines += "pay bob@beta 7 the end\r";
    let (keyboard, bytes) = (shell.keyboard.try_clone().expect("it is open"), lines.into_bytes());
    // A terminal takes no more than it has room for.
    let typing = std::thread::spawn(move || {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let taken = rustix::io::write(&keyboard, &rest[..rest.len().min(512)]).expect("the terminal takes it");
            rest = &rest[taken..];
        }
    });
    shell.sees("ordered: 7.00 EUR to bob@beta");
    typing.join().expect("all is typed");
    crate::network::until("it is paid", || (alice.gateway.taken().len() == 1).then_some(()));
}

#[test]
fn from_a_pipe_a_line_that_is_no_text_is_refused_and_the_exit_code_says_so() {
    let alice = Alice::new("shell-pipe");
    let run = |lines: &[u8]| {
        let mut command = rialto();
        command.args(["shell", "alpha", "alice", "--gateway", &alice.serving.address.to_string(), "--dir"]);
        command.arg(alice.dir.path()).env("RIALTO_PASSWORD", PASSWORD);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut keyboard = shell.stdin.take().expect("it is piped");
        std::io::Write::write_all(&mut keyboard, lines).expect("it reads");
        drop(keyboard);
        shell.wait_with_output().expect("it ends")
    };
    let refused = run(b"balance\npay bob@beta 0.31 caf\xe9\npay bob@beta 1 tea\r\npay bob@beta 2 caf\xc3\xa9");
    let said = crate::network::stdout(&refused);
    assert!(said.contains("0xe9") && said.contains("nothing of this line was done"), "{said}");
    assert!(said.contains("ordered: 1.00 EUR") && said.contains("ordered: 2.00 EUR"), "{said}");
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert_eq!(alice.gateway.balance("bob@beta") % 1_00, 0, "what is paid is what was ordered");
    for (lines, code) in [(&b"balance\nhistory\n"[..], 0), (b"balance\nnonsense\nhistory\n", 1)] {
        assert_eq!(run(lines).status.code(), Some(code));
    }
}

/// The answer comes while the shell leaves: nobody else would ever tell it.
#[test]
fn a_shell_that_leaves_tells_what_came_of_the_payment_that_was_on_its_way() {
    for (amount, told, code) in [("0.50", "paid 0.50 EUR to bob@beta", 0), ("1000", "refused 1000.00 EUR", 1)] {
        let alice = Alice::new(&format!("shell-leaves-{code}"));
        alice.gateway.take_time(Duration::from_millis(400));
        let mut command = rialto();
        command.args(["shell", "alpha", "alice", "--gateway", &alice.serving.address.to_string(), "--dir"]);
        command.arg(alice.dir.path()).env("RIALTO_PASSWORD", PASSWORD);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut keyboard = shell.stdin.take().expect("it is piped");
        let order = format!("pay bob@beta {amount}\n");
        std::io::Write::write_all(&mut keyboard, order.as_bytes()).expect("it reads");
        crate::network::until("it is on its way", || (alice.gateway.called() > 0).then_some(()));
        drop(keyboard);
        let left = shell.wait_with_output().expect("it ends");
        let said = crate::network::stdout(&left);
        assert!(said.contains(told) && said.contains("signed out: alice@alpha"), "{said}");
        assert_eq!(left.status.code(), Some(code), "{said}");
    }
}

#[test]
fn money_that_comes_in_and_results_are_told_above_the_line() {
    let alice = Alice::new("shell-incoming");
    let mut shell = alice.shell();
    shell.types(b"pay bob@beta 2.50\r");
    shell.sees("ordered: 2.50 EUR to bob@beta");
    shell.sees("paid 2.50 EUR to bob@beta");
    // Half a line is being typed when the money comes.
    shell.types(b"pay carol@alpha 7");
    shell.sees("pay carol@alpha 7");
    // What is there at the first look at the account is not told; so it comes again until it is.
    let inside = alice.runtime.enter();
    let client = api::client::gateway::GatewayClient::connect([alice.serving.address.to_string()]).expect("an address");
    let bob = "bob@beta".parse().expect("well formed");
    drop(inside);
    let signed_in = alice.runtime.block_on(client.login(&bob, &Secret::new(PASSWORD))).expect("the password is right");
    let bob = client.customer(&signed_in.token).expect("a token");
    let told = "received 9.75 EUR from bob@beta (payment ";
    crate::network::until("the shell tells of it", || {
        let terms = crate::town::order(new_payment_id(), "bob@beta", "alice@alpha", 9_75);
        alice.runtime.block_on(bob.pay(&terms)).expect("it is answered");
        std::thread::sleep(Duration::from_millis(500));
        shell.shown().contains(told).then_some(())
    });
    shell.sees(told);
    // The line that was being typed is still there.
    shell.sees("pay carol@alpha 7");
    shell.types(b"\r");
    shell.sees("ordered: 7.00 EUR to carol@alpha");
}
