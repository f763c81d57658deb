//! Tables in CSV and TSV files, and what changed between two of them.
//!
//! Columns belong together by their name (the second of two that are called `a` is `a.1`, as in pandas), rows by the first
//! column where its values are unique on both sides and name something, else by their place: values of which no two are
//! the same name nothing, nor do numbers with a fraction where there are as many rows as before. Cells that are the same
//! number are the same, however it is written.

use std::collections::HashMap;

use csv::{ByteRecord, ReaderBuilder};
use serde::Serialize;

use super::number::{Move, Number};
use super::text::decode;

/// Tables with more rows are not compared.
const MOST_ROWS: usize = 200_000;
/// Nor those with more columns.
const MOST_COLUMNS: usize = 2_000;
/// Nor those with more cells.
const MOST_CELLS: usize = 4_000_000;
/// Changed cells that are kept; the others are counted.
const MOST_SAMPLES: usize = 50;
/// Added and removed rows whose keys are kept.
const MOST_KEYS: usize = 10;

/// What changed in a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TableChange {
    /// The column that tells rows apart; `None` where their place does.
    pub key: Option<String>,
    /// Rows before, without the header.
    pub rows_before: usize,
    /// Rows after.
    pub rows_after: usize,
    /// Rows that were not there before.
    pub rows_added: usize,
    /// Rows that are gone.
    pub rows_removed: usize,
    /// Rows in which a cell changed.
    pub rows_changed: usize,
    /// Keys of the first added rows.
    pub added_keys: Vec<String>,
    /// Keys of the first removed rows.
    pub removed_keys: Vec<String>,
    /// Columns that were not there before.
    pub columns_added: Vec<String>,
    /// Columns that are gone.
    pub columns_removed: Vec<String>,
    /// Whether columns that are on both sides stand in another order.
    pub columns_reordered: bool,
    /// Whether rows that are on both sides stand in another order; known only where there is a key.
    pub rows_reordered: bool,
    /// Columns of which a cell changed or whose mean moved, in their new order.
    pub columns: Vec<ColumnChange>,
    /// Cells that changed in all.
    pub cells_changed: usize,
    /// Those of them that moved by no more than rounding does.
    pub cells_rounded: usize,
    /// The first of them.
    pub cells: Vec<CellChange>,
    /// What is worth knowing about how the files are written.
    pub notes: Vec<String>,
}

/// One column that is not what it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnChange {
    /// Its name.
    pub name: String,
    /// Cells that changed, of rows that are on both sides.
    pub changed: usize,
    /// Mean before, over all rows; where every cell that is not empty is a number.
    pub mean_before: Option<f64>,
    /// Mean after.
    pub mean_after: Option<f64>,
    /// How far a number moved at most.
    pub largest: Option<f64>,
}

/// One cell that is not what it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellChange {
    /// The row's key, or its number from 1.
    pub row: String,
    /// The column.
    pub column: String,
    /// What it was.
    pub before: String,
    /// What it is.
    pub after: String,
    /// How far it moved, where both are numbers.
    #[serde(flatten)]
    pub moved: Option<Move>,
}

/// Cells in one piece: a record of its own for each row would keep room for the longest row of all.
#[derive(Debug, Default)]
struct Rows {
    text: Vec<u8>,
    /// Where each cell ends.
    ends: Vec<usize>,
    /// The first cell of each row.
    firsts: Vec<usize>,
}

impl Rows {
    fn push(&mut self, record: &ByteRecord) {
        self.firsts.push(self.ends.len());
        for cell in record {
            self.text.extend_from_slice(cell);
            self.ends.push(self.text.len());
        }
    }

    fn len(&self) -> usize {
        self.firsts.len()
    }

    fn cells(&self, row: usize) -> std::ops::Range<usize> {
        self.firsts[row]..self.firsts.get(row + 1).copied().unwrap_or(self.ends.len())
    }

    /// A cell; empty where the row has none there.
    fn cell(&self, row: usize, column: usize) -> &[u8] {
        let cells = self.cells(row);
        let at = cells.start + column;
        if at >= cells.end {
            return &[];
        }
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[from..self.ends[at]]
    }
}

/// A table in memory.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<String>,
    rows: Rows,
    delimiter: u8,
    latin1: bool,
    ragged: bool,
}

impl Table {
    /// Reads a table; `tabs` says that its name calls for them.
    ///
    /// # Errors
    /// Why it is not compared, in words.
    pub(super) fn parse(bytes: &[u8], tabs: bool) -> Result<Self, String> {
        let decoded = decode(bytes)?;
        let text = decoded.text.as_bytes();
        let delimiter = delimiter(text, tabs);
        let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).has_headers(false).from_reader(text);
        let (mut columns, mut rows, mut cells) = (None::<Vec<String>>, Rows::default(), 0);
        let mut record = ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(|error| error.to_string())? {
            cells += record.len();
            if rows.len() == MOST_ROWS {
                return Err(format!("too large: more than {MOST_ROWS} rows"));
            }
            if cells > MOST_CELLS || (columns.is_none() && cells > MOST_COLUMNS) {
                return Err("too large: too many cells".to_owned());
            }
            match columns {
                None => columns = Some(names(&record)),
                Some(_) => rows.push(&record),
            }
        }
        let columns = columns.ok_or_else(|| "it is empty".to_owned())?;
        let ragged = (0..rows.len()).any(|row| rows.cells(row).len() != columns.len());
        Ok(Self { columns, rows, delimiter, latin1: decoded.latin1, ragged })
    }

    fn cell(&self, row: usize, column: usize) -> &[u8] {
        self.rows.cell(row, column)
    }

    /// Rows by their first cell; `None` where two have the same one.
    fn keyed(&self) -> Option<HashMap<&[u8], usize>> {
        let mut places = HashMap::with_capacity(self.rows.len());
        let unique = (0..self.rows.len()).all(|row| places.insert(self.cell(row, 0), row).is_none());
        unique.then_some(places)
    }

    /// Whether first cells are numbers with a fraction: measured more often than given as names.
    fn is_measured(&self) -> bool {
        let number = |row| Number::parse(&text(self.cell(row, 0))).map(Number::value);
        (0..self.rows.len()).filter_map(number).any(|number| number.is_finite() && number.fract() != 0.0)
    }

    /// The mean of a column of numbers.
    fn mean(&self, column: usize) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0_u32);
        for row in 0..self.rows.len() {
            let cell = text(self.cell(row, column));
            if !cell.trim().is_empty() {
                sum += Number::parse(&cell)?.value();
                count += 1;
            }
        }
        (count > 0).then(|| sum / f64::from(count)).filter(|mean| mean.is_finite())
    }
}

fn text(cell: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(cell)
}

/// What stands between the cells: a tab or a semicolon where the header has those and no comma.
fn delimiter(text: &[u8], tabs: bool) -> u8 {
    let (mut quoted, mut seen) = (false, [false; 3]);
    for byte in text {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            b',' if !quoted => seen[0] = true,
            b'\t' if !quoted => seen[1] = true,
            b';' if !quoted => seen[2] = true,
            _ => {}
        }
    }
    match seen {
        _ if tabs => b'\t',
        [false, true, _] => b'\t',
        [false, false, true] => b';',
        _ => b',',
    }
}

/// Names of columns, each once.
fn names(header: &ByteRecord) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let name = |cell: &[u8]| {
        let name = text(cell).trim().to_owned();
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        if *count == 1 { name } else { format!("{name}.{}", *count - 1) }
    };
    header.iter().map(name).collect()
}

/// What changed from one table to the next.
pub(super) fn compare(before: &Table, after: &Table) -> TableChange {
    let old_places: HashMap<&str, usize> = before.columns.iter().map(String::as_str).zip(0..).collect();
    let new_names: std::collections::HashSet<&str> = after.columns.iter().map(String::as_str).collect();
    let shared: Vec<(usize, usize)> = (0..after.columns.len())
        .filter_map(|new| old_places.get(after.columns[new].as_str()).map(|old| (*old, new)))
        .collect();
    let lacks = |name: &&String| !old_places.contains_key(name.as_str());
    let mut change = TableChange {
        rows_before: before.rows.len(),
        rows_after: after.rows.len(),
        columns_added: after.columns.iter().filter(lacks).cloned().collect(),
        columns_removed: before.columns.iter().filter(|name| !new_names.contains(name.as_str())).cloned().collect(),
        columns_reordered: shared.windows(2).any(|pair| pair[0].0 > pair[1].0),
        notes: notes(before, after),
        ..TableChange::default()
    };
    let rows = change.pair_rows(before, after);
    change.compare_cells(before, after, &shared, &rows);
    change
}

fn notes(before: &Table, after: &Table) -> Vec<String> {
    let mut notes = Vec::new();
    if before.latin1 || after.latin1 {
        notes.push("not UTF-8: read as Latin-1".to_owned());
    }
    if before.delimiter != after.delimiter {
        notes.push("cells are separated by another character".to_owned());
    }
    if before.ragged || after.ragged {
        notes.push("some rows have more or fewer cells than the header".to_owned());
    }
    notes
}

impl TableChange {
    /// Rows that belong together, before and after, in their new order; counts the others.
    fn pair_rows(&mut self, before: &Table, after: &Table) -> Vec<(usize, usize)> {
        let same_key = before.columns.first().filter(|name| after.columns.first() == Some(name));
        let keyed = same_key.and_then(|name| Some((name, before.keyed()?, after.keyed()?)));
        let none = before.rows.len() == 0 || after.rows.len() == 0;
        let as_many = before.rows.len() == after.rows.len();
        let keyed = keyed.filter(|_| !(as_many && (before.is_measured() || after.is_measured())));
        let keyed = keyed.filter(|(_, old, new)| none || new.keys().any(|key| old.contains_key(key)));
        let Some((name, old_rows, new_rows)) = keyed else {
            let both = before.rows.len().min(after.rows.len());
            self.rows_added = after.rows.len() - both;
            self.rows_removed = before.rows.len() - both;
            return (0..both).map(|row| (row, row)).collect();
        };
        self.key = Some(name.clone());
        let mut pairs = Vec::new();
        for new in 0..after.rows.len() {
            let key = after.cell(new, 0);
            if let Some(old) = old_rows.get(key) {
                pairs.push((*old, new));
            } else {
                self.rows_added += 1;
                push_key(&mut self.added_keys, key);
            }
        }
        for key in (0..before.rows.len()).map(|row| before.cell(row, 0)).filter(|key| !new_rows.contains_key(key)) {
            self.rows_removed += 1;
            push_key(&mut self.removed_keys, key);
        }
        self.rows_reordered = pairs.windows(2).any(|pair| pair[0].0 > pair[1].0);
        pairs
    }

    fn compare_cells(&mut self, before: &Table, after: &Table, shared: &[(usize, usize)], rows: &[(usize, usize)]) {
        let mut columns = vec![(0_usize, None::<f64>); shared.len()];
        for (old_row, new_row) in rows {
            let mut changed = false;
            for ((old_column, new_column), column) in shared.iter().zip(&mut columns) {
                let (old, new) = (before.cell(*old_row, *old_column), after.cell(*new_row, *new_column));
                if old == new {
                    continue;
                }
                let (old, new) = (text(old), text(new));
                let numbers = Number::parse(&old).zip(Number::parse(&new));
                if numbers.is_some_and(|(a, b)| a.same(b)) {
                    continue;
                }
                let moved = numbers.map(|(a, b)| Move::between(a, b));
                if let Some(delta) = moved.and_then(|moved| moved.delta) {
                    column.1 = Some(column.1.map_or(delta.abs(), |largest| largest.max(delta.abs())));
                }
                column.0 += 1;
                changed = true;
                self.cells_changed += 1;
                self.cells_rounded += usize::from(moved.is_some_and(Move::is_rounding));
                if self.cells.len() < MOST_SAMPLES {
                    let row = if self.key.is_some() {
                        super::text::shown(&text(after.cell(*new_row, 0)), 80)
                    } else {
                        (new_row + 1).to_string()
                    };
                    let column = after.columns[*new_column].clone();
                    let cut = |cell: &str| super::text::shown(cell, 200);
                    self.cells.push(CellChange { row, column, before: cut(&old), after: cut(&new), moved });
                }
            }
            self.rows_changed += usize::from(changed);
        }
        for ((old, new), (changed, largest)) in shared.iter().zip(columns) {
            self.column(after.columns[*new].clone(), changed, largest, before.mean(*old), after.mean(*new));
        }
    }

    fn column(&mut self, name: String, changed: usize, largest: Option<f64>, old: Option<f64>, new: Option<f64>) {
        let (mean_before, mean_after) = old.zip(new).unzip();
        // A key's mean moves whenever a row comes or goes, and says nothing.
        let key = self.key.as_ref() == Some(&name);
        if changed > 0 || (mean_before != mean_after && !key) {
            self.columns.push(ColumnChange { name, changed, mean_before, mean_after, largest });
        }
    }
}

fn push_key(keys: &mut Vec<String>, key: &[u8]) {
    if keys.len() < MOST_KEYS {
        keys.push(super::text::shown(&text(key), 80));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: impl AsRef<[u8]>) -> Table {
        Table::parse(text.as_ref(), false).unwrap()
    }

    fn cells(change: &TableChange) -> Vec<String> {
        change.cells.iter().map(|c| format!("{}/{}: {} -> {}", c.row, c.column, c.before, c.after)).collect()
    }

    #[test]
    fn rows_belong_together_by_a_unique_first_column() {
        let change = compare(&read("id,n,t\na,1,x\nb,2,x\nc,3,x\n"), &read("id,t,n\nc,x,3.0\na,x,10\nd,x,4\n"));
        assert_eq!(change.key.as_deref(), Some("id"));
        assert_eq!((change.rows_added, change.rows_removed, change.rows_changed), (1, 1, 1));
        assert_eq!((change.added_keys, change.removed_keys), (vec!["d".to_owned()], vec!["b".to_owned()]));
        assert!(change.columns_reordered && change.rows_reordered);
        assert_eq!(cells(&change_of_same()), ["2/n: 1 -> 2"]);
        assert_eq!(change.columns.len(), 1);
        let column = &change.columns[0];
        assert_eq!((column.name.as_str(), column.changed, column.largest), ("n", 1, Some(9.0)));
        assert_eq!(column.mean_before.zip(column.mean_after), Some((2.0, 17.0 / 3.0)));
    }

    /// The first column has a value twice, so that rows belong together by their place.
    fn change_of_same() -> TableChange {
        compare(&read("k,n\na,1\na,1\n"), &read("k,n\na,1\na,2\n"))
    }

    #[test]
    fn numbers_written_otherwise_missing_ones_and_quotes_are_understood() {
        let change = compare(
            &read("k,v\n1,1.0\n2,NaN\n3,\"a,\"\"b\"\"\nc\"\n4,9007199254740993\n5,inf\n"),
            &read("k,v\n1,1\n2,nan\n3,\"a,\"\"b\"\"\nc\"\n4,9007199254740992\n5,\n"),
        );
        assert_eq!(cells(&change), ["4/v: 9007199254740993 -> 9007199254740992", "5/v: inf -> "]);
    }

    #[test]
    fn columns_come_and_go_and_may_share_a_name() {
        let change = compare(&read("id,a,a\n1,2,3\n"), &read("\u{feff}id,a,b\n1,2,4\n"));
        assert_eq!((change.columns_added, change.columns_removed), (vec!["b".to_owned()], vec!["a.1".to_owned()]));
        assert_eq!(change.cells_changed, 0);
    }

    #[test]
    fn other_separators_and_encodings_are_said() {
        let change = compare(&read("id;n\n1;2,5\n"), &read("id,n\n1,\"2,5\"\n"));
        assert_eq!((change.cells_changed, change.notes.len()), (0, 1));
        let change = compare(&read(b"id,n\ncaf\xe9,1\n"), &read("id,n\ncaf\u{e9},2,3\n"));
        assert_eq!(cells(&change), ["café/n: 1 -> 2"]);
        assert_eq!(change.notes.len(), 2, "{:?}", change.notes);
        assert_eq!(Table::parse(b"a\tb\n", true).unwrap().columns, ["a", "b"]);
        assert_eq!(read("\"a;\nb\",c\n").columns, ["a;\nb", "c"]);
    }

    #[test]
    fn hostile_tables_are_refused_in_bounded_memory() {
        let refused = |text: &str| Table::parse(text.as_bytes(), false).unwrap_err();
        assert!(refused(&"a\n".repeat(MOST_ROWS + 2)).contains("rows"));
        assert_eq!(read("a\n".repeat(MOST_ROWS + 1)).rows.len(), MOST_ROWS);
        assert!(refused(&",".repeat(MOST_COLUMNS + 2)).contains("cells"));
        assert!(refused(&format!("a\n{}", ",".repeat(MOST_CELLS + 1))).contains("cells"));
        assert!(refused("").contains("empty"));
        assert!(refused("a\0b").contains("not text"));
    }

    #[test]
    fn a_long_row_takes_no_room_in_the_others() {
        let long = "x".repeat(1 << 20);
        let table = read(format!("a,b\n{long},1\n{}", "y,2\n".repeat(10_000)));
        assert_eq!((table.cell(0, 0).len(), table.cell(9, 0), table.cell(10_000, 1)), (1 << 20, &b"y"[..], &b"2"[..]));
        let room = table.rows.text.capacity() + 8 * (table.rows.ends.capacity() + table.rows.firsts.capacity());
        assert!(room < 4 << 20, "{room} bytes");
        assert_eq!(read("a,b\n1\n1,2,3\n").cell(0, 1), b"");
    }

    #[test]
    fn what_was_measured_names_no_row_and_neither_does_what_is_nowhere_the_same() {
        let change = compare(&read("pred,id\n0.25,1\n0.5,2\n"), &read("pred,id\n0.25,1\n0.75,2\n"));
        assert_eq!(
            (change.key.clone(), change.rows_added, cells(&change)),
            (None, 0, vec!["2/pred: 0.5 -> 0.75".into()])
        );
        let change = compare(&read("t,v\n0.1,1\n0.2,2\n"), &read("t,v\n0.1,1\n0.15,9\n0.2,2\n"));
        assert_eq!((change.key.as_deref(), change.rows_added, change.cells_changed), (Some("t"), 1, 0));
        let change = compare(&read("count\n10\n20\n"), &read("count\n11\n21\n"));
        assert_eq!((change.key.clone(), change.cells_changed, change.rows_added), (None, 2, 0));
        let change = compare(&read("id,n\n"), &read("id,n\na,1\n"));
        assert_eq!(
            (change.key.as_deref(), change.rows_added, &change.added_keys[..]),
            (Some("id"), 1, &["a".to_owned()][..])
        );
        let change = compare(&read(",n\n0,1\n1,2\n"), &read(",n\n1,2\n2,3\n"));
        assert_eq!((change.key.as_deref(), change.rows_added, change.rows_removed), (Some(""), 1, 1));
    }

    #[test]
    fn cells_that_moved_by_rounding_are_counted_apart() {
        let change = compare(&read("k,v\na,0.3\nb,1\nc,x\n"), &read("k,v\na,0.30000000000000004\nb,2\nc,y\n"));
        assert_eq!((change.cells_changed, change.cells_rounded), (3, 1));
    }
}
