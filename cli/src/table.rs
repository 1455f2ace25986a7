//! Tables: capital headers, two spaces between columns, no rules and no boxes. For a person the widest column of free
//! text is shortened to fit; for everybody else nothing is.

use super::output::Terminal;
use clap::builder::styling::Style;
use std::io;

const GAP: usize = 2;
/// No column is made narrower than this.
const NARROWEST: usize = 8;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A column: what stands above it and how.
#[derive(Clone, Debug)]
pub(super) struct Column {
    title: String,
    align: Align,
    shrinks: bool,
}

impl Column {
    pub(super) fn text(title: &str) -> Self {
        Self { title: title.to_uppercase(), align: Align::Left, shrinks: false }
    }

    /// Of texts that may be shortened.
    pub(super) fn prose(title: &str) -> Self {
        Self { shrinks: true, ..Self::text(title) }
    }

    pub(super) fn number(title: &str) -> Self {
        Self { align: Align::Right, ..Self::text(title) }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    style: Option<Style>,
}

impl Cell {
    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style: Some(style) }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: None }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row: a field for each column.
    pub(super) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    /// Writes it. An empty table is nothing at all.
    pub(super) fn print(&self, terminal: &mut Terminal) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let widths = self.widths(terminal.width());
        let titles: Vec<_> = self.columns.iter().map(|column| Cell::from(column.title.as_str())).collect();
        for row in [&titles].into_iter().chain(&self.rows) {
            let line = self.line(row, &widths, terminal);
            terminal.line(&line)?;
        }
        Ok(())
    }

    fn widths(&self, available: Option<usize>) -> Vec<usize> {
        let width = |n: usize, column: &Column| {
            let cells = self.rows.iter().filter_map(|row| row.get(n)).map(|cell| width_of(&cell.text));
            cells.chain([width_of(&column.title)]).max().unwrap_or_default()
        };
        let mut widths: Vec<_> =
            self.columns.iter().enumerate().map(|(n, column)| width(n, column)).collect();
        let total = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let excess = available.map_or(0, |available| total.saturating_sub(available));
        let prose = widths.iter_mut().zip(&self.columns).filter(|(_, column)| column.shrinks);
        if let Some((width, _)) = prose.max_by_key(|(width, _)| **width) {
            *width = width.saturating_sub(excess).max(NARROWEST.min(*width));
        }
        widths
    }

    fn line(&self, row: &[Cell], widths: &[usize], terminal: &Terminal) -> String {
        let mut line = String::new();
        for ((cell, column), width) in row.iter().zip(&self.columns).zip(widths) {
            let text = shortened(&cell.text, *width, if terminal.is_utf8() { '…' } else { '~' });
            let padding = " ".repeat(width.saturating_sub(width_of(&text)));
            let shown = cell.style.map_or_else(|| text.clone(), |style| terminal.paint(style, &text));
            match column.align {
                Align::Left => line.push_str(&format!("{shown}{padding}")),
                Align::Right => line.push_str(&format!("{padding}{shown}")),
            }
            line.push_str(&" ".repeat(GAP));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

fn width_of(text: &str) -> usize {
    text.chars().count()
}

fn shortened(text: &str, width: usize, mark: char) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain([mark]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Screen;

    fn table() -> Table {
        let mut table = Table::new([Column::text("name"), Column::number("cmds"), Column::prose("note")]);
        table.row(["vm1".into(), "12".into(), Cell::default()]);
        table.row(["pi-04".into(), "0".into(), Cell::from("missed 3 beacons, and still connected")]);
        table
    }

    #[test]
    fn numbers_stand_right_and_lines_have_no_tail() {
        let screen = Screen::default();
        table().print(&mut screen.terminal(&[])).unwrap();
        insta::assert_snapshot!(screen.take(), @r#"
    NAME   CMDS  NOTE
    vm1      12
    pi-04     0  missed 3 beacons, and still connected
    "#);
    }

    #[test]
    fn prose_is_shortened_for_people_only() {
        let screen = Screen::default().of_width(30);
        table().print(&mut screen.terminal(&[])).unwrap();
        insta::assert_snapshot!(screen.take(), @r#"
    NAME   CMDS  NOTE
    vm1      12
    pi-04     0  missed 3 beacons~
    "#);
        table().print(&mut screen.terminal(&["--no-trunc"])).unwrap();
        assert!(screen.take().contains("and still connected"));
    }

    #[test]
    fn nothing_is_nothing() {
        let screen = Screen::default();
        Table::new([Column::text("name")]).print(&mut screen.terminal(&[])).unwrap();
        assert_eq!(screen.take().to_string(), "");
    }
}
