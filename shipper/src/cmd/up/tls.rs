//! `--tls`: a certificate authority of this folder and a server certificate signed by it. Phones and browsers trust the authority
//! once; the server certificate is made anew when its names change or it runs out.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

use crate::Fail;

/// Life of the authority in days: it is trusted by hand, which nobody wants to do often.
const CA_DAYS: u32 = 3650;
/// Life of the server's certificate in days: iOS refuses more than 825, browsers more than 398.
const SERVER_DAYS: u32 = 397;
/// It is renewed this long before its end, days.
const RENEW_DAYS: u32 = 30;

/// Where the files are.
#[derive(Debug)]
pub(super) struct Files {
    /// The authority's certificate: what others install.
    pub(super) ca: PathBuf,
}

/// Makes what is missing under `<data>/tls` for these addresses.
pub(super) fn files(data: &Path, listen: IpAddr, lan: Option<IpAddr>) -> Result<Files, Fail> {
    let folder = data.join("tls");
    let refuse = |what: &dyn std::fmt::Display| Fail::new(format!("{}: {what}", folder.display()));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&folder)
        .map_err(|error| refuse(&error))?;
    let mut ips: Vec<IpAddr> = vec![IpAddr::from([127, 0, 0, 1]), "::1".parse().unwrap_or(listen)];
    ips.extend(lan);
    if !listen.is_unspecified() {
        ips.push(listen);
    }
    ips.sort_unstable();
    ips.dedup();
    make(&folder, &ips).map_err(|error| refuse(&error))?;
    Ok(Files { ca: folder.join("ca.pem") })
}

/// Why certificates cannot be made.
#[derive(Debug, thiserror::Error)]
enum TlsError {
    #[error("OpenSSL: {0}")]
    Openssl(#[from] ErrorStack),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

fn make(folder: &Path, ips: &[IpAddr]) -> Result<(), TlsError> {
    let path = |name: &str| folder.join(name);
    let (ca, ca_key) = match authority(&path("ca.pem"), &path("ca.key")) {
        Some(pair) => pair,
        None => {
            let key = new_key()?;
            let certificate = new_authority(&key)?;
            // A server certificate of an earlier authority is of no use now.
            let _ = fs::remove_file(path("server.pem"));
            put(&path("ca.key"), 0o600, &key.private_key_to_pem_pkcs8()?)?;
            put(&path("ca.pem"), 0o644, &certificate.to_pem()?)?;
            (certificate, key)
        }
    };
    // The names stand beside it: reading them back out of a certificate says less plainly whether they are these.
    let names = ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let good = fs::read_to_string(path("server.names")).is_ok_and(|known| known == names)
        && path("server.key").exists()
        && certificate(&path("server.pem")).is_some_and(|server| lasts(&server));
    if !good {
        let key = new_key()?;
        let server = new_server(&key, ips, &ca, &ca_key)?;
        put(&path("server.key"), 0o600, &key.private_key_to_pem_pkcs8()?)?;
        put(&path("server.pem"), 0o644, &[server.to_pem()?, ca.to_pem()?].concat())?;
        put(&path("server.names"), 0o644, names.as_bytes())?;
    }
    Ok(())
}

fn certificate(path: &Path) -> Option<X509> {
    X509::from_pem(&fs::read(path).ok()?).ok()
}

/// Whether it is good for another while.
fn lasts(certificate: &X509) -> bool {
    Asn1Time::days_from_now(RENEW_DAYS).is_ok_and(|then| *certificate.not_after() > *then)
}

fn authority(certificate_file: &Path, key_file: &Path) -> Option<(X509, PKey<Private>)> {
    let found = certificate(certificate_file).filter(lasts)?;
    let key = PKey::private_key_from_pem(&fs::read(key_file).ok()?).ok()?;
    found.public_key().ok()?.public_eq(&key).then_some((found, key))
}

fn new_key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

/// What both certificates have in common.
fn start(name: &str, days: u32, key: &PKey<Private>) -> Result<X509Builder, ErrorStack> {
    let mut subject = X509NameBuilder::new()?;
    subject.append_entry_by_text("O", "Tusk (this machine only)")?;
    subject.append_entry_by_text("CN", name)?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?; // X.509 v3
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::ONE, false)?;
    builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    builder.set_subject_name(&subject.build())?;
    // A day back: the phone's clock may be behind.
    let yesterday = jiff::Timestamp::now().as_second() - 86_400;
    builder.set_not_before(&*Asn1Time::from_unix(yesterday)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(days)?)?;
    builder.set_pubkey(key)?;
    Ok(builder)
}

fn new_authority(key: &PKey<Private>) -> Result<X509, ErrorStack> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host: String = host.chars().take(40).collect();
    let mut builder = start(&format!("Tusk CA {host}"), CA_DAYS, key)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("O", "Tusk (this machine only)")?;
    name.append_entry_by_text("CN", &format!("Tusk CA {host}"))?;
    builder.set_issuer_name(&name.build())?;
    builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    let id = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension(id)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

fn new_server(
    key: &PKey<Private>,
    ips: &[IpAddr],
    ca: &X509,
    ca_key: &PKey<Private>,
) -> Result<X509, ErrorStack> {
    let mut builder = start("tusk", SERVER_DAYS, key)?;
    builder.set_issuer_name(ca.subject_name())?;
    builder.append_extension(BasicConstraints::new().build()?)?;
    builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
    let mut names = SubjectAlternativeName::new();
    names.dns("localhost");
    for ip in ips {
        names.ip(&ip.to_string());
    }
    let (names, issuer) = {
        let context = builder.x509v3_context(Some(ca), None);
        (names.build(&context)?, AuthorityKeyIdentifier::new().keyid(true).build(&context)?)
    };
    builder.append_extension(names)?;
    builder.append_extension(issuer)?;
    builder.sign(ca_key, MessageDigest::sha256())?;
    Ok(builder.build())
}

fn put(path: &Path, mode: u32, bytes: &[u8]) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_signed_by_the_authority_and_made_anew_only_for_new_names() {
        let folder = std::env::temp_dir().join(format!("tusk-tls-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let home = [IpAddr::from([127, 0, 0, 1])];
        make(&folder, &home).unwrap();
        let ca = certificate(&folder.join("ca.pem")).unwrap();
        let first = certificate(&folder.join("server.pem")).unwrap();
        assert!(first.verify(&ca.public_key().unwrap()).unwrap());
        let names = first.subject_alt_names().unwrap();
        assert!(names.iter().any(|name| name.ipaddress() == Some(&[127, 0, 0, 1])));
        make(&folder, &home).unwrap();
        let again = certificate(&folder.join("server.pem")).unwrap();
        assert_eq!(first.to_der().unwrap(), again.to_der().unwrap());
        make(&folder, &[home[0], IpAddr::from([192, 168, 1, 2])]).unwrap();
        let moved = certificate(&folder.join("server.pem")).unwrap();
        assert_ne!(first.to_der().unwrap(), moved.to_der().unwrap());
        assert_eq!(
            ca.to_der().unwrap(),
            certificate(&folder.join("ca.pem")).unwrap().to_der().unwrap()
        );
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(folder.join("ca.key")).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(&folder).unwrap();
    }
}
