//! The `clickhouse` crate with its defaults (validation, LZ4) against `tusk-olap`, as against a server.
#![allow(clippy::unwrap_used, clippy::panic)]

use clickhouse::{Client, Compression, Row};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use tusk_tests::servers::olap::Olap;

#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
struct Event {
    id: u64,
    event: String,
    time: u32,
    value: f64,
    text: Vec<(String, String)>,
    maybe: Option<i32>,
}

fn event(id: u64) -> Event {
    let number = usize::try_from(id).unwrap();
    Event {
        id,
        event: ["view", "click", "pay"][number % 3].to_owned(),
        time: 1_777_000_000 + u32::try_from(id % 86_400).unwrap(),
        value: f64::from(u32::try_from(id).unwrap()) / 2.0,
        text: vec![("url".to_owned(), "https://shop.example.com/item".to_owned())],
        maybe: id.is_multiple_of(2).then(|| i32::try_from(id).unwrap()),
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn client(olap: &Olap) -> Client {
    Client::default().with_url(olap.url()).with_user("default").with_password(olap.key())
}

const TABLE: &str = "CREATE TABLE t (id UInt64, event LowCardinality(String), time DateTime, value Float64, \
    text Map(String, String), maybe Nullable(Int32)) ENGINE = MergeTree ORDER BY id \
    SETTINGS non_replicated_deduplication_window = 100";

async fn insert(client: &Client, ids: std::ops::Range<u64>) -> clickhouse::error::Result<()> {
    let mut insert = client.insert::<Event>("t").await?;
    for id in ids {
        insert.write(&event(id)).await?;
    }
    insert.end().await
}

#[test]
fn the_crate_works_unchanged() {
    let olap = Olap::start();
    runtime().block_on(async {
        for compression in [Compression::Lz4, Compression::None] {
            let client = client(&olap).with_compression(compression);
            client.query(TABLE).execute().await.unwrap();
            insert(&client, 0..5_000).await.unwrap();
            let count = "SELECT count() FROM t";
            assert_eq!(client.query(count).fetch_one::<u64>().await.unwrap(), 5_000);
            let query = client.query("SELECT ?fields FROM t WHERE id < ? ORDER BY id").bind(3);
            let rows: Vec<Event> = query.fetch_all().await.unwrap();
            assert_eq!(rows, [event(0), event(1), event(2)]);
            let query = client.query("SELECT count() FROM t WHERE event = {e:String}");
            let paid: u64 = query.param("e", "pay").fetch_one().await.unwrap();
            assert_eq!(paid, 1_666);
            let none = client.query("SELECT ?fields FROM t WHERE id > 1000000");
            assert_eq!(none.fetch_all::<Event>().await.unwrap(), []);
            // A token counts once.
            let once = client.clone().with_setting("insert_deduplication_token", "token");
            insert(&once, 10_000..10_100).await.unwrap();
            insert(&once, 10_000..10_100).await.unwrap();
            assert_eq!(client.query(count).fetch_one::<u64>().await.unwrap(), 5_100);
            client.query("DROP TABLE t").execute().await.unwrap();
        }
    });
}

#[test]
fn a_million_rows_come_under_one_head() {
    let olap = Olap::start();
    runtime().block_on(async {
        let query = "SELECT number, toString(number) FROM numbers(1000000)";
        let mut rows = client(&olap).query(query).fetch::<(u64, String)>().unwrap();
        let (mut count, mut sum) = (0u64, 0u64);
        while let Some((number, text)) = rows.next().await.unwrap() {
            assert_eq!(text, number.to_string());
            (count, sum) = (count + 1, sum + number);
        }
        assert_eq!((count, sum), (1_000_000, 499_999_500_000));
    });
}

#[test]
fn errors_reach_the_crate_before_and_after_the_first_row() {
    let olap = Olap::start();
    runtime().block_on(async {
        for (sql, part) in [
            ("SELECT nope", "UNKNOWN_IDENTIFIER"),
            (
                "SELECT toUInt8(throwIf(number = 900000)) FROM numbers(1000000)",
                "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
            ),
        ] {
            let error = client(&olap).query(sql).fetch_all::<u8>().await.unwrap_err();
            assert!(error.to_string().contains(part), "{sql}: {error}");
        }
        #[derive(Row, Serialize)]
        struct Wrong {
            id: String,
        }
        client(&olap).query(TABLE).execute().await.unwrap();
        let wrong = async {
            let mut insert = client(&olap).insert::<Wrong>("t").await?;
            insert.write(&Wrong { id: "x".to_owned() }).await?;
            insert.end().await
        };
        assert!(wrong.await.is_err());
        assert_eq!(olap.query("SELECT count() FROM t"), "0");
        let stranger = client(&olap).with_password("wrong");
        let error = stranger.query("SELECT 1").fetch_one::<u8>().await.unwrap_err();
        assert!(error.to_string().contains("AUTHENTICATION_FAILED"), "{error}");
    });
}
