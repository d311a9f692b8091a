//! `tusk keys new`: keys for SDKs that encrypt. The private part goes to a file that only its owner reads; what is printed is
//! what the other side needs.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use event::Lang;
use openssl::bn::BigNumContext;
use openssl::ec::{EcGroup, EcKey, PointConversionForm};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use serde_json::{Value, json};

use super::put;
use crate::Fail;
use crate::cli::{Common, Curve, KeyType, KeysNew};
use crate::lang::pick;

/// Bits of an RSA key. The SDKs wrap 16 bytes in blocks sized for 2048; a larger one costs the edge four times the CPU.
const RSA_BITS: u32 = 2048;

/// A new key in all the forms it is needed.
struct Made {
    /// For the file: PEM, hex (SM2) or base64 (AES).
    private: String,
    /// For `configs` of `/config/*.conf`; `None` for AES, which the apps do not fetch.
    configs: Option<Value>,
    /// Web and mini-program plugin and what it is given.
    web: Option<(&'static str, Value)>,
    /// Entry of the keys file.
    toml: String,
}

/// Makes a key and prints its public side.
pub(crate) fn run(common: &Common, arguments: &KeysNew) -> Result<ExitCode, Fail> {
    let file = arguments.out.clone().unwrap_or_else(|| default_file(arguments));
    let shown = std::path::absolute(&file).unwrap_or_else(|_| file.clone());
    let made = make(arguments, &shown).map_err(|error| {
        Fail::new(format!("OpenSSL cannot make the key: {error}; is this curve built in?"))
    })?;
    write(&file, &made.private)?;
    let config = made.configs.map(|configs| remote_config(arguments.pkv, configs));
    let text = if arguments.json {
        let web = made.web.map(|(plugin, options)| json!({"plugin": plugin, "options": options}));
        let all = json!({
            "type": arguments.kind.word(), "private_key_file": shown, "config": config, "web": web,
            "keys_toml": made.toml,
        });
        format!("{all}\n")
    } else {
        text(&shown, config.as_ref(), made.web.as_ref(), &made.toml, common.lang())
    };
    put(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn default_file(arguments: &KeysNew) -> PathBuf {
    PathBuf::from(match arguments.kind {
        KeyType::Aes => format!("key-{}.b64", arguments.key_id),
        KeyType::Sm2Sm4 => format!("pkv-{}.hex", arguments.pkv),
        _ => format!("pkv-{}.pem", arguments.pkv),
    })
}

/// Never overwrites: an old key may still be needed for events that phones sent weeks ago.
fn write(file: &Path, private: &str) -> Result<(), Fail> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(file);
    let written = opened.and_then(|mut out| {
        out.write_all(private.as_bytes())?;
        out.sync_all()
    });
    written.map_err(|error| {
        let file = file.display();
        Fail::new(match error.kind() {
            std::io::ErrorKind::AlreadyExists => format!(
                "{file} is there already and is kept: old events may need it; give --out another name, and the new key the next --pkv or --key-id"
            ),
            _ => format!("cannot write {file}: {error}"),
        })
    })
}

fn make(arguments: &KeysNew, file: &Path) -> Result<Made, ErrorStack> {
    let pkv = arguments.pkv;
    let word = arguments.kind.word();
    let toml = format!(
        "[[key]]\npkv = {pkv}\ntype = \"{word}\"\nprivate_key_file = {}\n",
        json!(file.to_string_lossy())
    );
    let pem = |key: &PKey<Private>| -> Result<(String, String), ErrorStack> {
        let pem = String::from_utf8_lossy(&key.private_key_to_pem_pkcs8()?).into_owned();
        Ok((pem, STANDARD.encode(key.public_key_to_der()?)))
    };
    Ok(match arguments.kind {
        KeyType::RsaAes | KeyType::RsaOaepAes => {
            let (private, public) = pem(&PKey::from_rsa(Rsa::generate(RSA_BITS)?)?)?;
            let v2 = json!({"type": word, "public_key": public, "pkv": pkv});
            let configs = match arguments.kind {
                KeyType::RsaAes => json!({"key": {"public_key": public, "pkv": pkv}, "key_v2": v2}),
                _ => json!({"key_v2": v2}),
            };
            Made { private, configs: Some(configs), web: None, toml }
        }
        KeyType::EcAes => {
            let curve = match arguments.curve {
                Curve::P256 => Nid::X9_62_PRIME256V1,
                Curve::Secp256k1 => Nid::SECP256K1,
            };
            let group = EcGroup::from_curve_name(curve)?;
            let (private, public) = pem(&PKey::from_ec_key(EcKey::generate(&group)?)?)?;
            // The SDKs read this member as JSON inside a string.
            let inner = json!({"type": "EC", "public_key": public, "pkv": pkv}).to_string();
            let configs = json!({
                "key": {"key_ec": inner},
                "key_v2": {"type": word, "public_key": public, "pkv": pkv},
            });
            Made { private, configs: Some(configs), web: None, toml }
        }
        KeyType::Sm2Sm4 => {
            let group = EcGroup::from_curve_name(Nid::SM2)?;
            let key = EcKey::generate(&group)?;
            let mut context = BigNumContext::new()?;
            let form = PointConversionForm::UNCOMPRESSED;
            let public = hex(&key.public_key().to_bytes(&group, form, &mut context)?);
            let private = format!("{}\n", hex(&key.private_key().to_vec_padded(32)?));
            let configs = json!({"key_v2": {"type": word, "public_key": public, "pkv": pkv}});
            let web = Some(("SMEncryption", json!({"pkv": pkv, "pub_key": public})));
            Made { private, configs: Some(configs), web, toml }
        }
        KeyType::Aes => {
            let mut key = [0; 16];
            openssl::rand::rand_bytes(&mut key)?;
            let encoded = STANDARD.encode(key);
            let key_id = arguments.key_id;
            let hash = hex(openssl::sha::sha256(&key).get(..8).unwrap_or_default());
            let options = json!({"k": encoded, "kid": key_id, "khash": hash});
            let toml = format!("[[key]]\nkey_id = {key_id}\ntype = \"AES\"\nkey = \"{encoded}\"\n");
            let private = format!("{encoded}\n");
            Made { private, configs: None, web: Some(("AesEncryption", options)), toml }
        }
    })
}

/// The whole answer of `/config/Android.conf` and `/config/iOS.conf`: changes nothing but the key.
fn remote_config(pkv: i64, mut configs: Value) -> Value {
    let version = format!("pkv-{pkv}");
    if let Some(members) = configs.as_object_mut() {
        members.insert("disableSDK".into(), json!(false));
        members.insert("disableDebugMode".into(), json!(false));
        members.insert("autoTrackMode".into(), json!(-1));
        members.insert("event_blacklist".into(), json!([]));
        members.insert("nv".into(), json!(version));
        members.insert("effect_mode".into(), json!(0));
        members.insert("supportTransportEncrypt".into(), json!(true));
    }
    json!({"v": version, "configs": configs})
}

fn text(
    file: &Path,
    config: Option<&Value>,
    web: Option<&(&'static str, Value)>,
    toml: &str,
    lang: Lang,
) -> String {
    let file = file.display();
    let mut out = pick(
        lang,
        format!("# 私钥已写入 {file}（0600，请备份：丢了它，已加密的数据就解不开）\n\n"),
        format!(
            "# private key: {file} (0600; keep a copy: without it what was encrypted stays closed)\n\n"
        ),
    );
    out += pick(
        lang,
        "# 加到 tusk_keys 指定的 keys.toml（旧密钥要保留）\n",
        "# add to keys.toml, the file of tusk_keys (keep the old keys in it)\n",
    );
    out += toml;
    if let Some(config) = config {
        out += pick(
            lang,
            "\n# /config/Android.conf 与 /config/iOS.conf 的应答：App SDK 由此取得公钥\n",
            "\n# the answer of /config/Android.conf and /config/iOS.conf: app SDKs fetch the public key here\n",
        );
        out += &format!("{config}\n");
    }
    if let Some((plugin, options)) = web {
        out += pick(
            lang,
            "\n# Web / 小程序加密插件的参数\n",
            "\n# what the web or mini-program plugin is given\n",
        );
        out += &format!("{options}\n");
        out += &format!("# sensors.use(SensorsDataWebJSSDKPlugin.{plugin}, {options});\n");
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl KeyType {
    /// As in the keys file and in `key_v2.type`.
    fn word(self) -> &'static str {
        match self {
            Self::RsaAes => "RSA+AES",
            Self::RsaOaepAes => "RSA/ECB/OAEPPadding+AES",
            Self::EcAes => "EC+AES",
            Self::Sm2Sm4 => "SM2+SM4",
            Self::Aes => "AES",
        }
    }
}
