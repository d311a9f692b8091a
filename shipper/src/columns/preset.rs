//! The list of preset properties: what every Sensors SDK sends under a name of its own gets a typed column of its own.

/// What a preset column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text with few different values: a dictionary pays.
    Word,
    /// Text of any kind.
    Text,
    /// A whole number that fits 32 bits.
    Int,
    /// A number.
    Float,
    /// 0 or 1.
    Bool,
}

/// One line per preset: column, type, property, and a further name it is sent under.
macro_rules! presets {
    ($($variant:ident $column:literal $kind:ident $property:literal $($alias:literal)?;)+) => {
        /// A preset property of events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Preset {
            $(
                #[doc = concat!("`", $property, "`")]
                $variant,
            )+
        }

        impl Preset {
            /// All of them, in the order of the columns.
            pub const ALL: &'static [Preset] = &[$(Preset::$variant),+];

            /// Name of its column.
            #[must_use]
            pub const fn column(self) -> &'static str {
                match self { $(Preset::$variant => $column),+ }
            }

            /// What its column holds.
            #[must_use]
            pub const fn kind(self) -> Type {
                match self { $(Preset::$variant => Type::$kind),+ }
            }

            /// Name of the property in the JSON.
            #[must_use]
            pub const fn property(self) -> &'static str {
                match self { $(Preset::$variant => $property),+ }
            }
        }

        /// Every name a preset is sent under.
        pub(super) const NAMES: &[(&str, Preset)] =
            &[$(($property, Preset::$variant), $(($alias, Preset::$variant),)?)+];
    };
}

presets! {
    Lib "lib" Word "$lib";
    LibVersion "lib_version" Word "$lib_version";
    LibMethod "lib_method" Word "$lib_method";
    AppId "app_id" Word "$app_id";
    AppName "app_name" Word "$app_name";
    AppVersion "app_version" Word "$app_version";
    Os "os" Word "$os";
    OsVersion "os_version" Word "$os_version";
    Manufacturer "manufacturer" Word "$manufacturer";
    Brand "brand" Word "$brand";
    Model "model" Word "$model";
    DeviceId "device_id" Text "$device_id";
    ScreenWidth "screen_width" Int "$screen_width";
    ScreenHeight "screen_height" Int "$screen_height";
    ScreenOrientation "screen_orientation" Word "$screen_orientation";
    ViewportWidth "viewport_width" Int "$viewport_width";
    ViewportHeight "viewport_height" Int "$viewport_height";
    Browser "browser" Word "$browser";
    BrowserVersion "browser_version" Word "$browser_version";
    BrowserLanguage "browser_language" Word "$browser_language";
    UserAgent "user_agent" Text "$user_agent";
    IsBot "is_bot" Bool "$is_bot";
    NetworkType "network_type" Word "$network_type";
    Carrier "carrier" Word "$carrier";
    Wifi "wifi" Bool "$wifi";
    TimezoneOffset "timezone_offset" Int "$timezone_offset";
    IsFirstDay "is_first_day" Bool "$is_first_day";
    IsFirstTime "is_first_time" Bool "$is_first_time";
    Ip "ip" Text "$ip";
    Country "country" Word "$country";
    Province "province" Word "$province";
    City "city" Word "$city";
    Url "url" Text "$url";
    UrlHost "url_host" Word "$url_host";
    UrlPath "url_path" Word "$url_path";
    UrlQuery "url_query" Text "$url_query";
    Title "title" Word "$title";
    ScreenName "screen_name" Word "$screen_name";
    Referrer "referrer" Text "$referrer";
    ReferrerHost "referrer_host" Word "$referrer_host";
    UtmSource "utm_source" Word "$utm_source";
    UtmMedium "utm_medium" Word "$utm_medium";
    UtmCampaign "utm_campaign" Word "$utm_campaign";
    UtmContent "utm_content" Word "$utm_content";
    UtmTerm "utm_term" Word "$utm_term";
    TrafficSource "traffic_source" Word "$latest_traffic_source_type";
    Scene "scene" Word "$scene";
    ElementId "element_id" Word "$element_id";
    ElementType "element_type" Word "$element_type";
    ElementContent "element_content" Word "$element_content";
    SessionId "session_id" Text "$event_session_id";
    // Application SDKs leave the `$` out.
    EventDuration "event_duration" Float "event_duration" "$event_duration";
}
