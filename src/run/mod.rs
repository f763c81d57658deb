//! One run from request to result: drives the line, tells what happens, cancels, cleans up.
//!
//! Nothing is printed here; `report` listens to [`event::RunEvent`]s.

pub mod again;
mod ahead;
mod blame;
pub mod cancel;
pub mod card;
mod carry;
mod container;
pub mod decide;
mod declare;
pub mod deliver;
pub mod ending;
pub mod event;
pub mod execute;
pub mod figures;
pub mod findings;
pub mod finish;
mod frozen;
mod given_away;
mod grid;
mod guess;
pub mod host;
mod hosted;
mod installed;
pub mod layers;
mod laying;
pub mod pipeline;
pub mod prepare;
mod rate;
mod reproduce;
pub mod request;
pub mod runner;
pub mod stop;
pub mod takeover;
pub mod telling;
mod unimported;

pub use finish::Finished;
pub use host::Host;
pub use runner::run;
