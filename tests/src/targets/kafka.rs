//! Kafka: a broker whose clients come through a proxy; read back as `read_committed`.

use std::path::Path;

use crate::contract::{Act, Target};
use crate::load;
use crate::oracle::Seen;
use crate::proxy::Proxy;
use crate::servers::kafka::{Isolation, Kafka};

/// Where events go.
const TOPIC: &str = "events";
/// The largest batch that the broker takes: events of the load are smaller, a poisoned one is not.
const MESSAGE_BYTES_MAX: u32 = 200_000;

/// A running broker.
#[derive(Debug)]
pub struct KafkaTarget {
    /// The server.
    pub kafka: Kafka,
    proxy: Proxy,
}

impl KafkaTarget {
    /// Starts one, with its topics.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        let proxy = Proxy::start();
        let kafka = Kafka::start_behind(&proxy, "");
        let largest = MESSAGE_BYTES_MAX.to_string();
        kafka.create_topic(TOPIC, 3, &[("max.message.bytes", largest.as_str())]);
        kafka.create_topic(
            "positions",
            1,
            &[("cleanup.policy", "compact"), ("segment.ms", "600000")],
        );
        Self { kafka, proxy }
    }
}

impl Target for KafkaTarget {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn toml(&self, _: &Path) -> String {
        format!(
            "[sink.kafka]\nenabled = true\nbrokers = [\"{}\"]\ntopic_events = \"{TOPIC}\"\ntopic_profiles = \"{TOPIC}\"\n\
             topic_items = \"{TOPIC}\"\ntopic_positions = \"positions\"\ntimeout_ms = 2000\ntransaction_timeout_ms = 10000\n",
            self.proxy.address()
        )
    }

    fn parts(&self) -> &'static [&'static str] {
        &["broker"]
    }

    fn act(&mut self, _: usize, act: Act) {
        match act {
            Act::Kill => self.kafka.kill(),
            Act::End => self.kafka.stop(),
            Act::Start => self.kafka.restart(),
            Act::Freeze => self.kafka.pause(),
            Act::Thaw => self.kafka.cont(),
        }
    }

    fn wait_ready(&mut self) {
        self.kafka.wait_ready();
    }

    fn proxy(&self) -> Option<&Proxy> {
        Some(&self.proxy)
    }

    fn late(&self) -> std::time::Duration {
        std::time::Duration::from_secs(5)
    }

    fn read(&self, _: &Path) -> Vec<Seen> {
        let all = self.kafka.read(TOPIC, Isolation::Committed);
        let values: Vec<String> = all.iter().map(crate::servers::kafka::Message::text).collect();
        super::seen(values.iter().map(String::as_str))
    }

    fn poison(&mut self, request: u64, index: u32) -> Option<String> {
        // Text that does not pack.
        let mut random = crate::random::Random::new(request);
        let noise: String =
            (0..MESSAGE_BYTES_MAX / 8).map(|_| format!("{:016x}", random.draw())).collect();
        let padding = format!("\"padding\":\"{noise}\"");
        Some(load::event(request, index, 0).replace("\"padding\":\"\"", &padding))
    }
}
