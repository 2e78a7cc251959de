//! `rialto shell`: a prompt that never waits for the network, and a worker beside it that empties the outbox.
//!
//! ```text
//!   keyboard ─ editor (a thread) ─ lines ─► Shell ─► outbox ◄─ worker ─► gateway
//!                 ▲                           │
//!                 └──── news, above the line ─┘
//! ```
//!
//! SIGINT, SIGTERM, and Ctrl-C or Ctrl-D on an empty line sign out; Ctrl-C on a line clears it, and while a command waits it
//! ends the waiting. Who starts the shell while the gateway is away may pay all the same: the
//! payments are kept, and the sign-in is tried again until the gateway has answered.

mod editor;
mod incoming;
pub(crate) mod line;
mod marks;
mod terminal;

use std::collections::BTreeSet;
use std::time::Duration;

use api::client::Secret;
use api::client::gateway::{GatewayClient, GatewayError};
use clap::Args;
use clearing::{NamedParty, PaymentId};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use wallet::{Condition, DropResult, Entry, Outbox, Running, SignIn, now_ms};

use super::networks::NewAuthority;
use super::password::{PasswordArgs, password};
use super::pay::{Wish, order};
use super::waiting::tell_news;
use super::{
    ClientArgs, Colours, Desk, balance, customer_of, history, login, logout, of_gateway, of_outbox, of_profile, outbox,
    pay, payment, say,
};
use crate::failure::{Code, Failure};
use crate::follow_up;
use editor::{Editor, Known, Printer, Typed};
use line::{MENU, Order};

const EXAMPLES: &str = "\
Examples:
  rialto shell                          as whoever is signed in in this profile
  rialto shell alpha alice              asks for the password
  rialto shell beta bob --profile bob   a second person on the same machine

Tab completes. Payments are kept on disk before they are sent; while the gateway is away they wait, and the prompt does not.
Their results, and money that comes in, are told above the line that is being typed.
Ctrl-C clears the line. On an empty one Ctrl-C and Ctrl-D sign out, as SIGINT and SIGTERM do; `leave` does not.
Lines may come from a pipe too, each as if it was typed; a line that is not UTF-8 is refused whole.
Exit codes: 0 left; 1 a line that was not typed, or a payment that it ordered, was refused or failed; 2 a variable or flag makes no sense; 9 not signed in;
all: rialto help exit-codes";

/// Pay and look from a prompt, with results as they come
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShellArgs {
    /// The bank
    #[arg(value_name = "BANK", requires = "user")]
    bank: Option<String>,
    /// The customer's name there
    #[arg(value_name = "USER")]
    user: Option<String>,
    /// Better in --password-file or RIALTO_PASSWORD: others on this machine see a command line
    #[arg(value_name = "PASSWORD")]
    password: Option<String>,
    #[command(flatten)]
    from: PasswordArgs,
    #[command(flatten)]
    client: ClientArgs,
}

/// How often the disk is looked at for what other processes did.
const LOOK: Duration = Duration::from_secs(1);
/// How often a sign-in is tried again while the gateway is away.
const SIGN_IN_AGAIN: Duration = Duration::from_secs(2);

/// What a shell knows.
struct Shell {
    desk: Desk,
    gateway: GatewayClient,
    outbox: Outbox,
    running: Running,
    /// Who pays. Their sign-in may have ended, or not begun yet.
    customer: Option<NamedParty>,
    condition: Condition,
    colours: Colours,
    /// A sign-in that is tried until the gateway answers.
    trying: Option<JoinHandle<()>>,
    answers: mpsc::Sender<SignedIn>,
    /// Whose incoming money is told.
    whose: watch::Sender<Option<NamedParty>>,
    /// Payments that were ordered here and that nobody has asked to drop.
    ordered: BTreeSet<PaymentId>,
    /// A line was refused, or did not work; or a payment that was ordered here was refused.
    has_failed: bool,
}

/// What comes in from the tasks beside the shell.
struct Inbox {
    signed_in: mpsc::Receiver<SignedIn>,
    came: mpsc::Receiver<String>,
}

/// What came of a sign-in that was tried again and again.
type SignedIn = Result<SignIn, GatewayError>;

/// Whether the shell goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    Out(Leaving),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    SigningOut,
    StayingSignedIn,
}

/// Whether all that was asked of the shell worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worked {
    All,
    NotAll,
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let failed = |error| Failure::new(format!("listening for signals: {error}"));
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

pub(crate) async fn run(args: ShellArgs) -> Result<Code, Failure> {
    let desk = args.client.open_to_sign_in(NewAuthority::Refused)?;
    let gateway = desk.gateway()?;
    let follows = desk.follow(&gateway);
    let ((answers, signed_in), (came, comes)) = (mpsc::channel(1), mpsc::channel(16));
    let mut inbox = Inbox { signed_in, came: comes };
    let (whose, watched) = watch::channel(None);
    let watching = tokio::spawn(incoming::watch(desk.profile.clone(), gateway.clone(), watched, came));
    let mut shell = Shell {
        outbox: desk.outbox()?,
        running: desk.worker(&gateway)?,
        customer: desk.profile.current().map_err(of_profile)?.map(|sign_in| sign_in.customer),
        condition: Condition::Fine,
        colours: Colours::of_stdout(),
        trying: None,
        answers,
        whose,
        ordered: BTreeSet::new(),
        has_failed: false,
        gateway,
        desk,
    };
    shell.whose.send_replace(shell.customer);
    if let (Some(bank), Some(user)) = (&args.bank, &args.user) {
        let customer = customer_of(bank, user)?;
        let secret = password(&args.from, args.password.as_deref(), &customer.to_string()).await?;
        println!("{}", shell.sign_in(customer, secret).await?);
    }
    let mut signals = Signals::new()?;
    let (mut editor, mut print) = Editor::start()?;
    println!("{MENU}");
    let leaving = shell.work(&mut editor, &mut print, &mut signals, &mut inbox).await;
    editor.restore();
    watching.abort();
    let left = shell.leave(leaving?).await;
    follows.iter().for_each(tokio::task::JoinHandle::abort);
    // Whoever types sees what failed; a script has the exit code.
    Ok(if left? == Worked::NotAll && !editor.is_at_a_terminal() { Code::Failed } else { Code::Done })
}

impl Shell {
    async fn work(
        &mut self,
        editor: &mut Editor,
        print: &mut Printer,
        signals: &mut Signals,
        inbox: &mut Inbox,
    ) -> Result<Leaving, Failure> {
        let mut pulse = self.running.pulse();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            editor.ask(self.prompt(), self.known()?);
            let line = loop {
                tokio::select! {
                    typed = editor.typed() => match typed {
                        Typed::Line(line) => break line,
                        Typed::Refused(why) => {
                            self.has_failed = true;
                            println!("{why}");
                            editor.ask(self.prompt(), self.known()?);
                        }
                        Typed::Over => return Ok(Leaving::SigningOut),
                    },
                    () = signals.any() => return Ok(Leaving::SigningOut),
                    Some(signed_in) = inbox.signed_in.recv() => print(self.signed_in_at_last(signed_in)?),
                    Some(came) = inbox.came.recv() => print(came),
                    // The worker lives as long as the shell.
                    _ = pulse.changed() => {}
                    _ = looks.tick() => {}
                }
                self.tell(print)?;
            };
            let goes = tokio::select! {
                goes = self.obey(&line) => goes,
                _ = signals.terminate.recv() => return Ok(Leaving::SigningOut),
                _ = signals.interrupt.recv() => {
                    println!("not waited for any longer; what was ordered is in the outbox: results");
                    Ok(Goes::On)
                }
            };
            match goes {
                Ok(Goes::On) => {}
                Ok(Goes::Out(leaving)) => return Ok(leaving),
                // A command that did not work is no reason to leave.
                Err(failure) => {
                    self.has_failed = true;
                    println!("{failure}");
                }
            }
        }
    }

    fn prompt(&self) -> String {
        match (&self.customer, &self.condition) {
            (Some(customer), Condition::Offline { .. } | Condition::OtherNetwork { .. }) => {
                format!("{customer} (offline)> ")
            }
            (Some(customer), Condition::Fine | Condition::Broken { .. }) => format!("{customer}> "),
            (None, _) => "nobody> ".to_owned(),
        }
    }

    fn known(&self) -> Result<Known, Failure> {
        let entries = self.outbox.newest(200).map_err(of_outbox)?;
        let mut payees: Vec<String> = entries.iter().map(|entry| entry.terms.payee.to_string()).collect();
        payees.sort_unstable();
        payees.dedup();
        let open = entries.iter().filter(|entry| !entry.item.state.is_final());
        Ok(Known { payees, ids: open.map(|entry| entry.terms.id.to_string()).collect() })
    }

    /// Tells, above the line that is being typed, what has happened since.
    fn tell(&mut self, print: &mut Printer) -> Result<(), Failure> {
        let condition = self.running.pulse().borrow().condition.clone();
        if std::mem::discriminant(&condition) != std::mem::discriminant(&self.condition) {
            match &condition {
                Condition::Fine => print("the gateway answers again".to_owned()),
                Condition::Offline { why } => {
                    print(format!("the gateway cannot be reached ({why}); payments wait in the outbox"));
                }
                Condition::OtherNetwork { why } => {
                    print(format!("{why}; nothing is sent, payments wait in the outbox"))
                }
                Condition::Broken { why } => print(format!("the outbox is in trouble: {why}")),
            }
            self.condition = condition;
        }
        tell_news(&mut self.outbox, |entry| {
            print(say::sentence(entry, self.colours));
            self.has_failed |= is_refusal(&self.ordered, entry);
        })
    }

    async fn obey(&mut self, line: &str) -> Result<Goes, Failure> {
        let order = match line::parse(line) {
            Ok(order) => order,
            Err(why) => {
                self.has_failed = true;
                println!("{why}");
                return Ok(Goes::On);
            }
        };
        match order {
            Order::Nothing => {}
            Order::Help => println!("{MENU}"),
            Order::Balance => println!("{}", balance::text(&self.desk).await?),
            Order::History => println!("{}", history::text(&self.desk).await?),
            Order::Payment(id) => println!("{}", payment::text(&self.desk, id).await?),
            Order::Results => println!("{}", outbox::table(&self.outbox.newest(20).map_err(of_outbox)?)),
            Order::Pay { payee, amount, reference } => println!("{}", self.pay(&payee, &amount, &reference)?),
            Order::Retry(id) => {
                let ids: Vec<_> = id.into_iter().collect();
                println!("payments that are tried now: {}", outbox::hurry(&self.desk, &ids)?);
                self.running.nudge();
            }
            Order::Drop(id) => {
                let entry = match self.outbox.drop_asked(id, now_ms()).map_err(of_outbox)? {
                    DropResult::Dropped(entry) | DropResult::Asking(entry) | DropResult::TooLate(entry) => entry,
                };
                // That it is void is then what was asked for.
                self.ordered.remove(&id);
                self.show(&entry)?;
                self.running.nudge();
            }
            Order::Login { bank, user } => {
                let customer = customer_of(&bank, &user)?;
                let ask = PasswordArgs { password_file: None };
                let secret = password(&ask, None, &customer.to_string()).await?;
                println!("{}", self.sign_in(customer, secret).await?);
            }
            Order::Logout => return Ok(Goes::Out(Leaving::SigningOut)),
            Order::Leave => return Ok(Goes::Out(Leaving::StayingSignedIn)),
        }
        Ok(Goes::On)
    }

    /// Into the outbox, and no further: the worker sends it, and its result is news.
    fn pay(&mut self, payee: &str, amount: &str, reference: &str) -> Result<String, Failure> {
        let customer = self.customer.ok_or_else(|| Failure::new("nobody is signed in").line("login BANK USER"))?;
        let wish = Wish { payee, amount, currency: "EUR", reference, within_hours: 24 };
        let entry = order(&self.desk, customer, wish)?;
        self.ordered.insert(entry.terms.id);
        self.running.nudge();
        Ok(format!("ordered: {} (payment {})", say::what(&entry), entry.terms.id))
    }

    fn show(&mut self, entry: &Entry) -> Result<(), Failure> {
        println!("{}", say::sentence(entry, self.colours));
        self.outbox.mark_seen(entry).map_err(of_outbox)
    }

    /// Signs in; while the gateway is away it is tried again until there is an answer, and the prompt does not wait.
    async fn sign_in(&mut self, customer: NamedParty, secret: Secret) -> Result<String, Failure> {
        if let Some(trying) = self.trying.take() {
            trying.abort();
        }
        let earlier = self.desk.earlier(&customer);
        match login::sign_in(&self.gateway, &customer, &secret, earlier.as_ref()).await {
            Ok((sign_in, _)) => self.keep(&sign_in),
            Err(error @ (GatewayError::Unreachable { .. } | GatewayError::Overloaded { .. })) => {
                self.customer = Some(customer);
                self.whose.send_replace(self.customer);
                let (gateway, answers) = (self.gateway.clone(), self.answers.clone());
                self.trying = Some(tokio::spawn(sign_in_at_last(gateway, customer, secret, answers)));
                Ok(format!("{error}\npayments of {customer} are kept; signing in is tried again by itself"))
            }
            Err(error) => Err(of_gateway(error)),
        }
    }

    fn signed_in_at_last(&mut self, answer: SignedIn) -> Result<String, Failure> {
        match answer {
            Ok(sign_in) => self.keep(&sign_in),
            Err(error) => Ok(format!("not signed in: {error}\nlogin BANK USER")),
        }
    }

    fn keep(&mut self, sign_in: &SignIn) -> Result<String, Failure> {
        let resumed = login::keep(&self.desk, &self.gateway, sign_in)?;
        self.customer = Some(sign_in.customer);
        self.whose.send_replace(self.customer);
        self.running.nudge();
        let more = if resumed > 0 { format!("; payments that waited and go on: {resumed}") } else { String::new() };
        Ok(format!("signed in as {}{more}", sign_in.customer))
    }

    async fn leave(mut self, leaving: Leaving) -> Result<Worked, Failure> {
        if let Some(trying) = &self.trying {
            trying.abort();
        }
        // What is on its way still has its token.
        self.running.stop().await;
        // And its result is told by this shell: nobody may ever start another one. The line that was typed is over.
        tell_news(&mut self.outbox, |entry| {
            println!("{}", say::sentence(entry, self.colours));
            self.has_failed |= is_refusal(&self.ordered, entry);
        })?;
        if leaving == Leaving::SigningOut
            && let Some(customer) = self.customer
            && let Some(sign_in) = self.desk.profile.sign_in(&customer).map_err(of_profile)?
        {
            let done = logout::sign_out(&self.desk, &sign_in).await?;
            println!("{}", logout::sentence(&sign_in, &done));
        }
        let open = self.outbox.open_entries().map_err(of_outbox)?.len();
        if open > 0 {
            let list = follow_up::command("outbox list --open");
            println!("payments without an end: {open}; they are kept: {list}");
        }
        Ok(if self.has_failed { Worked::NotAll } else { Worked::All })
    }
}

/// Whether a line that ordered this payment came to nothing. What another command has ordered is not this shell's failure.
fn is_refusal(ordered: &BTreeSet<PaymentId>, entry: &Entry) -> bool {
    ordered.contains(&entry.terms.id) && pay::code(entry) == Code::Failed
}

/// Tries until the gateway has an answer, whatever it is.
async fn sign_in_at_last(
    gateway: GatewayClient,
    customer: NamedParty,
    secret: Secret,
    answers: mpsc::Sender<SignedIn>,
) {
    loop {
        tokio::time::sleep(SIGN_IN_AGAIN).await;
        match login::sign_in(&gateway, &customer, &secret, None).await {
            Err(GatewayError::Unreachable { .. } | GatewayError::Overloaded { .. }) => {}
            answer => {
                // A shell that has ended meanwhile needs no answer.
                let _ = answers.send(answer.map(|(sign_in, _)| sign_in)).await;
                return;
            }
        }
    }
}
