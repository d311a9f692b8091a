//! The document `alerts`: rules and robots, edited in the page.

use hyper::Uri;
use serde::{Deserialize, Serialize};

use super::message::Kind;
use super::rules::Rules;
use crate::error::Problem;
use crate::random;

/// Name of the document.
pub(super) const DOCUMENT: &str = "alerts";
/// Robots at most.
const ROBOTS_MAX: usize = 20;
/// Longest address or secret, bytes.
const TEXT_BYTES_MAX: usize = 1_000;

/// Who is told.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Robot {
    /// Ours; made when it is saved for the first time.
    pub id: String,
    /// Name on the page.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its address; for most kinds a secret.
    pub url: String,
    /// What messages are signed with; empty = they are not.
    pub secret: String,
    /// Whether it is told anything.
    pub on: bool,
}

impl std::fmt::Debug for Robot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Robot").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Alerts {
    /// What is watched.
    pub rules: Rules,
    /// Who is told.
    pub robots: Vec<Robot>,
    /// Language of chat messages, `zh` or `en`.
    pub lang: String,
    /// A trouble is over when it was not seen for so long, seconds.
    pub quiet_s: u32,
    /// A robot gets at most one message in so many seconds; what happens in between is told together.
    pub pause_s: u32,
    /// What is still wrong is told again after so many hours; 0 = never.
    pub repeat_hours: u32,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            robots: Vec::new(),
            lang: "zh".to_owned(),
            quiet_s: 120,
            // The vendors cut a robot off after 20 messages a minute.
            pause_s: 30,
            repeat_hours: 0,
        }
    }
}

impl Alerts {
    /// Takes what a page sent: a robot whose address or secret is left empty keeps what it had.
    ///
    /// # Errors
    /// 400 that says what to write.
    pub(super) fn take(&mut self, mut new: Self) -> Result<(), Problem> {
        new.rules.check()?;
        let bad = |zh: &str, en: &str| Err(Problem::bad("alerts.setting", zh, en));
        if new.robots.len() > ROBOTS_MAX {
            return bad("最多 20 个机器人", "at most 20 robots");
        }
        if !matches!(new.lang.as_str(), "zh" | "en") {
            return bad("消息语言应为 zh 或 en", "the language must be `zh` or `en`");
        }
        if new.quiet_s > 86_400 || !(1..=86_400).contains(&new.pause_s) || new.repeat_hours > 720 {
            return bad(
                "恢复等待最长 86400 秒，消息间隔 1–86400 秒，重复提醒最长 720 小时",
                "quiet time at most 86,400 s, pause 1 to 86,400 s, repeat at most 720 h",
            );
        }
        for robot in &mut new.robots {
            let old = self.robots.iter().find(|old| !old.id.is_empty() && old.id == robot.id);
            match old {
                Some(old) => {
                    // An address shown masked comes back empty. A secret stays with its address: a new one must bring its own.
                    if robot.url.is_empty() {
                        robot.url.clone_from(&old.url);
                        if robot.secret.is_empty() {
                            robot.secret.clone_from(&old.secret);
                        }
                    }
                }
                None => {
                    let id = random::token().map_err(|error| Problem::daemon(&error))?;
                    robot.id = id.chars().take(16).collect();
                }
            }
            robot.check()?;
        }
        *self = new;
        Ok(())
    }
}

impl Robot {
    fn check(&self) -> Result<(), Problem> {
        let uri = self.url.parse::<Uri>().ok();
        let good = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|h| !h.is_empty())
        });
        let long = self.url.len().max(self.secret.len()).max(self.name.len()) > TEXT_BYTES_MAX;
        if !good || long {
            return Err(Problem::bad(
                "alerts.url",
                format!("机器人“{}”的地址应是 http:// 或 https:// 开头的 Webhook 地址", self.name),
                format!("robot `{}`: its address must be a webhook URL with http:// or https://", self.name),
            ));
        }
        Ok(())
    }

    /// Its address as it may be shown: host, and the last four letters.
    #[must_use]
    pub(super) fn shown(&self) -> String {
        let uri = self.url.parse::<Uri>().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        let tail: Vec<char> = self.url.chars().rev().take(4).collect();
        format!("{host}/…{}", tail.into_iter().rev().collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn robot(id: &str, url: &str, secret: &str) -> Robot {
        Robot { id: id.into(), url: url.into(), secret: secret.into(), on: true, ..Robot::default() }
    }

    #[test]
    fn secrets_stay_with_their_address() {
        let mut alerts = Alerts::default();
        let with = |robot: Robot| Alerts { robots: vec![robot], ..Alerts::default() };
        alerts.take(with(robot("", "https://a.example/k=1234", "s"))).unwrap();
        let id = alerts.robots[0].id.clone();
        assert_eq!(id.len(), 16);
        assert_eq!(alerts.robots[0].shown(), "a.example/…1234");
        alerts.take(with(robot(&id, "", ""))).unwrap();
        assert_eq!(alerts.robots[0].url, "https://a.example/k=1234");
        assert_eq!(alerts.robots[0].secret, "s");
        alerts.take(with(robot(&id, "https://evil.example/", ""))).unwrap();
        assert_eq!(alerts.robots[0].secret, "", "not sent to a new address");
        for url in ["", "ftp://a/", "file:///etc/passwd", "a.example", "http://"] {
            assert!(alerts.take(with(robot("", url, ""))).is_err(), "{url}");
        }
        let text = format!("{:?}", robot("x", "https://secret", "word"));
        assert!(!text.contains("secret") && !text.contains("word"), "{text}");
    }
}
