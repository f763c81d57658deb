//! What a terminal shows of the bytes that it was sent: as much of one as the program makes use of.

/// All rows that were ever on it, and the cursor.
#[derive(Debug)]
pub(crate) struct Screen {
    columns: usize,
    rows: Vec<Vec<char>>,
    /// The last row that is on the screen; what lies further above than its height is out of reach.
    bottom: usize,
    height: usize,
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) cursor_is_shown: bool,
    /// Lines that went past the last column, each as far as that.
    pub(crate) wrapped: Vec<String>,
    /// What it was asked to do that this is no terminal for.
    pub(crate) unknown: Vec<String>,
}

impl Screen {
    /// After these bytes.
    pub(crate) fn after(text: &str, columns: usize, height: usize) -> Self {
        let mut screen = Self {
            columns,
            rows: Vec::new(),
            bottom: height - 1,
            height,
            row: 0,
            column: 0,
            cursor_is_shown: true,
            wrapped: Vec::new(),
            unknown: Vec::new(),
        };
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\x1b' => screen.escape(&mut letters),
                '\n' => screen.down(),
                '\r' => screen.column = 0,
                '\x08' => screen.column = screen.column.saturating_sub(1),
                '\t' => screen.column = (screen.column / 8 * 8 + 8).min(columns - 1),
                letter if letter.is_control() => screen.unknown.push(format!("{letter:?}")),
                letter => screen.put(letter),
            }
        }
        screen
    }

    fn escape(&mut self, letters: &mut std::str::Chars<'_>) {
        if letters.next() != Some('[') {
            self.unknown.push("an escape that is no control sequence".to_owned());
            return;
        }
        let mut given = String::new();
        let last = loop {
            match letters.next() {
                Some(letter @ '\x40'..='\x7e') => break letter,
                Some(letter) => given.push(letter),
                None => return,
            }
        };
        let count = given.parse::<usize>().unwrap_or(1).max(1);
        match (last, given.as_str()) {
            ('m', _) => {}
            ('A', _) => self.row = self.row.saturating_sub(count).max(self.bottom + 1 - self.height),
            ('B', _) => self.row = (self.row + count).min(self.bottom),
            ('C', _) => self.column = (self.column + count).min(self.columns - 1),
            ('D', _) => self.column = self.column.saturating_sub(count),
            ('K', "2") => self.line().fill(' '),
            ('K', "" | "0") => {
                let from = self.column.min(self.columns);
                self.line()[from..].fill(' ');
            }
            ('l', "?25") => self.cursor_is_shown = false,
            ('h', "?25") => self.cursor_is_shown = true,
            _ => self.unknown.push(format!("CSI {given}{last}")),
        }
    }

    /// The cursor's row.
    fn line(&mut self) -> &mut Vec<char> {
        let rows = (self.row + 1).max(self.rows.len());
        self.rows.resize(rows, vec![' '; self.columns]);
        &mut self.rows[self.row]
    }

    fn down(&mut self) {
        self.row += 1;
        self.bottom = self.bottom.max(self.row);
    }

    fn put(&mut self, letter: char) {
        // A new line begins for what comes after the last column, not with it.
        if self.column == self.columns {
            let line: String = self.line().iter().collect();
            self.wrapped.push(line);
            self.down();
            self.column = 0;
        }
        let column = self.column;
        self.line()[column] = letter;
        self.column += 1;
    }

    /// Lines from the first to the last that has something, without blanks at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    /// All lines as one text.
    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The last line that has something.
    pub(crate) fn last(&self) -> String {
        self.lines().pop().unwrap_or_default()
    }
}
