//! `journal/META`: who this journal is. Made once, never changed by the daemon.

use super::JournalError;
use crate::disk::{self, Disk};
use std::path::Path;

/// Identity of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Name from the configuration.
    pub name: String,
    /// Drawn when the journal was made: a lost or cloned data folder can never collide with its former self.
    pub epoch: u32,
    /// Zone of `dt=`/`hour=`, IANA name.
    pub timezone: String,
}

impl Meta {
    /// `<name>-<epoch, 8 hex>`.
    #[must_use]
    pub fn node(&self) -> String {
        format!("{}-{:08x}", self.name, self.epoch)
    }

    /// Reads META of the journal in `dir`; `None` if there is none yet.
    ///
    /// # Errors
    /// The disk's, or a META that is damaged (never taken for "none": that would start a second life in the same files).
    pub fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, JournalError> {
        let path = dir.join("META");
        let Some(bytes) = disk::read(disk, &path, 64 << 10)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        Self::parse(&text).map(Some).ok_or_else(|| JournalError::Foreign {
            path: path.display().to_string(),
            problem: "damaged; restore it from a backup, or move the whole data folder away and start a new one".to_owned(),
        })
    }

    /// Writes META durably.
    ///
    /// # Errors
    /// The disk's.
    pub fn save(&self, disk: &dyn Disk, dir: &Path) -> Result<(), JournalError> {
        Ok(disk::replace(disk, &dir.join("META"), self.text().as_bytes())?)
    }

    fn text(&self) -> String {
        let body = format!(
            "tusk journal 1\nname {}\nepoch {:08x}\ntimezone {}\n",
            self.name, self.epoch, self.timezone
        );
        format!("{body}crc {:08x}\n", crc32c::crc32c(body.as_bytes()))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        (lines.next()? == "tusk journal 1").then_some(())?;
        let meta = Self {
            name: lines.next()?.strip_prefix("name ")?.to_owned(),
            epoch: u32::from_str_radix(lines.next()?.strip_prefix("epoch ")?, 16).ok()?,
            timezone: lines.next()?.strip_prefix("timezone ")?.to_owned(),
        };
        (meta.text() == text).then_some(meta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_reads_back_and_damage_is_seen() {
        let meta = Meta { name: "web-1".into(), epoch: 0xab, timezone: "Asia/Shanghai".into() };
        assert_eq!(meta.node(), "web-1-000000ab");
        let text = meta.text();
        assert_eq!(Meta::parse(&text), Some(meta));
        assert_eq!(Meta::parse(&text.replace("web-1", "web-2")), None);
        assert_eq!(Meta::parse(&text[..text.len() - 2]), None);
    }
}
