//! CPU from the edge into Kafka for a request of one event: nginx with the module and the shipper, beside the chain it replaces, nginx
//! that logs the body and Flume that follows the log, with its memory channel and with its durable one.
//!
//! The old chain decodes nothing; what it writes to Kafka is the line. Its nginx is the stock way to have a body in a log: a `proxy_pass`
//! to itself. Its agents stay up over all rounds, so that what Java compiles is compiled in the round that is not counted. The broker's
//! CPU is nobody's.

use super::Options;
use super::drive::{Plan, all_accepted, drive};
use super::filled::metric;
use crate::corpus::Stream;
use crate::measured::{Measured, Target, ratios};
use crate::{Error, proc};
use rdkafka::consumer::Consumer as _;
use std::process::Command;
use std::time::Duration;
use tusk_tests::servers::kafka::{Isolation, Kafka};
use tusk_tests::{Dir, Nginx, Process, Tusk, conf, wait_for};

/// Requests of a turn.
const REQUESTS: u64 = 60_000;
const CONNECTIONS: u32 = 8;
const PARTITIONS: i32 = 4;
/// Longest wait for a turn's last record, and for an agent to come up.
const LIMIT_S: u64 = 180;
const ASK_LIMIT: Duration = Duration::from_secs(30);

/// A chain under test.
struct Chain {
    topic: &'static str,
    nginx: Nginx,
    behind: Behind,
    // Last, so that it goes last.
    _dir: Dir,
}

/// What stands between nginx and Kafka.
enum Behind {
    Tusk(Tusk),
    Flume(Process),
}

/// CPU of a turn, µs a request.
#[derive(Clone, Copy, Debug)]
struct Used {
    nginx_us: f64,
    behind_us: f64,
}

pub(super) fn measure(options: &Options) -> Result<Vec<Measured>, Error> {
    let kafka = Kafka::start();
    for topic in ["tusk", "memory", "file"] {
        kafka.create_topic(topic, PARTITIONS, &[]);
    }
    let chains = [tusk(&kafka), flume(&kafka, "memory")?, flume(&kafka, "file")?];
    let mut turns = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=options.rounds as usize {
        for turn in 0..chains.len() {
            let at = (turn + round) % chains.len();
            let used = chains[at].turn(&kafka, (round * chains.len() + turn) as u64)?;
            eprintln!("bench: flume, round {round}: {}: {used:?}", chains[at].topic);
            if round > 0 {
                turns[at].push(used);
            }
        }
    }
    let all = |at: usize| turns[at].iter().map(|u| u.nginx_us + u.behind_us).collect::<Vec<_>>();
    let nginx = |at: usize| turns[at].iter().map(|u: &Used| u.nginx_us).collect::<Vec<_>>();
    let behind = |at: usize| turns[at].iter().map(|u: &Used| u.behind_us).collect::<Vec<_>>();
    Ok(vec![
        Measured::with(
            "CPU of nginx log + Flume (memory channel) to Tusk's",
            ratios(&all(1), &all(0)),
            Target::AtLeast(3.5),
        ),
        Measured::with(
            "CPU of nginx log + Flume (file channel) to Tusk's",
            ratios(&all(2), &all(0)),
            Target::AtLeast(7.0),
        ),
        Measured::plain("nginx with the module, CPU µs a request", nginx(0)),
        Measured::plain("shipper, CPU µs a request", behind(0)),
        Measured::plain("nginx that logs, CPU µs a request", nginx(1)),
        Measured::plain("Flume, memory channel, CPU µs a request", behind(1)),
        Measured::plain("Flume, file channel, CPU µs a request", behind(2)),
    ])
}

fn tusk(kafka: &Kafka) -> Chain {
    let dir = Dir::new("bench-edge");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let settings = format!(
        "[sink.file]\nenabled = false\n[sink.kafka]\nenabled = true\nbrokers = [\"{}\"]\ntopic_events = \"tusk\"\n\
         topic_profiles = \"tusk\"\ntopic_items = \"tusk\"\n",
        kafka.brokers()
    );
    let tusk = Tusk::start(&dir, &settings);
    Chain { topic: "tusk", nginx, behind: Behind::Tusk(tusk), _dir: dir }
}

fn flume(kafka: &Kafka, channel: &'static str) -> Result<Chain, Error> {
    let dir = Dir::new("bench-flume");
    for folder in ["in", "checkpoint", "data"] {
        std::fs::create_dir_all(dir.join(folder))?;
    }
    let nginx = Nginx::start(&dir, |port| logging(&dir, port));
    dir.write("agent.conf", agent(&dir, kafka, channel));
    dir.write("log4j2.xml", LOG4J);
    let jars = tusk_tests::root().join("build/servers/flume/lib");
    if !jars.exists() {
        return Err("build/servers/flume is missing: run `scripts/servers.sh flume`".into());
    }
    let mut command = Command::new("java");
    command.args(["-Xmx1g", "-XX:+UseSerialGC"]);
    command.arg(format!("-Dlog4j.configurationFile={}", dir.join("log4j2.xml").display()));
    command.arg("-cp").arg(format!("{}/*", jars.display()));
    command.args(["org.apache.flume.node.Application", "-n", "a", "--no-reload-conf", "-f"]);
    command.arg(dir.join("agent.conf"));
    let process = Process::start(&mut command, &dir.join("flume.log"));
    Ok(Chain { topic: channel, nginx, behind: Behind::Flume(process), _dir: dir })
}

impl Chain {
    /// Sends, waits until all of it is in Kafka, and tells what that took.
    fn turn(&self, kafka: &Kafka, seed: u64) -> Result<Used, Error> {
        let now_ms = crate::now_ms()?;
        // Made beforehand, so that the generator is cheap.
        let requests: Vec<Vec<u8>> = Stream::new("c", 0xf100 + seed, now_ms)
            .take(REQUESTS as usize)
            .map(|sample| sample.raw)
            .collect();
        let mut edge = vec![self.nginx.master()];
        edge.extend(self.nginx.workers());
        let behind = [match &self.behind {
            Behind::Tusk(tusk) => tusk.id(),
            Behind::Flume(process) => process.id(),
        }];
        let before = self.arrived(kafka)?;
        let (edge_before, behind_before) = (proc::cpu(&edge), proc::cpu(&behind));
        let plan = Plan { connections: CONNECTIONS, rate: None, requests: REQUESTS };
        let sent = drive(self.nginx.address(), plan, |_| {
            |request| requests.get(request as usize).cloned().unwrap_or_default()
        });
        all_accepted(&sent)?;
        wait_for(LIMIT_S, &format!("all records of {}", self.topic), || {
            std::thread::sleep(Duration::from_millis(20));
            let arrived = self.arrived(kafka).unwrap_or(0);
            (arrived >= before + REQUESTS).then_some(())
        });
        let a_request = |used: proc::Cpu| used.total_s() * 1e6 / REQUESTS as f64;
        Ok(Used {
            nginx_us: a_request(proc::cpu(&edge).since(edge_before)),
            behind_us: a_request(proc::cpu(&behind).since(behind_before)),
        })
    }

    /// Records of this chain that are in Kafka, Tusk's as far as they are committed.
    fn arrived(&self, kafka: &Kafka) -> Result<u64, Error> {
        if let Behind::Tusk(tusk) = &self.behind {
            let name = "tusk_sink_delivered_events_total{sink=\"kafka\"}";
            return Ok(metric(tusk, name).unwrap_or(0));
        }
        let reader = kafka.consumer("bench", Isolation::Uncommitted);
        let mut sum = 0;
        for partition in 0..PARTITIONS {
            sum += reader.fetch_watermarks(self.topic, partition, ASK_LIMIT)?.1;
        }
        Ok(u64::try_from(sum)?)
    }
}

/// An nginx that answers 200 and writes request and body into a log.
fn logging(dir: &Dir, port: u16) -> String {
    let path = dir.path().display();
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    format!(
        "{user}worker_processes 2;
pid {path}/nginx.pid;
error_log {path}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {path}/body;
    proxy_temp_path {path}/proxy;
    fastcgi_temp_path {path}/fastcgi;
    uwsgi_temp_path {path}/uwsgi;
    scgi_temp_path {path}/scgi;
    keepalive_requests 1000000;
    client_body_buffer_size 128k;
    log_format sa escape=none '$remote_addr\\t$msec\\t$request_method\\t$request_uri\\t$http_user_agent\\t$request_body';
    access_log off;
    upstream self {{ server unix:{path}/void.sock; keepalive 64; keepalive_requests 1000000; }}
    server {{ listen unix:{path}/void.sock; location / {{ return 200; }} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            access_log {path}/in/access.log sa buffer=256k flush=1s;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_pass_request_body off;
            proxy_set_header Content-Length \"\";
            proxy_pass http://self/void;
        }}
    }}
}}
"
    )
}

fn agent(dir: &Dir, kafka: &Kafka, channel: &str) -> String {
    let (path, brokers) = (dir.path().display(), kafka.brokers());
    let kind = if channel == "memory" {
        "a.channels.c.capacity=20000\na.channels.c.byteCapacity=400000000".to_owned()
    } else {
        format!("a.channels.c.checkpointDir={path}/checkpoint\na.channels.c.dataDirs={path}/data")
    };
    format!(
        "a.sources=s
a.channels=c
a.sinks=k
a.sources.s.type=TAILDIR
a.sources.s.positionFile={path}/position.json
a.sources.s.filegroups=g
a.sources.s.filegroups.g={path}/in/.*log
a.sources.s.batchSize=1000
a.sources.s.channels=c
a.channels.c.type={channel}
a.channels.c.transactionCapacity=2000
{kind}
a.sinks.k.type=org.apache.flume.sink.kafka.KafkaSink
a.sinks.k.channel=c
a.sinks.k.kafka.bootstrap.servers={brokers}
a.sinks.k.kafka.topic={channel}
a.sinks.k.flumeBatchSize=1000
a.sinks.k.kafka.producer.acks=1
a.sinks.k.kafka.producer.linger.ms=5
a.sinks.k.kafka.producer.enable.idempotence=false
"
    )
}

const LOG4J: &str = "<Configuration><Appenders><Console name=\"C\"><PatternLayout pattern=\"%d %p %c{1} %m%n\"/></Console></Appenders>\
<Loggers><Root level=\"warn\"><AppenderRef ref=\"C\"/></Root></Loggers></Configuration>";
