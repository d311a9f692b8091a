//! An import that stores nothing: what would become of each line.

use super::blocks::lines;
use super::mark::{Line, Mark};
use super::{Judge, Lines, Options, Report, Tally};
use event::Config;

/// Checks lines and counts.
#[derive(Debug)]
pub struct Trial {
    config: Config,
    options: Options,
    judge: Option<Judge>,
    tally: Tally,
    report: Report,
}

impl Trial {
    /// `config` is what the daemon would decide with.
    #[must_use]
    pub fn new(config: Config, options: Options) -> Self {
        let (tally, report) = (Tally::default(), Report::default());
        Self { config, options, judge: None, tally, report }
    }

    /// Checks a block; `now_ns` is the time of arrival of lines that tell none.
    ///
    /// # Errors
    /// A sentence: an option or a format that cannot be.
    pub fn block(&mut self, block: &[u8], now_ns: u64) -> Result<(), String> {
        if self.judge.is_none() {
            let Options { format, log_format, .. } = &self.options;
            match Lines::choose(*format, log_format.as_deref(), block)? {
                Some(lines) => {
                    self.judge = Some(Judge::new(self.config.clone(), &self.options, lines)?);
                }
                None => {
                    self.report.lines += lines(block).count() as u64;
                    return Ok(());
                }
            }
        }
        let Some(judge) = &mut self.judge else { return Ok(()) };
        for (text, _) in lines(block) {
            self.report.lines += 1;
            let place = format!("{}:{}", self.options.name, self.report.lines);
            let line = Line { mark: Mark::default(), logged_ns: 0, place: place.as_bytes() };
            judge.line(text, line, now_ns, &mut self.tally);
        }
        Ok(())
    }

    /// What was found.
    #[must_use]
    pub fn report(mut self) -> Report {
        self.report.take(&self.tally);
        if let Some(judge) = &self.judge {
            judge.lines().name().clone_into(&mut self.report.format);
        }
        self.report
    }
}
