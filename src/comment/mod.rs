//! A run as Markdown: the comment under a pull request, a check's text, a workflow's job summary.
//!
//! Pure: a [`Report`] in, text out; events of the run are put into the report as it goes on ([`Report::take`]). Whatever
//! comes from users (names of files and tasks, messages, output) is shown and never obeyed: no Markdown, HTML, mention or
//! number of an issue of theirs has an effect ([`escape`]). Of what is *in* files only numbers and the names of columns and
//! metrics are shown, no text and no cell: whoever reads the pull request may not be meant to read the data.
//!
//! # When it is too long
//! GitHub refuses comments over 65,536 characters. A [`Limit`] counts bytes, of which a text has at least as many as
//! characters or UTF-16 units. Until it fits, the text gives up, in this order: pictures (then most of them, then names, then a number
//! instead), the names of identical files, rows of tables (`and 12 more`), lines of the log, and last the length of single
//! names and sentences. The marker, how the run ended and the links always stay.

pub mod escape;
mod files;
mod render;
mod report;
mod view;

pub use render::{Limit, render};
pub use report::{Finding, Link, Marker, Preview, Report, Status, StepRow, TaskRow};
