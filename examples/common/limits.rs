//! [`Limit`]: what `--timeout` takes.

use std::str::FromStr;
use std::time::Duration;

use nexthop::Timeouts;

/// STAGE=SECONDS.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    pub(crate) stage: LimitedStage,
    pub(crate) time: Duration,
}

/// What `--timeout` can limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitedStage {
    Connect,
    Greeting,
    Command,
    Tls,
    DataStart,
    DataBlock,
    Final,
    Quit,
    Session,
    Dns,
    /// Named in the interface, without a use in what is built.
    Reserved,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (stage, seconds) = text.split_once('=').ok_or("no = between stage and seconds")?;
        let time = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let time = time.ok_or_else(|| format!("\"{}\" is no number of seconds", seconds.escape_debug()))?;
        Ok(Self { stage: stage.parse()?, time })
    }
}

impl FromStr for LimitedStage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "connect" => Self::Connect,
            "greeting" => Self::Greeting,
            "command" => Self::Command,
            "data-start" => Self::DataStart,
            "data-block" => Self::DataBlock,
            "final" => Self::Final,
            "quit" => Self::Quit,
            "session" => Self::Session,
            "dns" => Self::Dns,
            "tls" => Self::Tls,
            "sts" => Self::Reserved,
            other => return Err(format!("\"{}\" is no stage", other.escape_debug())),
        })
    }
}

impl Limit {
    pub(super) fn set(&self, timeouts: &mut Timeouts) {
        let time = self.time;
        match self.stage {
            LimitedStage::Connect => timeouts.connect = time,
            LimitedStage::Greeting => timeouts.greeting = time,
            LimitedStage::Command => {
                timeouts.hello = time;
                timeouts.mail = time;
                timeouts.recipient = time;
            }
            LimitedStage::Tls => timeouts.tls = time,
            LimitedStage::DataStart => timeouts.data_start = time,
            LimitedStage::DataBlock => timeouts.data_block = time,
            LimitedStage::Final => timeouts.final_reply = time,
            LimitedStage::Quit => timeouts.quit = time,
            LimitedStage::Session => timeouts.session = Some(time),
            LimitedStage::Dns | LimitedStage::Reserved => {}
        }
    }
}
