//! Sinks: where events go. A sink delivers closed ranges and says what the target will never take; it does not choose, retry or
//! count. A new sink = one file in this folder + one word in the list below.

use serde::{Deserialize, Serialize};

/// The list: each word is a module with `pub struct Config`, a table `[sink.<word>]` and a metric label.
macro_rules! sinks {
    ($($name:ident),+ $(,)?) => {
        $(pub mod $name;)+

        /// `[sink.<name>]` tables of `tusk.toml`.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct SinksConfig {
            $(
                #[doc = concat!("`[sink.", stringify!($name), "]`")]
                pub $name: $name::Config,
            )+
        }
    };
}

sinks! { file }
