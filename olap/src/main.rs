//! `tusk-olap`: the embedded ClickHouse of Tusk. Settings as `--name value`; see `docs/olap.md`.
#![deny(unsafe_code)]

use std::io::Read;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use olap::engine::{self, Confined, Engine};
use olap::server::Server;
use olap::settings::Settings;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long the engine has to end: it may wait for merges. Everything acknowledged is stored by then.
const END_LIMIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tusk-olap: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let start = Instant::now();
    let settings = Settings::parse(std::env::args().skip(1))?;
    engine::die_first();
    engine::keep_to_ourselves();
    // Before the engine, which then cannot bind or connect anywhere.
    let listener = listen(settings.listen)?;
    // Before there is a thread.
    let engine = Engine::start(&settings).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // Statements, and for each a kill.
        .max_blocking_threads(2 * usize::try_from(settings.queries_max).unwrap_or(8) + 8)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start threads: {error}"))?;
    let server = Server::new(engine, settings.clone());
    runtime.block_on(serve(Arc::clone(&server), listener, &settings, start))?;
    // Statements that did not end are left alone.
    runtime.shutdown_timeout(Duration::from_secs(1));
    end_after(END_LIMIT);
    let clean = server.engine().stop();
    println!("stopped{}", if clean { "" } else { "; the engine kept threads" });
    // Not by returning: the engine's own threads may still run, and destructors under them.
    std::process::exit(0);
}

fn listen(address: SocketAddr) -> Result<std::net::TcpListener, String> {
    let listener = std::net::TcpListener::bind(address);
    let listener = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    listener.map_err(|error| {
        format!("cannot listen on {address}: {error}; choose another with --listen")
    })
}

async fn serve(
    server: Arc<Server>,
    listener: std::net::TcpListener,
    settings: &Settings,
    start: Instant,
) -> Result<(), String> {
    let listener = TcpListener::from_std(listener).map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let (stop, stopped) = watch::channel(false);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signal = signal(kind).map_err(|error| format!("cannot catch signals: {error}"))?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signal.recv().await;
            let _ = stop.send(true);
        });
    }
    if settings.end_with_stdin {
        std::thread::spawn(move || {
            // Whoever holds the other end ends with his process, however that ends.
            let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
            let _ = stop.send(true);
        });
    }
    if server.engine().confined() == Confined::No {
        eprintln!(
            "tusk-olap: this process is not confined (confine = false, or a kernel without Landlock): SQL of whoever has the key can \
             read files and run programs of this user"
        );
    }
    println!(
        "ready {address} engine {} in {} ms",
        server.engine().version(),
        start.elapsed().as_millis()
    );
    server.serve(listener, stopped).await;
    Ok(())
}

fn end_after(limit: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        std::process::exit(0);
    });
}
