//! The place of an address, from a file that the operator gives: MaxMind DB, or ip2region.

use super::xdb::Xdb;
use super::{Filled, GeoLang};
use maxminddb::{Reader, geoip2};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// An opened file.
pub(super) struct Geo {
    file: File,
    lang: GeoLang,
    version: String,
}

enum File {
    MaxMind(Reader<Vec<u8>>),
    Ip2Region(Xdb),
}

impl std::fmt::Debug for Geo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Geo").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Geo {
    pub(super) fn open(path: &Path, lang: GeoLang) -> Result<Self, String> {
        let shown = path.display();
        if path.extension().is_some_and(|end| end == "xdb") {
            let bytes = std::fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
            let xdb = Xdb::new(bytes).map_err(|error| {
                format!("{shown}: {error}; give an ip2region file of version 2 (ip2region.xdb)")
            })?;
            let version = format!("ip2region-{}", xdb.made());
            return Ok(Self { file: File::Ip2Region(xdb), lang, version });
        }
        let reader = Reader::open_readfile(path).map_err(|error| {
            format!(
                "{shown}: {error}; give a MaxMind DB file such as GeoLite2-City.mmdb, or an ip2region file named *.xdb"
            )
        })?;
        let about = reader.metadata();
        let version = format!("{}-{}", about.database_type, about.build_epoch);
        Ok(Self { file: File::MaxMind(reader), lang, version })
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn place(&self, address: &[u8]) -> Filled {
        let mut filled = Filled::default();
        let address =
            std::str::from_utf8(address).ok().and_then(|text| text.parse::<IpAddr>().ok());
        let Some(address) = address.map(|address| address.to_canonical()) else { return filled };
        match &self.file {
            File::MaxMind(reader) => self.city(reader, address, &mut filled),
            File::Ip2Region(xdb) => {
                let IpAddr::V4(address) = address else { return filled };
                for (name, property, place) in named(xdb, address) {
                    filled.text(name, property, place);
                }
            }
        }
        filled
    }

    fn city(&self, reader: &Reader<Vec<u8>>, address: IpAddr, filled: &mut Filled) {
        let Ok(found) = reader.lookup(address) else { return };
        let Ok(Some(place)) = found.decode::<geoip2::City<'_>>() else { return };
        let name = |names: &geoip2::Names<'_>| {
            let (first, second) = match self.lang {
                GeoLang::Chinese => (names.simplified_chinese, names.english),
                GeoLang::English => (names.english, names.simplified_chinese),
            };
            first.or(second).unwrap_or_default().to_owned()
        };
        filled.text("country", "$country", &name(&place.country.names));
        let province = place.subdivisions.first().map(|part| name(&part.names)).unwrap_or_default();
        filled.text("province", "$province", &province);
        filled.text("city", "$city", &name(&place.city.names));
    }
}

fn named(xdb: &Xdb, address: Ipv4Addr) -> Vec<(&'static str, &'static str, &str)> {
    let Some([country, province, city]) = xdb.place(u32::from(address)) else { return Vec::new() };
    vec![
        ("country", "$country", country),
        ("province", "$province", province),
        ("city", "$city", city),
    ]
}
