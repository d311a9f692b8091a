//! What nginx kept sealed is opened by the daemon; a key that comes later opens the rest.

use event::{Config, Project};
use openssl::rsa::Padding;
use openssl::symm::Cipher;
use rustix::process::Signal;

use crate::keys::{KEY, envelope, form, new_key, payload, public};
use crate::running::{Daemon, wait_for};
use crate::support::Dir;

#[test]
fn a_key_added_by_sighup_opens_sealed_requests_and_a_redrive_the_older_ones() {
    let dir = Dir::new();
    let made = new_key(&dir, &["RSA+AES"]);
    let mut ekey = vec![0; 256];
    public(&made).rsa().unwrap().public_encrypt(KEY, &mut ekey, Padding::PKCS1).unwrap();
    let body = form(&envelope(&ekey, &1.into(), &payload(Cipher::aes_128_cbc(), KEY)));
    // An edge that knows the key and has no private-key operation left.
    let toml = made["keys_toml"].as_str().unwrap();
    let keys = event::KeyRing::parse(toml, &mut |file| std::fs::read_to_string(file)).unwrap();
    let edge = Config {
        project: Project::Any,
        keys: keys.into(),
        seal: true,
        key_ops_per_s: 0,
        ..Config::default()
    };
    dir.write("keys.toml", "");
    let mut daemon = Daemon::start_in(dir, "keys_file = \"keys.toml\"\nany_project = true");
    daemon.send_with(&edge, &body);
    let counted = |daemon: &Daemon, field: &str| {
        wait_for(field, || {
            let ledger = daemon.socket(r#"{"cmd":"ledger"}"#)["ok"].clone();
            (ledger[field] == 1 && ledger["sealed"] == 0).then_some(())
        });
    };
    counted(&daemon, "rejected"); // there is no key yet
    daemon.dir.write("keys.toml", toml);
    daemon.signal(Signal::HUP);
    wait_for("the reload", || daemon.log().contains("reloaded").then_some(()));
    daemon.send_with(&edge, &body);
    counted(&daemon, "kept"); // opened with the new key
    let text = wait_for("the first in quarantine", || {
        let text = daemon.ask(&["quarantine", "redrive", "--code", "K502"]);
        (!text.starts_with("0 redriven (0 events); 0 still")).then_some(text)
    });
    assert!(text.starts_with("1 redriven (1 events)"), "{text}");
    daemon.delivered(2);
    let lines = daemon.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("钥匙")).count(), 2, "{lines:?}");
}
