//! From a filled journal onto HDFS, beside a plain hdfs-native writer of the same bytes: each file created, written, synced, closed and
//! renamed, one after the other. The plain writer has its bytes ready in memory; Tusk reads its journal and makes JSON lines of it,
//! not packed, so that both write the same.

use super::Options;
use super::filled::{Filled, metric};
use crate::Error;
use crate::measured::{Measured, Target, ratios};
use bytes::Bytes;
use hdfs_native::{ClientBuilder, WriteOptions};
use std::time::{Duration, Instant};
use tusk_tests::servers::hdfs::Hdfs;
use tusk_tests::{Tusk, files, wait_for};

/// Longest wait for a round.
const LIMIT_S: u64 = 300;

pub(super) fn measure(options: &Options) -> Result<Vec<Measured>, Error> {
    let filled = Filled::new(options.events)?;
    let hdfs = Hdfs::start();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    tusk(&hdfs, &filled, "/warm")?;
    let data: Vec<Bytes> = hdfs
        .list("/warm")
        .into_iter()
        .filter(|entry| files::is_data_name(entry.path.rsplit('/').next().unwrap_or_default()))
        .map(|entry| hdfs.read(&entry.path).into())
        .collect();
    let bytes: usize = data.iter().map(Bytes::len).sum();
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for round in 0..=options.rounds {
        let (mut ours_s, mut plain_s) = (0.0, 0.0);
        for turn in 0..2 {
            if (turn + round) % 2 == 0 {
                ours_s = tusk(&hdfs, &filled, &format!("/tusk-{round}"))?;
            } else {
                let start = Instant::now();
                runtime.block_on(write(&hdfs, &data, &format!("/plain-{round}")))?;
                plain_s = start.elapsed().as_secs_f64();
            }
        }
        for root in [format!("/tusk-{round}"), format!("/plain-{round}")] {
            let _ = hdfs.ask("DELETE", &root, "op=DELETE&recursive=true", b"");
        }
        eprintln!(
            "bench: hdfs, round {round}: tusk {ours_s:.2} s, plain {plain_s:.2} s, {} files",
            data.len()
        );
        if round > 0 {
            ours.push(bytes as f64 / 1e6 / ours_s);
            plain.push(bytes as f64 / 1e6 / plain_s);
        }
    }
    Ok(vec![
        Measured::with(
            "rate to a plain writer's of the same bytes",
            ratios(&ours, &plain),
            Target::AtLeast(0.8),
        ),
        Measured::plain("plain writer, MB/s", plain),
        Measured::plain("tusk, MB/s", ours),
    ])
}

/// Seconds from ready to the last event.
fn tusk(hdfs: &Hdfs, filled: &Filled, root: &str) -> Result<f64, Error> {
    let dir = filled.copy()?;
    let settings = format!(
        "[sink.file]\nenabled = false\n[sink.hdfs]\nenabled = true\nurl = \"{}\"\nroot = \"{root}\"\nformat = \"jsonl\"\n\
         compression = \"none\"\nrange_age_ms_max = 100\n",
        hdfs.url()
    );
    let tusk = Tusk::start(&dir, &settings);
    let start = Instant::now();
    wait_for(LIMIT_S, "all events on HDFS", || {
        std::thread::sleep(Duration::from_millis(5));
        let delivered = metric(&tusk, "tusk_sink_delivered_events_total{sink=\"hdfs\"}");
        (delivered == Some(filled.events)).then_some(())
    });
    let seconds = start.elapsed().as_secs_f64();
    tusk.stop();
    Ok(seconds)
}

async fn write(hdfs: &Hdfs, data: &[Bytes], root: &str) -> Result<(), Error> {
    let client = ClientBuilder::new().with_url(hdfs.url()).build()?;
    client.mkdirs(root, 0o755, true).await?;
    for (number, bytes) in data.iter().enumerate() {
        let (hidden, path) = (format!("{root}/.{number}.inprogress"), format!("{root}/{number}"));
        let mut file = client.create(&hidden, WriteOptions::default()).await?;
        let mut bytes = bytes.clone();
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(1 << 20));
            file.write_bytes(piece).await?;
        }
        file.hsync().await?;
        file.close().await?;
        client.rename(&hidden, &path, false).await?;
    }
    Ok(())
}
