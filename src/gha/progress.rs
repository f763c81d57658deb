//! What a run has told so far, as far as a pull request is to know it. Data only; all text in it was masked.

use crate::comment::{Report, Status};
use crate::run::event::RunEvent;

/// How it is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Running,
    /// The outputs are where they belong.
    Succeeded,
    /// The user's files or pipeline did not work.
    Failed,
    /// Something around them did not.
    Broken,
    /// Somebody stopped it.
    Cancelled,
}

impl State {
    /// The state that an exit code stands for.
    pub fn of_exit(code: u8) -> Self {
        match code {
            0 => Self::Succeeded,
            3 | 4 | 6 | 8 | 9 => Self::Failed,
            130 => Self::Cancelled,
            _ => Self::Broken,
        }
    }

    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed | Self::Broken => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// How it is going.
    pub state: State,
    /// Everything else.
    pub report: Report,
}

/// Listens to a run and keeps what is to be told.
#[derive(Debug, Clone)]
pub struct Progress {
    told: Told,
}

impl Progress {
    /// Nothing happened yet.
    pub fn new(report: Report) -> Self {
        Self { told: Told { state: State::Running, report } }
    }

    /// What is known.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// What is known, to add to it what no event tells: a comparison, links.
    pub fn report(&mut self) -> &mut Report {
        &mut self.told.report
    }

    /// Takes an event; `true` where there is something new to tell. That it ended is told by [`Self::end`], when all else
    /// is known.
    pub fn take(&mut self, event: &RunEvent) -> bool {
        self.told.report.take(event);
        match event {
            RunEvent::Output { .. } | RunEvent::StepProgress { .. } => false,
            RunEvent::Ended { .. } => {
                self.told.report.status = Status::Running;
                false
            }
            _ => true,
        }
    }

    /// The run is over, or could not even begin, for the reason `why`.
    pub fn end(&mut self, state: State, why: Option<&str>) {
        self.told.state = state;
        self.told.report.status = match state {
            State::Running => Status::Running,
            State::Succeeded => Status::Succeeded,
            State::Failed | State::Broken => Status::Failed,
            State::Cancelled => Status::Cancelled,
        };
        if let Some(why) = why {
            why.clone_into(&mut self.told.report.summary);
        }
    }
}
