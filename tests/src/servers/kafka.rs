//! A real Kafka: one broker (KRaft), its own controller. Its jars come from `scripts/servers.sh kafka`.
//!
//! Topics are not made on first use: a missing topic is missing.

mod topics;

pub use topics::{Isolation, Message};

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::proxy::Proxy;
use crate::random::Random;
use crate::{Dir, Process, Signal};

/// How long a start may take: a format and a Java process on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(90);
/// How long a question of the harness may take.
const ASK_LIMIT: Duration = Duration::from_secs(30);

/// User of the SASL listener.
pub const USER: &str = "tusk";
/// Its password, for both SCRAM mechanisms.
pub const PASSWORD: &str = "scram s3cret=";

/// A running broker. Dropped: killed.
#[derive(Debug)]
pub struct Kafka {
    // Before the folder, so that it ends first.
    process: Option<Process>,
    dir: Dir,
    port: u16,
    controller: u16,
    secure: Option<[u16; 2]>,
    /// A listener of its own for clients that come through a proxy, and the proxy's port, which they are told.
    behind: Option<[u16; 2]>,
}

impl Kafka {
    /// Starts one with a plain listener, and waits until it answers.
    ///
    /// # Panics
    /// If it does not come up; the message holds the end of its log.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(false, "")
    }

    /// Starts one; `secure` adds [`Kafka::tls`] and [`Kafka::sasl`], `properties` are further lines of `server.properties`.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    #[track_caller]
    #[must_use]
    pub fn start_with(secure: bool, properties: &str) -> Self {
        Self::begin(secure, properties, None)
    }

    /// Starts one with a further plain listener that a proxy leads to, and which tells its clients to come back through the proxy.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    #[track_caller]
    #[must_use]
    pub fn start_behind(proxy: &Proxy, properties: &str) -> Self {
        let kafka = Self::begin(false, properties, Some(proxy.port()));
        proxy.lead_to(kafka.behind.unwrap()[0]);
        kafka
    }

    #[track_caller]
    fn begin(secure: bool, properties: &str, proxy: Option<u16>) -> Self {
        for _ in 0..3 {
            let mut kafka = Self {
                process: None,
                dir: Dir::new("kafka"),
                port: steady_port(),
                controller: steady_port(),
                secure: secure.then(|| [steady_port(), steady_port()]),
                behind: proxy.map(|proxy| [steady_port(), proxy]),
            };
            kafka.configure(properties);
            kafka.format();
            kafka.spawn();
            if kafka.answers_within(START_LIMIT) {
                return kafka;
            }
            // A port that was free may be another's by now.
            assert!(kafka.log().contains("in use"), "Kafka did not start:\n{}", kafka.log());
        }
        panic!("three sets of free ports were all taken by others");
    }

    /// `127.0.0.1:PORT` of the plain listener.
    #[must_use]
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:PORT` of the TLS listener, which asks for a client certificate and takes none too.
    #[must_use]
    pub fn tls(&self) -> String {
        format!("127.0.0.1:{}", self.secure.unwrap()[0])
    }

    /// `127.0.0.1:PORT` of the TLS listener with SCRAM-SHA-256, SCRAM-SHA-512 and PLAIN.
    #[must_use]
    pub fn sasl(&self) -> String {
        format!("127.0.0.1:{}", self.secure.unwrap()[1])
    }

    /// The authority that signed the broker's certificate, PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("tls/ca.pem")
    }

    /// A certificate of that authority for clients, and its key, PEM.
    #[must_use]
    pub fn client_files(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("tls/client.pem"), self.dir.join("tls/client.key"))
    }

    /// Ends it like a crash.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends it in order (TERM).
    #[track_caller]
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            process.wait(60);
        }
    }

    /// Freezes it: it takes connections and answers nothing.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Thaws it.
    pub fn cont(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Starts it again after [`Kafka::kill`] or [`Kafka::stop`], on the same data and ports, and does not wait.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
    }

    /// Waits until it answers.
    ///
    /// # Panics
    /// If that takes too long.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        assert!(self.answers_within(START_LIMIT), "Kafka does not answer:\n{}", self.log());
    }

    /// A consumer with a group of its own.
    ///
    /// # Panics
    /// If the library refuses its settings.
    #[must_use]
    pub fn consumer(&self, group: &str, isolation: Isolation) -> BaseConsumer {
        let isolation = match isolation {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        };
        self.client()
            .set("group.id", group)
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            .set("fetch.error.backoff.ms", "10")
            .create()
            .unwrap()
    }

    /// Settings of a client of the plain listener.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers()).set("reconnect.backoff.max.ms", "500");
        config
    }

    /// The end of its log.
    #[must_use]
    pub fn log(&self) -> String {
        let text = self.dir.read("kafka.log");
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
    }

    fn signal(&mut self, what: Signal) {
        if let Some(process) = &mut self.process {
            process.signal(what);
        }
    }

    fn answers_within(&mut self, limit: Duration) -> bool {
        let start = Instant::now();
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        while start.elapsed() < limit {
            if self.process.as_mut().is_none_or(|process| process.ended().is_some()) {
                return false;
            }
            // The listener opens when the broker may serve.
            if TcpStream::connect(address).is_ok()
                && self
                    .consumer("harness", Isolation::Committed)
                    .fetch_metadata(None, ASK_LIMIT)
                    .is_ok_and(|all| !all.brokers().is_empty())
            {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    fn spawn(&mut self) {
        let mut command = self.java("kafka.Kafka");
        command.arg(self.dir.join("server.properties"));
        self.process = Some(Process::start(&mut command, &self.dir.join("kafka.log")));
    }

    fn format(&self) {
        let mut command = self.java("kafka.tools.StorageTool");
        command.args(["format", "-t", "dHVzay10ZXN0cy1rYWZrYQ", "-c"]);
        command.arg(self.dir.join("server.properties"));
        if self.secure.is_some() {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                command.arg("--add-scram");
                command.arg(format!("{mechanism}=[name=\"{USER}\",password=\"{PASSWORD}\"]"));
            }
        }
        let out = command.output().unwrap();
        assert!(out.status.success(), "format: {}", String::from_utf8_lossy(&out.stderr));
    }

    fn java(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-XX:MaxDirectMemorySize=64m", "-Dlog4j2.level=WARN"])
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(format!("{}/*", jars().display()))
            .arg(class);
        command
    }

    fn configure(&self, properties: &str) {
        let (dir, port, controller) = (self.dir.path().display(), self.port, self.controller);
        let (mut listeners, mut kinds, mut tls) = (String::new(), String::new(), String::new());
        let mut advertised = String::new();
        if let Some([own, proxy]) = self.behind {
            listeners = format!(",PROXIED://127.0.0.1:{own}");
            advertised = format!(",PROXIED://127.0.0.1:{proxy}");
            kinds = ",PROXIED:PLAINTEXT".into();
        }
        if let Some([plain, sasl]) = self.secure {
            self.certificates();
            listeners = format!(",SSL://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl}");
            advertised.clone_from(&listeners);
            kinds = ",SSL:SSL,SASL_SSL:SASL_SSL".into();
            tls = format!(
                "ssl.keystore.type=PEM
ssl.keystore.location={dir}/tls/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={dir}/tls/ca.pem
ssl.client.auth=requested
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
"
            );
        }
        self.dir.write(
            "server.properties",
            format!(
                "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port}{listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{kinds}
log.dirs={dir}/logs
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
num.partitions=2
default.replication.factor=1
{tls}{properties}
"
            ),
        );
    }

    /// An authority, a certificate for the broker and one for clients.
    fn certificates(&self) {
        let tls = self.dir.join("tls");
        std::fs::create_dir_all(&tls).unwrap();
        let script = "set -e
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj '/CN=tusk tests' -addext 'basicConstraints=critical,CA:TRUE'
for name in broker client; do
  openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
  printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' > $name.ext
  openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $name.ext -out $name.pem
done
cat broker.key >> broker.pem";
        let out = Command::new("sh").arg("-c").arg(script).current_dir(&tls).output().unwrap();
        assert!(out.status.success(), "openssl: {}", String::from_utf8_lossy(&out.stderr));
    }
}

/// A free port below those the system gives to outgoing connections: while the broker is down, no client's own end takes its place.
pub(super) fn steady_port() -> u16 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut random = Random::new(now.as_nanos() as u64 ^ u64::from(std::process::id()));
    loop {
        let port = 12_000 + u16::try_from(random.below(20_000)).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The folder of jars; `TUSK_KAFKA_LIB` names another.
fn jars() -> PathBuf {
    let path = std::env::var_os("TUSK_KAFKA_LIB")
        .map_or_else(|| crate::root().join("build/servers/kafka/lib"), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `scripts/servers.sh kafka` first", path.display());
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

    #[test]
    fn what_was_written_outlives_a_crash() {
        let mut kafka = Kafka::start_with(true, "");
        kafka.create_topic("a", 2, &[("max.message.bytes", "9999")]);
        assert_eq!(kafka.partitions("a"), Some(2));
        assert_eq!(kafka.partitions("b"), None);
        let mut sasl = ClientConfig::new();
        sasl.set("bootstrap.servers", kafka.sasl())
            .set("security.protocol", "sasl_ssl")
            .set("ssl.ca.location", kafka.ca_file().display().to_string())
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", USER)
            .set("sasl.password", PASSWORD);
        let writer: BaseProducer = sasl.create().unwrap();
        writer.send(BaseRecord::to("a").key("k").payload("v")).unwrap();
        writer.flush(ASK_LIMIT).unwrap();
        kafka.kill();
        kafka.restart();
        kafka.wait_ready();
        let found = kafka.read("a", Isolation::Committed);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].key.as_deref(), found[0].text()), (Some(&b"k"[..]), "v".into()));
        kafka.pause();
        assert!(TcpStream::connect(("127.0.0.1", kafka.port)).is_ok(), "frozen, not dead");
        kafka.cont();
        kafka.commit("g", "a", 1, 7);
        assert_eq!(kafka.committed("g", "a", 1), Some((7, String::new())));
        kafka.delete_group("g");
        assert_eq!(kafka.committed("g", "a", 1), None);
        kafka.delete_topic("a");
        kafka.stop();
    }
}
