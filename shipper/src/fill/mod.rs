//! Columns that the SDK did not send and the request tells: browser and system from the user agent, the place from the address.
//!
//! Filled while a sink encodes, from a cache; each kind has a switch. What is filled may differ between two tries if the data
//! behind it was replaced, so its version is stored beside it.

mod agent;
mod geo;
mod xdb;

use crate::range::EventView;
use crate::shape::members::{Members, names};
use event::record::{self, meta};
use geo::Geo;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

/// Most user agents and most addresses remembered per sink; when one is full it starts anew. About 2 MB.
const CACHE_MAX: usize = 8192;

/// `[fill]` of `tusk.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FillConfig {
    /// `$ip` where the SDK sent none: the client address.
    pub ip: bool,
    /// Browser and system of web events (`$lib` = `js`) from the user agent.
    pub user_agent: bool,
    /// Whether a web event's user agent is a crawler's.
    pub bot: bool,
    /// Country, province and city from the address: a MaxMind DB file (GeoLite2-City or alike), or an ip2region one, `*.xdb`; unset = off.
    pub geo_file: Option<PathBuf>,
    /// Language of place names in it, `zh-CN` or `en`; a name missing in one is taken from the other.
    pub geo_lang: GeoLang,
}

impl Default for FillConfig {
    fn default() -> Self {
        Self { ip: true, user_agent: true, bot: true, geo_file: None, geo_lang: GeoLang::Chinese }
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
#[derive(Clone, Debug)]
pub struct Fill {
    ip: bool,
    user_agent: bool,
    bot: bool,
    geo: Option<Arc<Geo>>,
    agents: HashMap<Box<[u8]>, Filled>,
    places: HashMap<Box<[u8]>, Filled>,
}

impl Default for Fill {
    /// The client address alone.
    fn default() -> Self {
        Self {
            ip: true,
            user_agent: false,
            bot: false,
            geo: None,
            agents: HashMap::new(),
            places: HashMap::new(),
        }
    }
}

impl Fill {
    /// Opens what the settings name.
    ///
    /// # Errors
    /// A sentence: the file cannot be read or is no such file.
    pub fn open(config: &FillConfig) -> Result<Self, String> {
        let geo = config.geo_file.as_deref().map(|path| Geo::open(path, config.geo_lang));
        Ok(Self {
            ip: config.ip,
            user_agent: config.user_agent,
            bot: config.bot,
            geo: geo.transpose()?.map(Arc::new),
            ..Self::default()
        })
    }

    /// The client address as `$ip`, for an event that has none; empty where it tells nothing of the user, or switched off.
    #[must_use]
    pub fn ip<'e>(&self, event: &EventView<'e>) -> &'e [u8] {
        if self.ip && !by_server_sdk(event) { event.record.meta(meta::IP) } else { b"" }
    }

    /// What the user agent of an event tells; `None` if nothing, or switched off. It is that of the event's own `$user_agent`, else that
    /// of its request if a browser sent it: apps send one of their HTTP library, and their own `$os`.
    pub fn agent(&mut self, event: &EventView<'_>) -> Option<&Filled> {
        let (columns, bot) = (self.user_agent, self.bot);
        if !columns && !bot {
            return None;
        }
        let agent = if event.entry.lib.of(event.json) == b"js" && !by_server_sdk(event) {
            Cow::Borrowed(event.record.meta(meta::USER_AGENT))
        } else {
            sent(event, &USER_AGENT, "$user_agent")?
        };
        if agent.is_empty() {
            return None;
        }
        let parse = |agent: &[u8]| agent::parse(agent, columns, bot);
        let filled = cached(&mut self.agents, &agent, parse);
        (!filled.flat.is_empty()).then_some(filled)
    }

    /// What the address of an event tells; `None` if nothing, or switched off. It is the event's own `$ip`, else the client's. The peer of
    /// a server SDK is the customer's own machine: nothing of the user's can be told from it.
    pub fn place(&mut self, event: &EventView<'_>) -> Option<&Filled> {
        let geo = self.geo.as_deref()?;
        let address = match sent(event, &IP, "$ip") {
            Some(address) => address,
            None if by_server_sdk(event) => return None,
            None => Cow::Borrowed(event.record.meta(meta::IP)),
        };
        let filled = cached(&mut self.places, &address, |address| geo.place(address));
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

static IP: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"$ip\""));
static USER_AGENT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"$user_agent\""));

/// A property that the SDK sent as text; `None` if it sent none.
fn sent<'e>(event: &EventView<'e>, quoted: &Finder<'_>, name: &str) -> Option<Cow<'e, [u8]>> {
    let json = event.json;
    // Nearly no event has it: one look, not a walk.
    quoted.find(json)?;
    let mut top = Members::new(json, 0);
    let properties = top.find(|m| names(&json[m.name.clone()], "properties"))?;
    let mut inner = Members::new(json, properties.value.start);
    let value = inner.find(|m| names(&json[m.name.clone()], name))?.value;
    let text = json.get(value)?;
    let plain = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if plain.contains(&b'\\') {
        return serde_json::from_slice::<String>(text).ok().map(|s| Cow::Owned(s.into_bytes()));
    }
    Some(Cow::Borrowed(plain))
}

fn by_server_sdk(event: &EventView<'_>) -> bool {
    event.entry.flags & record::flag::SERVER_SDK != 0
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
