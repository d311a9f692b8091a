//! A new key opens what is encrypted for it. The encrypting side is written here from the SDKs' formats, with OpenSSL.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::bn::BigNumContext;
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey, EcPoint, PointConversionForm};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Public};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::sign::Signer;
use openssl::symm::{Cipher, encrypt};
use serde_json::{Value, json};

use crate::support::{Dir, run, stderr, stdout, tusk};

const EVENT: &str = r#"{"type":"track","event":"Buy","distinct_id":"u1","time":1700000000000,"properties":{"n":"钥匙"}}"#;
pub(crate) const KEY: &[u8; 16] = b"0123456789abcdef";

pub(crate) fn new_key(dir: &Dir, arguments: &[&str]) -> Value {
    let mut command = tusk(dir);
    command.args(["keys", "new", "--json", "--type"]).args(arguments);
    let output = run(&mut command, b"");
    assert!(output.status.success(), "{}", stderr(&output));
    let made: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let file = Path::new(made["private_key_file"].as_str().unwrap());
    let mode = std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    made
}

/// Sends an envelope through `tusk decode` with the keys file that was printed; the event it holds.
fn opened(dir: &Dir, made: &Value, envelope: &Value) -> String {
    let keys = dir.write("keys.toml", made["keys_toml"].as_str().unwrap());
    let body = form(envelope);
    let request = format!("POST /sa HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut command = tusk(dir);
    command.args(["decode", "--recv-time", "1700000000500", "--keys"]).arg(keys);
    let output = run(&mut command, request.as_bytes());
    assert_eq!(stderr(&output), "");
    stdout(&output)
}

/// The request's body.
pub(crate) fn form(envelope: &Value) -> String {
    let text = envelope.to_string();
    let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("gzip=9&data_list={escaped}")
}

fn expected() -> String {
    format!("{{\"index\":0,\"verdict\":\"kept\",\"codes\":[],\"event\":{EVENT}}}\n")
}

/// `IV ‖ CBC`, base64.
pub(crate) fn payload(cipher: Cipher, key: &[u8]) -> String {
    let iv = [7; 16];
    let sealed = encrypt(cipher, key, Some(&iv), EVENT.as_bytes()).unwrap();
    STANDARD.encode([&iv[..], &sealed].concat())
}

pub(crate) fn envelope(ekey: &[u8], pkv: &Value, payload: &str) -> Value {
    json!([{"ekey": STANDARD.encode(ekey), "pkv": pkv, "payloads": [payload]}])
}

pub(crate) fn public(made: &Value) -> PKey<Public> {
    let der = STANDARD.decode(v2(made)["public_key"].as_str().unwrap()).unwrap();
    PKey::public_key_from_der(&der).unwrap()
}

fn v2(made: &Value) -> &Value {
    &made["config"]["configs"]["key_v2"]
}

#[test]
fn rsa() {
    for (kind, padding) in
        [("RSA+AES", Padding::PKCS1), ("RSA/ECB/OAEPPadding+AES", Padding::PKCS1_OAEP)]
    {
        let dir = Dir::new();
        let made = new_key(&dir, &[kind, "--pkv", "3"]);
        assert_eq!((&v2(&made)["type"], &v2(&made)["pkv"]), (&kind.into(), &3.into()));
        let mut ekey = vec![0; 256];
        let rsa = public(&made).rsa().unwrap();
        rsa.public_encrypt(KEY, &mut ekey, padding).unwrap();
        let payload = payload(Cipher::aes_128_cbc(), KEY);
        assert_eq!(opened(&dir, &made, &envelope(&ekey, &3.into(), &payload)), expected());
    }
}

/// ECIES as BouncyCastle does it: `V ‖ C ‖ HMAC-SHA1`, KDF2 with SHA-1 over `V ‖ Z`, MAC key first.
fn ecies(public: &PKey<Public>) -> Vec<u8> {
    let to = public.ec_key().unwrap();
    let group = to.group();
    let once = EcKey::generate(group).unwrap();
    let mut context = BigNumContext::new().unwrap();
    let form = PointConversionForm::UNCOMPRESSED;
    let v = once.public_key().to_bytes(group, form, &mut context).unwrap();
    let once = PKey::from_ec_key(once).unwrap();
    let mut deriver = Deriver::new(&once).unwrap();
    deriver.set_peer(public).unwrap();
    let z = deriver.derive_to_vec().unwrap();
    let mut stream = Vec::new();
    for counter in 1..=2u32 {
        stream.extend(openssl::sha::sha1(&[&v[..], &z, &counter.to_be_bytes()].concat()));
    }
    let c: Vec<u8> = KEY.iter().zip(&stream[16..]).map(|(a, b)| a ^ b).collect();
    let mac_key = PKey::hmac(&stream[..16]).unwrap();
    let mut signer = Signer::new(MessageDigest::sha1(), &mac_key).unwrap();
    signer.update(&[&c[..], &[0; 8]].concat()).unwrap();
    [v, c, signer.sign_to_vec().unwrap()].concat()
}

#[test]
fn ec_on_both_curves() {
    for curve in ["p256", "secp256k1"] {
        let dir = Dir::new();
        let made = new_key(&dir, &["EC+AES", "--curve", curve]);
        let inner = made["config"]["configs"]["key"]["key_ec"].as_str().unwrap();
        let inner: Value = serde_json::from_str(inner).unwrap();
        assert_eq!(inner["public_key"], v2(&made)["public_key"]);
        let payload = payload(Cipher::aes_128_cbc(), KEY);
        let envelope = envelope(&ecies(&public(&made)), &1.into(), &payload);
        assert_eq!(opened(&dir, &made, &envelope), expected(), "{curve}");
    }
}

/// DER lengths and values of OpenSSL's SM2 ciphertext: x, y, hash, text.
fn der_fields(mut der: &[u8]) -> Vec<Vec<u8>> {
    let mut take = |outer: bool| {
        let (mut length, mut head) = (usize::from(der[1]), 2);
        if length & 0x80 != 0 {
            head += length & 0x7f;
            length = der[2..head].iter().fold(0, |n, &b| n << 8 | usize::from(b));
        }
        let value = der[head..head + length].to_vec();
        der = if outer { &der[head..] } else { &der[head + length..] };
        value
    };
    take(true);
    (0..4).map(|_| take(false)).collect()
}

#[test]
fn sm2() {
    let dir = Dir::new();
    let made = new_key(&dir, &["SM2+SM4", "--pkv", "2"]);
    let hex = v2(&made)["public_key"].as_str().unwrap();
    assert_eq!((hex.len(), &hex[..2]), (130, "04"));
    assert_eq!(made["web"]["options"], json!({"pkv": 2, "pub_key": hex}));
    let bytes: Vec<u8> =
        (0..65).map(|i| u8::from_str_radix(&hex[i * 2..i * 2 + 2], 16).unwrap()).collect();
    let group = EcGroup::from_curve_name(Nid::SM2).unwrap();
    let mut context = BigNumContext::new().unwrap();
    let point = EcPoint::from_bytes(&group, &bytes, &mut context).unwrap();
    let key = EcKey::from_public_key(&group, &point).unwrap();
    // Read back from DER, so that OpenSSL takes it for an SM2 key and not for one of ECDSA.
    let der = PKey::from_ec_key(key).unwrap().public_key_to_der().unwrap();
    let key = PKey::public_key_from_der(&der).unwrap();
    let mut cipher = PkeyCtx::new(&key).unwrap();
    cipher.encrypt_init().unwrap();
    let mut sealed = Vec::new();
    cipher.encrypt_to_vec(KEY, &mut sealed).unwrap();
    let fields = der_fields(&sealed);
    let padded = |number: &[u8]| {
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        [&vec![0; 32 - number.len()][..], number].concat()
    };
    let ekey = [padded(&fields[0]), padded(&fields[1]), fields[2].clone(), fields[3].clone()];
    let payload = payload(Cipher::sm4_cbc(), KEY);
    assert_eq!(opened(&dir, &made, &envelope(&ekey.concat(), &2.into(), &payload)), expected());
}

#[test]
fn aes() {
    let dir = Dir::new();
    let made = new_key(&dir, &["AES", "--key-id", "7"]);
    assert_eq!(made["config"], Value::Null);
    let options = &made["web"]["options"];
    let key = STANDARD.decode(options["k"].as_str().unwrap()).unwrap();
    let file = std::fs::read_to_string(made["private_key_file"].as_str().unwrap()).unwrap();
    assert_eq!(file.trim(), options["k"]);
    let payload = payload(Cipher::aes_128_cbc(), &key);
    let envelope = json!({"key_id": options["kid"], "key_hash": options["khash"], "nc": 1, "payload": payload});
    assert_eq!(opened(&dir, &made, &envelope), expected());
}

#[test]
fn an_old_key_is_never_overwritten() {
    let dir = Dir::new();
    new_key(&dir, &["SM2+SM4"]);
    let before = std::fs::read_to_string(dir.path().join("pkv-1.hex")).unwrap();
    let output = run(tusk(&dir).args(["keys", "new", "--type", "SM2+SM4"]), b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("pkv-1.hex is there already"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(dir.path().join("pkv-1.hex")).unwrap(), before);
}

#[test]
fn the_text_form_holds_the_same_json_a_line_each() {
    let dir = Dir::new();
    let output = run(tusk(&dir).args(["keys", "new", "--type", "SM2+SM4", "--lang", "zh"]), b"");
    let text = stdout(&output);
    assert!(text.contains("私钥已写入"), "{text}");
    let json: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(json.len(), 2, "{text}");
    assert_eq!(json[0]["configs"]["key_v2"]["public_key"], json[1]["pub_key"]);
    let keys: String =
        text.lines().filter(|line| !line.starts_with(['#', '{'])).collect::<Vec<_>>().join("\n");
    let parsed: toml::Table = toml::from_str(&keys).unwrap();
    assert_eq!(parsed["key"][0]["type"].as_str(), Some("SM2+SM4"));
    let private = std::fs::read_to_string(dir.path().join("pkv-1.hex")).unwrap();
    assert!(!text.contains(private.trim()), "the private key is not shown");
}
