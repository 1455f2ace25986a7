//! What ARCHITECTURE.md says of the crates, and how it is to be written for that.

use crate::workspace::root;
use std::collections::BTreeSet;

pub(crate) struct Document {
    /// The folders in the first column of the table below "The tree".
    pub(crate) tree: Vec<String>,
    /// `a → b, c` in the code block that is called `arrows`; `a` may end in `/*`.
    arrows: Vec<(String, BTreeSet<String>)>,
    /// `a ↛ b` there: `a` depends on `b` neither directly nor through others.
    pub(crate) forbidden: Vec<(String, String)>,
}

impl Document {
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
        let (_, tree) = text.split_once("\n## The tree\n").expect("a section The tree");
        let rows = tree.lines().take_while(|line| line.starts_with('|')).skip(2);
        let first = rows.map(|row| row.split('|').nth(1).unwrap());
        // What is in backticks is every other part.
        let folders = first.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let tree = folders.map(|folder| folder.trim_end_matches('/').to_owned()).collect();

        let (_, block) = text.split_once("\n```arrows\n").expect("a code block `arrows`");
        let (mut arrows, mut forbidden) = (Vec::new(), Vec::new());
        for line in block.lines().take_while(|line| *line != "```") {
            if let Some((from, to)) = line.split_once(" → ") {
                arrows.push((from.trim().to_owned(), names(to).collect()));
            } else if let Some((from, to)) = line.split_once(" ↛ ") {
                forbidden.extend(names(to).map(|to| (from.trim().to_owned(), to)));
            } else {
                panic!("no arrow of ARCHITECTURE.md: {line}");
            }
        }
        Self { tree, arrows, forbidden }
    }

    /// The crates that this one is to depend on.
    pub(crate) fn allowed(&self, name: &str) -> BTreeSet<String> {
        let fits = |pattern: &str| {
            pattern == name || pattern.strip_suffix('*').is_some_and(|folder| name.starts_with(folder))
        };
        let lines = self.arrows.iter().filter(|(from, _)| fits(from));
        lines.flat_map(|(_, to)| to.iter().cloned()).collect()
    }
}

fn names(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(|name| name.trim().to_owned())
}
