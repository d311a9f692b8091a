//! What can be typed.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Drains the ring that nginx fills into files, and shows what arrives.
#[derive(Debug, Parser)]
#[command(name = "tusk", version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Common {
    /// Configuration file [default: /etc/tusk/tusk.toml, else ./tusk.toml, else the built-in defaults]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Data folder, instead of the configuration's
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Language of what is shown [default: from the configuration, else LANG]
    #[arg(long, global = true, value_name = "LANG")]
    pub(crate) lang: Option<LangArg>,
}

/// `--lang`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LangArg {
    /// Chinese
    Zh,
    /// English
    En,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon in the foreground: SIGTERM drains and stops, SIGHUP reloads
    Run,
    /// Start nginx and the daemon together and show every event (what `make run` runs)
    Up(Up),
    /// Check configuration, disk, sinks and the running daemon; exit code 1 if something is wrong
    Check(Check),
    /// Show events as they become durable
    Tail(Tail),
    /// Print a one-time address of the console: whoever opens it may manage
    Console,
    /// Send one marked event through the real URL and report each hop: nginx, journal, verdict, every sink
    Doctor(Doctor),
    /// Read one raw HTTP request from stdin and print what would be stored, one JSON line per event
    Decode(Decode),
    /// Import files: lines that server SDKs logged, or nginx access logs with $request_body; a second time adds nothing
    Import(Import),
    /// Compare the old chain's events with ours: which are in both, which in one alone; exit code 1 if they differ
    Compare(Compare),
    /// Show the sums: received = kept + rejected + sealed, and where the kept ones are
    Ledger(Ledger),
    /// List, show, offer again or give up rejected events
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Deliver what a sink missed: its holes, or what an audit finds missing; nothing comes twice
    Replay(Replay),
    /// Make keys for encrypting SDKs
    #[command(subcommand)]
    Keys(Keys),
    /// Bring ClickHouse's schema up to date, or start a sink anew
    Migrate(Migrate),
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Show which migrations there are and which the database has
    #[arg(long)]
    pub(crate) list: bool,
    /// Show the statements that would be run, and run none
    #[arg(long, conflicts_with = "list")]
    pub(crate) dry_run: bool,
    /// Forget this sink's position (tusk must not run): it starts anew by its `start` setting, at the target of today's settings
    #[arg(long, value_name = "SINK", conflicts_with_all = ["list", "dry_run"])]
    pub(crate) reset: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// nginx to start
    #[arg(long, value_name = "PATH", default_value = "nginx")]
    pub(crate) nginx: PathBuf,
    /// The Tusk module for that nginx
    #[arg(long, value_name = "PATH")]
    pub(crate) module: PathBuf,
    /// Address to receive on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) listen: IpAddr,
    /// Port to receive on; if it is busy the next free one is taken
    #[arg(long, value_name = "PORT", default_value_t = 8106)]
    pub(crate) port: u16,
    /// Receive on all addresses and show the one for phones, with a QR code
    #[arg(long)]
    pub(crate) lan: bool,
    /// Serve https with a certificate of a local authority made for this
    #[arg(long)]
    pub(crate) tls: bool,
    /// Address of /metrics, /healthz and /readyz; if it is busy the next free port is taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8190")]
    pub(crate) console: SocketAddr,
    /// Pages of the console in this folder, instead of those in the binary
    #[arg(long, value_name = "DIR")]
    pub(crate) web: Option<PathBuf>,
    /// The embedded ClickHouse is being built, with the output in this file: wait for it while collecting
    #[arg(long, value_name = "LOG")]
    pub(crate) olap_wait: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// One JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// Only this event name or record type (* stands for anything)
    #[arg(long, value_name = "NAME")]
    pub(crate) event: Option<String>,
    /// Only this distinct_id or item_id (* stands for anything)
    #[arg(long, value_name = "ID")]
    pub(crate) user: Option<String>,
    /// Only this project
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
    /// Only this verdict; kept includes problems
    #[arg(long, value_name = "VERDICT")]
    pub(crate) verdict: Option<VerdictArg>,
    /// Only events with this code, such as N101
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// One JSON object per event instead of columns
    #[arg(long)]
    pub(crate) json: bool,
    /// End after this many events
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

/// `--verdict`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum VerdictArg {
    /// Stored, with or without problems
    Kept,
    /// Stored with problems
    Problems,
    /// In quarantine
    Rejected,
}

#[derive(Debug, Args)]
pub(crate) struct Decode {
    /// Keys file, as for tusk_keys
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Projects and tokens, as for tusk_tokens; without it every project is accepted
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,
    /// When the request arrived, ms since 1970 [default: now]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(i64).range(0..=9_000_000_000_000))]
    pub(crate) recv_time: Option<i64>,
    /// Who sent it
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(crate) client_ip: IpAddr,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Files, plain, gzip or zstd; - is stdin
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What the lines are
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub(crate) format: FormatArg,
    /// The log_format of that nginx, the whole directive or its text, where the usual ones do not fit
    #[arg(long, value_name = "TEXT", conflicts_with = "format")]
    pub(crate) log_format: Option<String>,
    /// Project of events that name none
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
    /// Take old times as they are, whether project and event say time_free or not
    #[arg(long)]
    pub(crate) time_free: bool,
    /// Ask logged requests for no token
    #[arg(long)]
    pub(crate) any_token: bool,
    /// Import once more what was imported before; the same WORD a second time adds nothing
    #[arg(long, value_name = "WORD")]
    pub(crate) again: Option<String>,
    /// Check only: store nothing, ask no daemon
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// One JSON object per file instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The receive URL, as SDKs have it
    #[arg(default_value = "http://127.0.0.1:8106/sa?project=default", value_name = "URL")]
    pub(crate) url: String,
    /// How long sinks may take
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) timeout: String,
    /// Authority to trust for https, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// One JSON object a hop instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The old chain: files or folders of JSON lines (plain, gzip, zstd), or kafka:TOPIC (by the settings of [sink.kafka])
    #[arg(long, required = true, num_args = 1.., value_name = "SOURCE")]
    pub(crate) with: Vec<String>,
    /// Ours, in the same words [default: the file sink's folder]
    #[arg(long, num_args = 1.., value_name = "SOURCE")]
    pub(crate) new: Vec<String>,
    /// What to group by
    #[arg(long, value_delimiter = ',', default_value = "event,day,lib")]
    pub(crate) by: Vec<ByArg>,
    /// Only events of this age or younger by their time, such as 12h, 7d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only events older than this, such as 10m: what is still under way in one chain
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Samples shown of each difference
    #[arg(long, default_value_t = 3)]
    pub(crate) samples: usize,
    /// Folder for files while it works, about a tenth of the data [default: the system's]
    #[arg(long, value_name = "DIR")]
    pub(crate) temp: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `--by`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ByArg {
    /// Name of the event
    Event,
    /// Day of its time
    Day,
    /// SDK
    Lib,
}

/// `--format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FormatArg {
    /// Told by the first lines
    Auto,
    /// An event a line
    Json,
    /// An nginx access log with $request_body
    Nginx,
}

#[derive(Debug, Args)]
pub(crate) struct Ledger {
    /// One JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Only what was received within this time, such as 10m, 12h, 7d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Read the targets back and compare identities; exit code 1 if one is missing or surplus
    #[arg(long, conflicts_with = "since")]
    pub(crate) audit: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The sink, such as kafka [default: every sink that missed something]
    #[arg(value_name = "SINK")]
    pub(crate) sink: Option<String>,
    /// What is missing of these lsns, as `tusk ledger` shows them; holes they touch are replayed whole
    #[arg(long, value_name = "FROM-TO", conflicts_with_all = ["holes", "missing"])]
    pub(crate) range: Option<String>,
    /// What the sink skipped while it was parked (the default)
    #[arg(long, conflicts_with = "missing")]
    pub(crate) holes: bool,
    /// Read the target back first and replay what is missing
    #[arg(long)]
    pub(crate) missing: bool,
    /// Kafka only: deliver into topics with this suffix
    #[arg(long, value_name = "SUFFIX")]
    pub(crate) topic_suffix: Option<String>,
    /// One JSON array instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which quarantined events are meant.
#[derive(Clone, Debug, Args)]
pub(crate) struct Which {
    /// Only with this code, such as N101
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// Only with this event name
    #[arg(long, value_name = "NAME")]
    pub(crate) event: Option<String>,
    /// Only from this SDK and version, such as "js 1.27.11"
    #[arg(long, value_name = "SDK")]
    pub(crate) sdk: Option<String>,
    /// Only of this project
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
    /// Only this event, as LSN:INDEX
    #[arg(long, value_name = "LSN:INDEX")]
    pub(crate) id: Option<String>,
    /// Only received within this time, such as 30m, 12h, 7d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// Open events by code, event and SDK, most first
    List {
        #[command(flatten)]
        which: Which,
        /// One JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Open events themselves, newest first, with what is wrong and what to do
    Show {
        #[command(flatten)]
        which: Which,
        /// At most this many, and at most 1,000
        #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
        limit: usize,
        /// One JSON object per event instead of text
        #[arg(long)]
        json: bool,
    },
    /// Check them again with today's keys, tokens and rules; what passes goes to the sinks
    Redrive {
        #[command(flatten)]
        which: Which,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 1_000_000)]
        limit: usize,
        /// Needed when no filter is given
        #[arg(long)]
        all: bool,
    },
    /// Give them up; they are counted as discarded
    Discard {
        #[command(flatten)]
        which: Which,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 1_000_000)]
        limit: usize,
        /// Needed when no filter is given
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key: the private part goes to a file (0600), the public part is printed for /config/*.conf and the web plugin
    New(KeysNew),
}

#[derive(Debug, Args)]
pub(crate) struct KeysNew {
    /// Kind of key
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: KeyType,
    /// Number of a private key, which the SDK sends along (not for AES)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) pkv: i64,
    /// Number of an AES key, which the web plugin sends along
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) key_id: i64,
    /// Curve of EC+AES
    #[arg(long, value_name = "CURVE", default_value = "p256")]
    pub(crate) curve: Curve,
    /// File for the private key [default: pkv-N.pem, SM2: pkv-N.hex, AES: key-N.b64]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `--type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyType {
    /// RSA 2048 with PKCS#1 v1.5: every Android and iOS SDK
    #[value(name = "RSA+AES")]
    RsaAes,
    /// RSA 2048 with OAEP: the iOS plugin of that name
    #[value(name = "RSA/ECB/OAEPPadding+AES")]
    RsaOaepAes,
    /// Elliptic curve (ECIES): newer Android and iOS SDKs
    #[value(name = "EC+AES")]
    EcAes,
    /// Chinese standard: web, mini program and iOS SM plugins
    #[value(name = "SM2+SM4")]
    Sm2Sm4,
    /// Shared key of the web and mini-program AES plugins
    #[value(name = "AES")]
    Aes,
}

/// `--curve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Curve {
    /// secp256r1
    P256,
    /// secp256k1
    Secp256k1,
}

/// Reads the command line; ends the process with usage and exit code 2 if it makes no sense.
pub(crate) fn parse() -> Cli {
    Cli::parse()
}
