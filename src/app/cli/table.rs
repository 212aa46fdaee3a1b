//! Tables for people: columns that keep their places, whatever stands in them.

/// No last column is wider.
const WIDEST_LAST: usize = 100;

/// The widths of `N` columns, taken from the rows that are known when it is made.
pub struct Table<const N: usize> {
    titles: [&'static str; N],
    widths: [usize; N],
    widest: usize,
}

impl<const N: usize> Table<N> {
    /// No column but the last is wider than `widest` characters.
    pub fn fit(titles: [&'static str; N], widest: usize, rows: &[[String; N]]) -> Self {
        let mut widths = titles.map(str::len);
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count()).min(widest);
            }
        }
        Self { titles, widths, widest }
    }

    pub fn title(&self) -> String {
        self.cells(&self.titles)
    }

    pub fn line(&self, row: &[String; N]) -> String {
        self.cells(&row.each_ref().map(String::as_str))
    }

    /// The title, and a line for each row.
    pub fn lines(&self, rows: &[[String; N]]) -> impl Iterator<Item = String> {
        std::iter::once(self.title()).chain(rows.iter().map(|row| self.line(row)))
    }

    fn cells(&self, row: &[&str; N]) -> String {
        let Some((last, columns)) = row.split_last() else { return String::new() };
        let columns = columns.iter().zip(self.widths);
        let columns = columns.map(|(cell, width)| format!("{:<width$}  ", cut(cell, self.widest)));
        columns.collect::<String>() + &cut(last, WIDEST_LAST)
    }
}

/// What may be absent.
pub fn or_dash<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// In its largest unit.
pub fn age(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// On one line and not too long, whatever a provider may have written.
pub fn cut(text: &str, widest: usize) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().count() <= widest { plain.collect() } else { plain.take(widest - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let check = |seconds: i64, expected: &str| assert_eq!(age(seconds), expected);
        check(-5, "0s");
        check(59, "59s");
        check(60, "1m");
        check(7_199, "1h");
        check(86_400 * 40, "40d");
    }

    #[test]
    fn a_table_keeps_its_columns_whatever_stands_in_them() {
        let row = |room: &str, error: &str| ["j", room, error].map(str::to_owned);
        let rows = [row("ä", "a\nb\u{1b}[2J"), row(&"r".repeat(99), &"e".repeat(999))];
        let lines: Vec<String> = Table::fit(["JOB", "ROOM", "ERROR"], 40, &rows).lines(&rows).collect();
        let column = |line: &str, word: &str| line.split(word).next().expect("before it").chars().count();
        assert_eq!(column(&lines[0], "ERROR"), 3 + 2 + 40 + 2);
        assert_eq!(column(&lines[0], "ERROR"), column(&lines[1], "a b"));
        assert_eq!(column(&lines[0], "ERROR"), column(&lines[2], "eee"));
        assert!(lines[1].ends_with("a b [2J"), "{}", lines[1]);
        assert!(lines[2].ends_with("ee…") && lines[2].chars().count() < 150, "{}", lines[2]);
    }

    #[test]
    fn a_column_is_as_wide_as_its_characters() {
        let rows = [["房房房".to_owned(), "why".to_owned()]];
        let table = Table::fit(["ID", "ERROR"], 40, &rows);
        assert_eq!((table.title().as_str(), table.line(&rows[0]).as_str()), ("ID   ERROR", "房房房  why"));
    }

    #[test]
    fn a_row_that_was_not_known_in_time_is_cut_no_shorter() {
        let table = Table::fit(["JOB", "ERROR"], 40, &[]);
        assert_eq!(table.line(&["long-job".into(), "why".into()]), "long-job  why");
    }
}
