//! Browser and system of a user agent, by woothee's rules.

use super::Filled;
use woothee::parser::Parser;

/// Which rules filled: stored with what they gave.
pub(super) const VERSION: &str = "woothee-0.13.0";

/// What woothee writes where it does not know.
const UNKNOWN: &str = "UNKNOWN";

/// `columns`: browser and system; `bot`: whether it is one.
pub(super) fn parse(user_agent: &[u8], columns: bool, bot: bool) -> Filled {
    let mut filled = Filled::default();
    let text = String::from_utf8_lossy(user_agent);
    let Some(agent) = Parser::new().parse(&text) else { return filled };
    let known = |text: &str| if text == UNKNOWN { String::new() } else { text.to_owned() };
    if columns {
        filled.text("browser", "$browser", &known(agent.name));
        filled.text("browser_version", "$browser_version", &known(agent.version));
        filled.text("os", "$os", &known(agent.os));
        filled.text("os_version", "$os_version", &known(&agent.os_version));
    }
    if bot {
        let is: &[u8] = if agent.category == "crawler" { b"true" } else { b"false" };
        filled.json("is_bot", "$is_bot", is.to_vec());
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(user_agent: &str) -> String {
        String::from_utf8(parse(user_agent.as_bytes(), true, true).server).unwrap()
    }

    #[test]
    fn a_browser_and_its_system_are_named() {
        let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
        assert_eq!(
            server(chrome),
            r#""browser":"Chrome","browser_version":"120.0.0.0","os":"Windows 10","os_version":"NT 10.0","is_bot":false"#
        );
    }

    #[test]
    fn a_bot_is_marked() {
        let bot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        assert!(server(bot).ends_with(r#""is_bot":true"#), "{}", server(bot));
    }

    #[test]
    fn each_kind_has_its_switch() {
        let bot = b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        assert_eq!(parse(bot, false, true).server, br#""is_bot":true"#);
        let columns = String::from_utf8(parse(bot, true, false).server).unwrap();
        assert!(columns.contains("browser") && !columns.contains("is_bot"), "{columns}");
    }

    #[test]
    fn what_is_unknown_gives_nothing() {
        assert_eq!(parse(b"\xff\xfe no browser", true, true), Filled::default());
    }
}
