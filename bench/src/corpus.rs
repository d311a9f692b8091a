//! The corpus: what SDKs send, made from a fixed seed so that every run measures the same bytes.
//!
//! | case | what | distinct requests | events per request |
//! |---|---|---|---|
//! | a | web `GET /sa.gif?project=…&data=…&ext=crc%3D…`, Chinese values, a browser's headers | 2,000 | 1 |
//! | b | Android-like `POST /sa?project=…`, `crc=…&gzip=1&data_list=…`, 25 properties and a list | 200 | 50 |
//! | c | mini-program `POST`, `crc=…&gzip=0&data=…` | 2,000 | 1 |
//! | d | 60 % a, 20 % c, 20 % b with 10 events; 1 % malformed (base64, cut data, wrong crc, damaged gzip) | 3,000 | 2.8 |

use crate::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// How a request was damaged on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Two bytes of the base64 text are not base64.
    Base64,
    /// Half of the base64 text is missing.
    Cut,
    /// The `crc` does not fit.
    Crc,
    /// The last 200 bytes of the gzip stream are zeroes.
    Gzip,
}

/// One request of the corpus.
pub struct Sample {
    /// Head and body as on the wire.
    pub raw: Vec<u8>,
    /// The form text alone: the query of a GET, the body of a POST.
    pub form: Vec<u8>,
    /// Whether it is a GET of `/sa.gif` rather than a POST of `/sa`.
    pub get: bool,
    /// Its `User-Agent`.
    pub agent: &'static str,
    /// Events in it, damaged or not.
    pub events: usize,
    /// Bytes of JSON that were packed.
    pub json_bytes: usize,
    /// Damage, if any.
    pub damage: Option<Damage>,
}

/// All requests of one case.
pub struct Case {
    /// `a`, `b`, `c` or `d`.
    pub name: &'static str,
    /// In replay order.
    pub samples: Vec<Sample>,
}

impl Case {
    /// Mean number of intact events in a request.
    pub fn events_per_request(&self) -> f64 {
        let events: usize =
            self.samples.iter().filter(|s| s.damage.is_none()).map(|s| s.events).sum();
        events as f64 / self.samples.len() as f64
    }

    #[cfg(test)]
    /// Mean bytes of JSON per event, of the form text and of the whole request.
    pub fn sizes(&self) -> (f64, f64, f64) {
        let total = |f: fn(&Sample) -> usize| self.samples.iter().map(f).sum::<usize>() as f64;
        let requests = self.samples.len() as f64;
        (
            total(|s| s.json_bytes) / total(|s| s.events),
            total(|s| s.form.len()) / requests,
            total(|s| s.raw.len()) / requests,
        )
    }

    /// Writes the requests for `replay.lua`: `| length u32 le | request |` each.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        for sample in &self.samples {
            file.write_all(&u32::try_from(sample.raw.len())?.to_le_bytes())?;
            file.write_all(&sample.raw)?;
        }
        Ok(file.flush()?)
    }
}

/// Makes one case as if its SDKs sent it at `now_ms`: fresh, or a collector would correct every event's clock. The same
/// bytes for the same time.
pub fn case(name: &'static str, now_ms: u64) -> Case {
    let seed = 0x7475_736c ^ u64::from(name.as_bytes()[0]);
    let mut random = Random { state: seed, now_ms };
    let samples = match name {
        "a" => (0..2000).map(|_| web(&mut random, None)).collect(),
        "b" => (0..200).map(|_| android(&mut random, 50, None)).collect(),
        "c" => (0..2000).map(|_| mini(&mut random, None)).collect(),
        _ => (0..3000).map(|_| mixed(&mut random)).collect(),
    };
    Case { name, samples }
}

/// Requests of one kind without end, no two alike: what a collector remembers of an event must not be the same event again.
pub struct Stream {
    random: Random,
    /// `a` or `c`, or `d` without its damage.
    kind: &'static str,
}

impl Stream {
    /// A stream; another seed gives other requests.
    pub fn new(kind: &'static str, seed: u64, now_ms: u64) -> Self {
        Self { random: Random { state: seed, now_ms }, kind }
    }
}

impl Iterator for Stream {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        let random = &mut self.random;
        Some(match (self.kind, random.below(100)) {
            ("a", _) | ("d", 0..60) => web(random, None),
            ("c", _) | ("d", 60..80) => mini(random, None),
            _ => android(random, 10, None),
        })
    }
}

/// One intact request of case `a` or `c`.
pub fn one(name: &str) -> Vec<u8> {
    let mut random = Random { state: 1, now_ms: 1_760_000_000_000 };
    if name == "a" { web(&mut random, None).raw } else { mini(&mut random, None).raw }
}

fn mixed(random: &mut Random) -> Sample {
    let damaged = random.chance(1);
    let mut damage = |choices: &[Damage]| damaged.then(|| random.pick(choices));
    let web_damage = damage(&[Damage::Base64, Damage::Cut, Damage::Crc]);
    let mini_damage = damage(&[Damage::Base64, Damage::Crc]);
    let batch_damage = damage(&[Damage::Base64, Damage::Gzip, Damage::Crc]);
    match random.below(100) {
        0..60 => web(random, web_damage),
        60..80 => mini(random, mini_damage),
        _ => android(random, 10, batch_damage),
    }
}

/// splitmix64: small, seedable, the same on every machine; and the corpus's clock.
struct Random {
    state: u64,
    now_ms: u64,
}

impl Random {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.below(16) as usize])).collect()
    }

    /// A decimal with `places` digits after the point, below `bound`.
    fn decimal(&mut self, bound: u64, places: u32) -> f64 {
        let scale = 10u64.pow(places);
        self.below(bound * scale) as f64 / scale as f64
    }
}

const CITIES: &[&str] = &[
    "北京", "上海", "广州", "深圳", "杭州", "成都", "武汉", "西安", "南京", "重庆", "苏州", "长沙",
];
const GOODS: &[&str] = &[
    "无线蓝牙耳机 降噪版",
    "男士纯棉短袖T恤",
    "进口咖啡豆 500克装",
    "智能扫地机器人",
    "儿童绘本套装(全12册)",
    "不锈钢保温杯",
    "家用空气净化器",
    "新疆灰枣 一级",
    "有机五常大米 10斤",
    "速干运动短裤",
];
const TITLES: &[&str] = &[
    "首页-优选商城",
    "商品详情页",
    "购物车",
    "订单确认",
    "个人中心",
    "限时秒杀会场",
    "搜索结果:耳机",
    "活动规则",
];
const APP_EVENTS: &[&str] = &[
    "ViewProduct",
    "AddToCart",
    "SubmitOrder",
    "PayOrder",
    "SearchResultClick",
    "$AppClick",
    "$AppViewScreen",
    "CouponReceive",
];
const PHONES: &[(&str, &str)] = &[
    ("HUAWEI", "ALN-AL00"),
    ("Xiaomi", "23127PN0CC"),
    ("OPPO", "PHZ110"),
    ("vivo", "V2309A"),
    ("HONOR", "BVL-AN00"),
    ("samsung", "SM-S9180"),
];
const NETWORKS: &[&str] = &["WIFI", "5G", "4G"];
const LABELS: &[&str] = &["新品", "包邮", "满减", "自营", "预售"];

fn web_event(random: &mut Random) -> Value {
    let width = random.pick(&[2_073_600, 1_296_000, 1_327_104, 3_686_400]);
    let id = format!(
        "{}-{}-{}-{width}-{}",
        random.hex(14),
        random.hex(15),
        random.hex(8),
        random.hex(15)
    );
    let time = random.now_ms - random.below(2_000);
    let item = random.between(1_000_000, 10_000_000);
    json!({
        "identities": {"$identity_cookie_id": id},
        "distinct_id": id,
        "lib": {"$lib": "js", "$lib_method": "code", "$lib_version": "1.26.18"},
        "properties": {
            "$timezone_offset": -480,
            "$screen_height": random.pick(&[900, 1080, 1440]),
            "$screen_width": random.pick(&[1440, 1920, 2560]),
            "$viewport_height": random.between(500, 1300),
            "$viewport_width": random.between(900, 2500),
            "$lib": "js",
            "$lib_version": "1.26.18",
            "$latest_traffic_source_type": random.pick(&["直接流量", "自然搜索流量", "引荐流量"]),
            "$latest_search_keyword":
                random.pick(&["未取到值_直接打开", "蓝牙耳机 推荐", "未取到值"]),
            "$latest_referrer": random.pick(&["", "https://www.baidu.com/link"]),
            "$referrer":
                format!("https://www.example.com/list?cat={}&from=home", random.below(1000)),
            "$url": format!(
                "https://www.example.com/item/{item}.html?spm=a1.b2.c{}&utm_source=wx",
                random.below(1000)
            ),
            "$url_path": format!("/item/{item}.html"),
            "$title": random.pick(TITLES),
            "$is_first_day": random.chance(20),
            "$is_first_time": false,
            "$referrer_host": "www.example.com",
            "product_id": item.to_string(),
            "product_name": random.pick(GOODS),
            "price": random.decimal(900, 2),
            "city": random.pick(CITIES),
            "is_login": random.chance(50)
        },
        "anonymous_id": id,
        "type": "track",
        "event": random.pick(&["$pageview", "$WebClick", "ViewProduct", "AddToCart"]),
        "time": time,
        "_track_id": random.between(100_000_000, 1_000_000_000),
        "_flush_time": time + random.below(50)
    })
}

fn mini_event(random: &mut Random) -> Value {
    let mut event = web_event(random);
    let id = random.hex(32);
    event["distinct_id"] = json!(id);
    event["anonymous_id"] = json!(id);
    event["identities"] = json!({"$identity_mp_id": id});
    event["event"] = json!(random.pick(&["$MPViewScreen", "$MPClick", "ViewProduct"]));
    event["lib"] = json!({"$lib": "MiniProgram", "$lib_method": "code", "$lib_version": "3.20.6"});
    let properties = &mut event["properties"];
    for (key, value) in [
        ("$lib", "MiniProgram"),
        ("$lib_version", "3.20.6"),
        ("$os", "iOS"),
        ("$model", "iPhone15,3"),
        ("$brand", "APPLE"),
        ("$network_type", random.pick(NETWORKS)),
    ] {
        properties[key] = json!(value);
    }
    event
}

/// One run of an app: the events of a batch share user, device and flush time.
struct Session {
    user: String,
    device: String,
    phone: (&'static str, &'static str),
    time_ms: u64,
    flush_ms: u64,
}

fn android_event(random: &mut Random, session: &mut Session) -> Value {
    let time = session.time_ms;
    session.time_ms += random.between(10, 20_000);
    let item = random.between(1_000_000, 10_000_000);
    let first = random.below(LABELS.len() as u64) as usize;
    let second = (first + 1 + random.below(LABELS.len() as u64 - 1) as usize) % LABELS.len();
    json!({
        "_track_id": random.below(1 << 32) as i64 - (1 << 31),
        "time": time,
        "type": "track",
        "distinct_id": session.user,
        "anonymous_id": session.device,
        "identities":
            {"$identity_android_id": session.device, "$identity_login_id": session.user},
        "lib": {
            "$lib": "Android",
            "$lib_version": "6.8.3",
            "$app_version": "5.12.0",
            "$lib_method": "code",
            "$lib_detail": format!(
                "com.example.mall.ui.ProductActivity##onCreate##ProductActivity.java##{}",
                random.between(40, 900)
            )
        },
        "event": random.pick(APP_EVENTS),
        "properties": {
            "$lib": "Android",
            "$lib_version": "6.8.3",
            "$os": "Android",
            "$os_version": "14",
            "$brand": session.phone.0,
            "$manufacturer": session.phone.0,
            "$model": session.phone.1,
            "$screen_width": 1080,
            "$screen_height": 2400,
            "$carrier": "中国移动",
            "$app_id": "com.example.mall",
            "$app_name": "优选商城",
            "$app_version": "5.12.0",
            "$device_id": session.device,
            "$timezone_offset": -480,
            "$network_type": random.pick(NETWORKS),
            "$wifi": random.chance(50),
            "$is_first_day": false,
            "$screen_name": "com.example.mall.ui.ProductActivity",
            "$title": random.pick(TITLES),
            "$event_duration": random.decimal(60, 3),
            "product_id": item.to_string(),
            "product_name": random.pick(GOODS),
            "price": random.decimal(900, 2),
            "city": random.pick(CITIES),
            "tags": [LABELS[first], LABELS[second]]
        },
        "_flush_time": session.flush_ms
    })
}

const AGENT_WEB: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 \
     (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const AGENT_MINI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) \
     AppleWebKit/605.1.15 MicroMessenger/8.0.49 NetType/WIFI";
const AGENT_ANDROID: &str = "SensorsAnalytics Android SDK";

fn web(random: &mut Random, damage: Option<Damage>) -> Sample {
    let json = web_event(random).to_string();
    let (text, crc) = pack(json.as_bytes(), damage);
    let form =
        format!("project=default&data={}&ext={}", quote(&text), quote(&format!("crc={crc}")));
    let raw = format!(
        "GET /sa.gif?{form} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: {AGENT_WEB}\r\n\
         Accept: image/avif,image/webp,*/*;q=0.8\r\nAccept-Language: zh-CN,zh;q=0.9\r\n\
         Accept-Encoding: gzip, deflate, br\r\nReferer: https://www.example.com/item/1.html\r\n\
         Cookie: sensorsdata2015jssdkcross=%7B%22distinct_id%22%3A%2218f%22%7D\r\n\r\n"
    );
    Sample {
        raw: raw.into_bytes(),
        form: form.into_bytes(),
        get: true,
        agent: AGENT_WEB,
        events: 1,
        json_bytes: json.len(),
        damage,
    }
}

fn mini(random: &mut Random, damage: Option<Damage>) -> Sample {
    let json = mini_event(random).to_string();
    let (text, crc) = pack(json.as_bytes(), damage);
    post(AGENT_MINI, format!("crc={crc}&gzip=0&data={}", quote(&text)), 1, json.len(), damage)
}

fn android(random: &mut Random, events: usize, damage: Option<Damage>) -> Sample {
    let flush_ms = random.now_ms - random.below(2_000);
    let mut session = Session {
        user: random.between(1_000_000_000, 10_000_000_000).to_string(),
        device: random.hex(16),
        phone: random.pick(PHONES),
        time_ms: flush_ms - 600_000,
        flush_ms,
    };
    let batch: Vec<Value> = (0..events).map(|_| android_event(random, &mut session)).collect();
    let json = Value::Array(batch).to_string();
    let (text, crc) = pack(&gzip(json.as_bytes(), damage), damage);
    let form = format!("crc={crc}&gzip=1&data_list={}", quote(&text));
    post(AGENT_ANDROID, form, events, json.len(), damage)
}

fn post(
    agent: &'static str,
    form: String,
    events: usize,
    json_bytes: usize,
    damage: Option<Damage>,
) -> Sample {
    let raw = format!(
        "POST /sa?project=default HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: {agent}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nConnection: Keep-Alive\r\n\
         Accept-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    Sample {
        raw: raw.into_bytes(),
        form: form.into_bytes(),
        get: false,
        agent,
        events,
        json_bytes,
        damage,
    }
}

fn gzip(plain: &[u8], damage: Option<Damage>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    // Writing to a `Vec` cannot fail.
    let _ = encoder.write_all(plain);
    let mut packed = encoder.finish().unwrap_or_default();
    if damage == Some(Damage::Gzip) {
        let from = packed.len() - 200;
        packed[from..].fill(0);
    }
    packed
}

/// Base64 text and its crc, as an SDK makes them, with the damage asked for.
fn pack(data: &[u8], damage: Option<Damage>) -> (String, i32) {
    let mut text = STANDARD.encode(data);
    let mut crc =
        text.bytes().fold(0u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)))
            as i32;
    match damage {
        Some(Damage::Base64) => text.replace_range(40..42, "!*"),
        Some(Damage::Cut) => text.truncate(text.len() / 2 / 4 * 4),
        Some(Damage::Crc) => crc ^= 1,
        Some(Damage::Gzip) | None => {}
    }
    (text, crc)
}

/// Percent-encodes all but the unreserved characters, as browsers' `encodeURIComponent` does to base64.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests;
