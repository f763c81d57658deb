//! Tables on stdout: aligned, and no wider than the terminal.
//!
//! Where nobody looks (a file, a pipe) nothing is left out.

use crate::id::is_unsightly;

/// A column that is narrower says nothing any more.
const NARROWEST: usize = 6;

/// Rows under each other, the first of them the heads. Where they are wider than `columns`, the columns in `give_way`
/// are shortened, the first of them first; one that would get too narrow is left out.
pub(super) fn table<const N: usize>(rows: &[[String; N]], columns: Option<usize>, give_way: &[usize]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let mut widths: [usize; N] = std::array::from_fn(width);
    for column in give_way {
        let used = widths.iter().filter(|width| **width > 0).map(|width| width + 2).sum::<usize>().saturating_sub(2);
        let excess = columns.map_or(0, |columns| used.saturating_sub(columns));
        let left = widths[*column].saturating_sub(excess);
        widths[*column] = if excess > 0 && left < NARROWEST { 0 } else { left };
    }
    let mut text = String::new();
    for row in rows {
        let kept = row.iter().zip(widths).filter(|(_, width)| *width > 0);
        let cells = kept.map(|(cell, width)| format!("{:<width$}", shortened(cell, width)));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// A name, whole and in one line: what would break it, or be more than text to a terminal, is shown as an escape.
pub(super) fn in_one_line(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    for c in name.chars() {
        if is_unsightly(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

fn shortened(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    cell.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_newline_stays_whole_in_one_line() {
        assert_eq!(in_one_line("my\nrepo \x1b[2Jé"), "my\\nrepo \\u{1b}[2Jé");
    }

    #[test]
    fn what_matters_least_is_shortened_first_and_left_out_where_nothing_would_remain_of_it() {
        let rows = [
            ["RUN", "COMMIT", "PROJECT"].map(str::to_owned),
            ["20261121-093000", "4f1c2d9a4f", "penguins-of-palmer"].map(str::to_owned),
        ];
        let with = |columns| table(&rows, columns, &[1, 2]);
        let wide = "RUN              COMMIT      PROJECT\n20261121-093000  4f1c2d9a4f  penguins-of-palmer\n";
        assert_eq!(with(None), wide);
        assert_eq!(with(Some(47)), wide);
        assert_eq!(with(Some(43)), "RUN              COMMIT  PROJECT\n20261121-093000  4f1c2…  penguins-of-palmer\n");
        assert_eq!(with(Some(30)), "RUN              PROJECT\n20261121-093000  penguins-of-…\n");
        assert_eq!(with(Some(10)), "RUN\n20261121-093000\n");
    }
}
