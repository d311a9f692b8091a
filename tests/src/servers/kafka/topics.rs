//! Topics, positions and records of the harness's broker.

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::{ASK_LIMIT, Kafka};

/// What a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// `read_committed`
    Committed,
    /// `read_uncommitted`: also what was aborted.
    Uncommitted,
}

/// A record as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key; `None` = without.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Vec<u8>,
    /// Headers in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Timestamp, ms.
    pub timestamp_ms: i64,
}

impl Message {
    /// Text of a header; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or(String::new(), |(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// The value as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }
}

impl Kafka {
    /// Makes a topic with settings such as `("cleanup.policy", "compact")`.
    ///
    /// # Panics
    /// If the broker refuses.
    #[track_caller]
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (setting, value) in settings {
            topic = topic.set(setting, value);
        }
        let admin = self.admin();
        let made = run(admin.create_topics([&topic], &options())).unwrap();
        made.into_iter().for_each(|one| drop(one.unwrap()));
    }

    /// Removes a topic.
    ///
    /// # Panics
    /// If the broker refuses.
    #[track_caller]
    pub fn delete_topic(&self, name: &str) {
        let admin = self.admin();
        let gone = run(admin.delete_topics(&[name], &options())).unwrap();
        gone.into_iter().for_each(|one| drop(one.unwrap()));
        crate::wait_for(30, "the topic to go", || self.partitions(name).is_none().then_some(()));
    }

    /// Changes settings of a topic.
    ///
    /// # Panics
    /// If the broker refuses.
    #[track_caller]
    pub fn alter_topic(&self, name: &str, settings: &[(&str, &str)]) {
        let topic = ResourceSpecifier::Topic(name);
        let mut change = AlterConfig::new(topic);
        for (setting, value) in settings {
            change = change.set(setting, value);
        }
        let admin = self.admin();
        let done = run(admin.alter_configs([&change], &options())).unwrap();
        done.into_iter().for_each(|one| drop(one.unwrap()));
    }

    /// Forgets the positions of consumer groups.
    ///
    /// # Panics
    /// If the broker refuses.
    #[track_caller]
    pub fn delete_group(&self, group: &str) {
        let admin = self.admin();
        let gone = run(admin.delete_groups(&[group], &options())).unwrap();
        gone.into_iter().for_each(|one| drop(one.unwrap()));
    }

    /// Number of partitions of a topic; `None` if there is no such topic.
    #[must_use]
    pub fn partitions(&self, topic: &str) -> Option<usize> {
        let reader = self.consumer("harness", Isolation::Committed);
        let all = reader.fetch_metadata(None, ASK_LIMIT).ok()?;
        let found = all.topics().iter().find(|one| one.name() == topic)?;
        Some(found.partitions().len())
    }

    /// Position of a group in a partition, as `read_committed` sees it, with its metadata.
    ///
    /// # Panics
    /// If the broker does not answer.
    #[must_use]
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<(i64, String)> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let reader = self.consumer(group, Isolation::Committed);
        let found = reader.committed_offsets(list, ASK_LIMIT).unwrap();
        let one = found.find_partition(topic, partition)?;
        match one.offset() {
            Offset::Offset(offset) => Some((offset, one.metadata().to_owned())),
            _ => None,
        }
    }

    /// Sets the position of a group.
    ///
    /// # Panics
    /// If the broker refuses.
    pub fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        let reader = self.consumer(group, Isolation::Committed);
        reader.commit(&list, rdkafka::consumer::CommitMode::Sync).unwrap();
    }

    /// Everything in a topic, partition after partition, each in order.
    ///
    /// # Panics
    /// If it cannot be read to its end.
    #[track_caller]
    #[must_use]
    pub fn read(&self, topic: &str, isolation: Isolation) -> Vec<Message> {
        let partitions = self.partitions(topic).unwrap_or_else(|| panic!("no topic {topic}"));
        let reader = self.consumer("harness", isolation);
        let mut found = Vec::new();
        for partition in 0..i32::try_from(partitions).unwrap() {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
            reader.assign(&list).unwrap();
            loop {
                match reader.poll(ASK_LIMIT) {
                    Some(Ok(message)) => found.push(own(&message)),
                    Some(Err(KafkaError::PartitionEOF(_))) => break,
                    Some(Err(error)) => panic!("{topic}: {error}"),
                    None => panic!("{topic}: no end after {ASK_LIMIT:?}"),
                }
            }
        }
        found
    }

    /// Sends records once more, to where they were read.
    ///
    /// # Panics
    /// If the broker does not take them.
    #[track_caller]
    pub fn produce(&self, messages: &[Message]) {
        let producer: BaseProducer = self.client().create().unwrap();
        for message in messages {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &message.headers {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let mut record = BaseRecord::to(&message.topic)
                .partition(message.partition)
                .payload(&message.value)
                .headers(headers)
                .timestamp(message.timestamp_ms);
            if let Some(key) = &message.key {
                record = record.key(key);
            }
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(ASK_LIMIT).unwrap();
        assert_eq!(producer.in_flight_count(), 0);
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }
}

fn own(message: &rdkafka::message::BorrowedMessage<'_>) -> Message {
    let headers = message.headers().map_or(Vec::new(), |headers| {
        headers
            .iter()
            .map(|one| (one.key.to_owned(), one.value.unwrap_or_default().to_vec()))
            .collect()
    });
    Message {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().unwrap_or_default().to_vec(),
        headers,
        timestamp_ms: message.timestamp().to_millis().unwrap_or_default(),
    }
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ASK_LIMIT)).request_timeout(Some(ASK_LIMIT))
}
