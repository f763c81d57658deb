//! The live view on terminals of 40 columns: what is drawn, what scrolls, and what is left of it.

use std::sync::{Arc, Mutex};

use indicatif::TermLike;

use super::super::samples::{Shared, failure, success};
use super::*;

/// A terminal of 40 columns that remembers what was drawn last and how wide it got.
#[derive(Debug, Clone, Default)]
struct Screen {
    drawn: Arc<Mutex<String>>,
    widest: Arc<Mutex<usize>>,
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        40
    }
    fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }
    fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }
    fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }
    fn write_line(&self, text: &str) -> std::io::Result<()> {
        self.write_str(text)?;
        self.write_str("\n")
    }
    fn write_str(&self, text: &str) -> std::io::Result<()> {
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        let mut seen = self.widest.lock().unwrap();
        *seen = widest.max(*seen);
        self.drawn.lock().unwrap().push_str(text);
        Ok(())
    }
    fn clear_line(&self) -> std::io::Result<()> {
        Ok(())
    }
    fn flush(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A terminal of 40 columns as it is: it has a cursor, and begins a new line only for what comes after the last column.
#[derive(Debug, Clone, Default)]
struct Cells(Arc<Mutex<Grid>>, Arc<Mutex<super::super::tty::Pen>>);

/// Rows, and the row and column of the cursor.
type Grid = (Vec<Vec<char>>, usize, usize);

impl Cells {
    const COLUMNS: usize = 40;

    fn put(&self, text: &str) {
        let (rows, row, column) = &mut *self.0.lock().unwrap();
        for letter in text.chars() {
            if letter == '\n' || *column == Self::COLUMNS {
                (*row, *column) = (*row + 1, 0);
            }
            if letter == '\n' {
                continue;
            }
            if letter == '\r' {
                *column = 0;
                continue;
            }
            rows.resize((*row + 1).max(rows.len()), vec![' '; Self::COLUMNS]);
            rows[*row][*column] = letter;
            *column += 1;
        }
    }

    fn lines(&self) -> Vec<String> {
        let rows = self.0.lock().unwrap().0.clone();
        let lines = rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    }
}

impl std::io::Write for Cells {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.put(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl TermLike for Cells {
    fn width(&self) -> u16 {
        super::super::tty::usable(40)
    }
    fn move_cursor_up(&self, lines: usize) -> std::io::Result<()> {
        let (_, row, _) = &mut *self.0.lock().unwrap();
        *row = row.saturating_sub(lines);
        Ok(())
    }
    fn move_cursor_down(&self, lines: usize) -> std::io::Result<()> {
        self.0.lock().unwrap().1 += lines;
        Ok(())
    }
    fn move_cursor_right(&self, columns: usize) -> std::io::Result<()> {
        self.0.lock().unwrap().2 += columns;
        Ok(())
    }
    fn move_cursor_left(&self, columns: usize) -> std::io::Result<()> {
        let (_, _, column) = &mut *self.0.lock().unwrap();
        *column = column.saturating_sub(columns);
        Ok(())
    }
    fn write_line(&self, text: &str) -> std::io::Result<()> {
        self.write_str(text)?;
        self.1.lock().unwrap().home();
        self.put("\n");
        Ok(())
    }
    fn write_str(&self, text: &str) -> std::io::Result<()> {
        if self.1.lock().unwrap().begins_below(text, self.width()) {
            self.put("\n");
        }
        self.put(text);
        Ok(())
    }
    fn clear_line(&self) -> std::io::Result<()> {
        self.1.lock().unwrap().home();
        let (rows, row, column) = &mut *self.0.lock().unwrap();
        if let Some(row) = rows.get_mut(*row) {
            row.fill(' ');
        }
        *column = 0;
        Ok(())
    }
    fn flush(&self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_step_and_the_line_that_is_still_written_stand_below_each_other() {
    let cells = Cells::default();
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(cells.clone()), 255);
    let mut terminal = Terminal::new(Out::new(Box::new(cells.clone())), target, Style::default());
    let step = crate::run::event::Step::Execute;
    terminal.event(&RunEvent::StepStarted { step, detail: "4 tasks".to_owned() });
    for text in ["half a line", &"x".repeat(100), "\rhälf 漢字"] {
        std::thread::sleep(Duration::from_millis(10));
        terminal.output(text.as_bytes());
        let lines = cells.lines();
        assert!(lines.len() == 2 && lines[1].contains("4 tasks"), "{lines:#?}");
    }
}

#[test]
fn the_echo_of_ctrl_c_leaves_nothing_of_the_view_behind() {
    let cells = Cells::default();
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(cells.clone()), 255);
    let mut terminal = Terminal::new(Out::new(Box::new(cells.clone())), target, Style::default());
    let step = crate::run::event::Step::Execute;
    terminal.event(&RunEvent::StepStarted { step, detail: "4 tasks".to_owned() });
    std::thread::sleep(Duration::from_millis(10));
    terminal.event(&RunEvent::StepProgress { step, text: "ploomber build".to_owned() });
    assert!(cells.lines().concat().contains("ploomber build"), "{:?}", cells.lines());
    cells.put("^C^C");
    let (outcome, elapsed) = (crate::run::event::Outcome::Cancelled, Duration::from_secs(3));
    terminal.event(&RunEvent::StepEnded { step, outcome, elapsed, detail: String::new() });
    terminal.finish();
    let lines = cells.lines();
    assert!(lines.len() == 1 && lines[0].starts_with("■ execute"), "{lines:?}");
}

fn terminal(style: Style) -> (Terminal, Shared, Screen) {
    let (sink, screen) = (Shared::default(), Screen::default());
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
    (Terminal::new(Out::new(Box::new(sink.clone())), target, style), sink, screen)
}

#[test]
fn a_progress_bar_lives_in_the_view_and_scrolls_up_once() {
    let (mut terminal, sink, screen) = terminal(Style::default());
    for percent in [10, 20, 30] {
        terminal.output(format!("\r{percent} %").as_bytes());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(sink.text(), "");
    assert!(screen.drawn.lock().unwrap().contains("20 %"), "{screen:?}");
    terminal.output(b"\ndone");
    assert_eq!(sink.text(), "30 %\n");
    terminal.finish();
    assert_eq!(sink.text(), "30 %\ndone\n");
}

#[test]
fn long_tails_do_not_wrap_the_view() {
    let (mut terminal, _sink, screen) = terminal(Style::default());
    terminal.output("x".repeat(500).as_bytes());
    terminal.output("漢".repeat(200).as_bytes());
    assert!(!screen.drawn.lock().unwrap().is_empty());
    assert!(*screen.widest.lock().unwrap() <= 40, "{screen:?}");
}

#[test]
fn a_warning_scrolls_up_at_once_and_the_line_that_is_being_written_stays() {
    let (mut terminal, sink, _screen) = terminal(Style::default());
    terminal.output(b"50 %");
    let step = crate::run::event::Step::Execute;
    terminal.event(&RunEvent::Warned { step, text: "nothing was printed".to_owned() });
    assert_eq!(sink.text(), "warning    nothing was printed\n");
    terminal.finish();
    assert_eq!(sink.text(), "warning    nothing was printed\n50 %\n");
}

#[test]
fn our_own_lines_break_between_words_where_the_terminal_is_narrow() {
    let (mut terminal, sink, _screen) = terminal(Style { color: true, width: 40, ..Style::default() });
    let step = crate::run::event::Step::Execute;
    let text = "nothing was printed for ten minutes, and nothing is ended".to_owned();
    terminal.event(&RunEvent::Warned { step, text });
    let (outcome, elapsed) = (crate::run::event::Outcome::Done, Duration::from_secs(3));
    let detail = "two tasks, of which one was taken over".to_owned();
    terminal.event(&RunEvent::StepEnded { step, outcome, elapsed, detail });
    terminal.finish();
    let warning = "\x1b[1mwarning   \x1b[0m nothing was printed for ten\n           minutes, and nothing is ended\n";
    let step = "\x1b[32m✓\x1b[0m execute        3.0 s  \x1b[2mtwo tasks, of\n  which one was taken over\x1b[0m\n";
    assert_eq!(sink.text(), warning.to_owned() + step);
}

#[test]
fn what_scrolls_tells_the_whole_run() {
    for (events, golden) in [(success(), "terminal_success"), (failure(), "terminal_failure")] {
        let (mut terminal, sink, _screen) = terminal(Style::default());
        for event in &events {
            terminal.event(event);
        }
        terminal.finish();
        insta::assert_snapshot!(golden, sink.text());
    }
}
