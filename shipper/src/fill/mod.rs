//! Columns that the SDK did not send and the request tells: browser and system from the user agent, the place from the address.
//!
//! Filled while a sink encodes, from a cache; each kind has a switch. What is filled may differ between two tries if the data
//! behind it was replaced, so its version is stored beside it.

mod agent;
mod geo;

use geo::Geo;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Most user agents and most addresses remembered per sink; when one is full it starts anew. About 2 MB.
const CACHE_MAX: usize = 8192;

/// `[fill]` of `tusk.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FillConfig {
    /// Browser, system and bot mark of web events (`$lib` = `js`) from the user agent.
    pub user_agent: bool,
    /// Country, province and city from the client address: a MaxMind DB file (GeoLite2-City or alike); unset = off.
    pub geo_file: Option<PathBuf>,
    /// Language of place names in it, `zh-CN` or `en`; a name missing in one is taken from the other.
    pub geo_lang: GeoLang,
}

impl Default for FillConfig {
    fn default() -> Self {
        Self { user_agent: true, geo_file: None, geo_lang: GeoLang::Chinese }
    }
}

/// Language of place names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GeoLang {
    /// Simplified Chinese.
    #[serde(rename = "zh-CN")]
    Chinese,
    /// English.
    #[serde(rename = "en")]
    English,
}

/// What one user agent or address gives, ready to be copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// Members inside `"ua_parsed":{…}` or `"geo":{…}`, without braces.
    pub server: Vec<u8>,
    /// (property, value as JSON) for the flat shape.
    pub flat: Vec<(&'static str, Vec<u8>)>,
}

impl Filled {
    /// Adds a member under its two names; an empty text is left out.
    fn text(&mut self, short: &str, property: &'static str, value: &str) {
        if !value.is_empty() {
            let mut json = Vec::with_capacity(value.len() + 2);
            crate::shape::encode::string(value.as_bytes(), &mut json);
            self.json(short, property, json);
        }
    }

    fn json(&mut self, short: &str, property: &'static str, value: Vec<u8>) {
        if !self.server.is_empty() {
            self.server.push(b',');
        }
        self.server.push(b'"');
        self.server.extend_from_slice(short.as_bytes());
        self.server.extend_from_slice(b"\":");
        self.server.extend_from_slice(&value);
        self.flat.push((property, value));
    }
}

/// Fills for one sink: shared data, own cache.
#[derive(Clone, Debug, Default)]
pub struct Fill {
    user_agent: bool,
    geo: Option<Arc<Geo>>,
    agents: HashMap<Box<[u8]>, Filled>,
    places: HashMap<Box<[u8]>, Filled>,
}

impl Fill {
    /// Opens what the settings name.
    ///
    /// # Errors
    /// A sentence: the file cannot be read or is no MaxMind DB.
    pub fn open(config: &FillConfig) -> Result<Self, String> {
        let geo = config.geo_file.as_deref().map(|path| Geo::open(path, config.geo_lang));
        Ok(Self {
            user_agent: config.user_agent,
            geo: geo.transpose()?.map(Arc::new),
            ..Self::default()
        })
    }

    /// What the user agent tells; `None` if nothing, or switched off.
    pub fn agent(&mut self, user_agent: &[u8]) -> Option<&Filled> {
        if !self.user_agent || user_agent.is_empty() {
            return None;
        }
        let filled = cached(&mut self.agents, user_agent, agent::parse);
        (!filled.flat.is_empty()).then_some(filled)
    }

    /// What the address tells; `None` if nothing, or switched off.
    pub fn place(&mut self, address: &[u8]) -> Option<&Filled> {
        let geo = self.geo.as_deref()?;
        let filled = cached(&mut self.places, address, |address| geo.place(address));
        (!filled.flat.is_empty()).then_some(filled)
    }

    /// Version of the user agent data.
    #[must_use]
    pub fn agent_version(&self) -> &'static str {
        agent::VERSION
    }

    /// Version of the place data; empty without.
    #[must_use]
    pub fn place_version(&self) -> &str {
        self.geo.as_deref().map_or("", Geo::version)
    }
}

fn cached<'c>(
    cache: &'c mut HashMap<Box<[u8]>, Filled>,
    key: &[u8],
    fill: impl FnOnce(&[u8]) -> Filled,
) -> &'c Filled {
    if cache.len() >= CACHE_MAX && !cache.contains_key(key) {
        cache.clear();
    }
    if !cache.contains_key(key) {
        cache.insert(key.into(), fill(key));
    }
    &cache[key]
}
