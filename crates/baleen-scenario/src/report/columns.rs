//! Rows of words in columns, for terminals and files: the first columns to the left, as wide as their widest cell.
//!
//! Texts of a scenario are hostile here, too: control characters are replaced. Tested: below.

use super::markup::tame;

/// Without control characters, on one line.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { tame(c) }).collect()
}

/// A line for each row; columns have two blanks between them.
pub fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width + 2 - cell.chars().count()));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_nothing_steers_a_terminal() {
        let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
        let text = table(&[row(&["a", "b"]), row(&["longer", "\u{1b}[31mx\ny"]), row(&["", "z"])]);
        assert_eq!(text, "a       b\nlonger  \u{fffd}[31mx y\n        z\n");
    }
}
