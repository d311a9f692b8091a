//! The place of an address, from a MaxMind DB file that the operator gives.

use super::{Filled, GeoLang};
use maxminddb::{Reader, geoip2};
use std::net::IpAddr;
use std::path::Path;

/// An opened file.
pub(super) struct Geo {
    reader: Reader<Vec<u8>>,
    lang: GeoLang,
    version: String,
}

impl std::fmt::Debug for Geo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Geo").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Geo {
    pub(super) fn open(path: &Path, lang: GeoLang) -> Result<Self, String> {
        let reader = Reader::open_readfile(path).map_err(|error| {
            format!(
                "{}: {error}; give a MaxMind DB file such as GeoLite2-City.mmdb",
                path.display()
            )
        })?;
        let about = reader.metadata();
        let version = format!("{}-{}", about.database_type, about.build_epoch);
        Ok(Self { reader, lang, version })
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn place(&self, address: &[u8]) -> Filled {
        let mut filled = Filled::default();
        let address =
            std::str::from_utf8(address).ok().and_then(|text| text.parse::<IpAddr>().ok());
        let Some(found) = address.and_then(|address| self.reader.lookup(address).ok()) else {
            return filled;
        };
        let Ok(Some(place)) = found.decode::<geoip2::City<'_>>() else { return filled };
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
        filled
    }
}
