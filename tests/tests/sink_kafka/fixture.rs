//! What the tests share: a broker, names of their own, sending and reading.

use std::net::SocketAddr;
use std::process::Output;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tusk_tests::ledger::Ledger;
use tusk_tests::load::base64;
use tusk_tests::sdk::Stored;
use tusk_tests::servers::kafka::{Isolation, Kafka, Message};
use tusk_tests::{Dir, Nginx, Tusk, conf, http, wait_for};

/// The broker of all tests that leave it alive; it ends with the last test that holds it.
pub(crate) fn broker() -> Arc<Kafka> {
    static BROKER: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());
    let mut kept = BROKER.lock().unwrap_or_else(PoisonError::into_inner);
    kept.upgrade().unwrap_or_else(|| {
        let kafka = Arc::new(Kafka::start());
        *kept = Arc::downgrade(&kafka);
        kafka
    })
}

/// A collector whose one sink is Kafka, with topics and a node name of its own.
pub(crate) struct Chain {
    pub(crate) dir: Dir,
    pub(crate) nginx: Nginx,
    pub(crate) name: &'static str,
    toml: String,
}

impl Chain {
    /// Makes `<name>.events` (3 partitions), `<name>.profiles` and `<name>.items`, and starts nginx.
    pub(crate) fn new(kafka: &Kafka, name: &'static str, extra: &str) -> Self {
        for (kind, partitions) in [("events", 3), ("profiles", 1), ("items", 1)] {
            kafka.create_topic(&format!("{name}.{kind}"), partitions, &[]);
        }
        Self::without_topics(&kafka.brokers(), name, extra)
    }

    /// As [`Chain::new`], where the topics are not there.
    pub(crate) fn without_topics(brokers: &str, name: &'static str, extra: &str) -> Self {
        let dir = Dir::new(name);
        let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
        Self { toml: toml(brokers, name, extra), dir, nginx, name }
    }

    /// The configuration.
    pub(crate) fn toml(&self) -> &str {
        &self.toml
    }

    /// Changes the settings of the next start.
    pub(crate) fn set(&mut self, brokers: &str, extra: &str) {
        self.toml = toml(brokers, self.name, extra);
    }

    /// Starts the shipper.
    pub(crate) fn start(&self) -> Tusk {
        Tusk::start(&self.dir, &self.toml)
    }

    /// Starts the shipper with variables of the environment.
    pub(crate) fn start_with(&self, environment: &[(&str, &str)]) -> Tusk {
        let mut tusk = Tusk::spawn_with(&self.dir, &self.toml, environment);
        tusk.ready(&self.dir);
        tusk
    }

    /// Sends events as one list and expects 200.
    #[track_caller]
    pub(crate) fn send(&self, events: &[String]) {
        send(self.nginx.address(), "shop", events);
    }

    /// What a `read_committed` reader of the events sees.
    pub(crate) fn read(&self, kafka: &Kafka) -> Vec<Message> {
        kafka.read(&format!("{}.events", self.name), Isolation::Committed)
    }

    /// Waits until the books are closed with so many events kept.
    #[track_caller]
    pub(crate) fn settled(&self, tusk: &Tusk, kept: u64) -> Ledger {
        wait_for(40, &format!("a closed ledger with {kept} kept"), || {
            Ledger::read(tusk)
                .filter(|ledger| ledger.settled_everywhere() && ledger.count("/kept") == kept)
        })
    }

    /// Waits until the daemon says `words` of the sink, and returns that line of its log.
    #[track_caller]
    pub(crate) fn error(&self, words: &str) -> String {
        wait_for(40, &format!("`{words}` in the log"), || {
            let log = self.dir.read("tusk.log");
            log.lines().find(|line| line.contains(words)).map(str::to_owned)
        })
    }
}

fn toml(brokers: &str, name: &str, extra: &str) -> String {
    let kinds = ["events", "profiles", "items"];
    let topics: String =
        kinds.iter().map(|kind| format!("topic_{kind} = \"{name}.{kind}\"\n")).collect();
    let node = if extra.contains("node = ") { "" } else { name };
    let (top, extra) = extra.split_once("---\n").unwrap_or(("", extra));
    let node = if node.is_empty() { String::new() } else { format!("node = \"{node}\"\n") };
    format!(
        "stop_timeout_s = 5\n{node}{top}[sink.file]\nenabled = false\n[sink.kafka]\nenabled = true\nbrokers = [\"{brokers}\"]\n{topics}\
         topic_positions = \"{name}.positions\"\n{extra}"
    )
}

/// Sends events as one list and expects 200.
#[track_caller]
pub(crate) fn send(address: SocketAddr, project: &str, events: &[String]) {
    let list = format!("[{}]", events.join(","));
    let body = format!("data_list={}", http::escape(base64(list.as_bytes()).as_bytes()));
    let target = format!("/sa?project={project}");
    assert_eq!(http::post(address, &target, &[], body.as_bytes()).status, 200);
}

pub(crate) fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

/// Values of shape `server`, taken apart.
pub(crate) fn stored(messages: &[Message]) -> Vec<Stored> {
    messages.iter().map(|message| Stored::parse(&message.text())).collect()
}
