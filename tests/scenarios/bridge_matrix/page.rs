//! The matrix as a page.

use std::fmt::Write as _;

use super::pair::Way;
use super::{CLIENTS, Cell, FEATURES, UPSTREAMS};
use crate::world::tools::root;

const PAGE: &str = "docs/bridge-matrix.md";
const HEAD: &str = "\
# Which client uses what of which upstream

A client of any revision, through the gateway, at an upstream of any revision. Each cell is tried each time the tests
run (`tests/scenarios/bridge_matrix.rs`, which writes this page): with what came of it, and that the upstream executed
it once. `yes` means that it works whole; a number is the reason why it cannot. Forms and results are shown to an older
revision as it knows them. The upstream of 2024-11-05 is spoken to, and so is its client, over HTTP+SSE; the others over
Streamable HTTP, and those that say so over stdio.
";

/// The page that says this.
pub fn rendered(cells: &[Cell]) -> String {
    let mut page = HEAD.to_owned();
    let mut reasons = Vec::new();
    for client in CLIENTS {
        write!(page, "\n## A client of {client}\n\n| |").unwrap();
        for upstream in UPSTREAMS {
            write!(page, " {upstream} |").unwrap();
        }
        writeln!(page, "\n|---|{}", "---|".repeat(UPSTREAMS.len())).unwrap();
        for feature in FEATURES {
            write!(page, "| {} |", feature.name).unwrap();
            for upstream in UPSTREAMS {
                let shown = shown(cells, client, upstream, feature.name, &mut reasons);
                write!(page, " {shown} |").unwrap();
            }
            page.push('\n');
        }
    }
    page.push('\n');
    for (at, reason) in reasons.iter().enumerate() {
        writeln!(page, "{}. {reason}.", at + 1).unwrap();
    }
    page
}

fn shown(
    cells: &[Cell],
    client: Way,
    upstream: Way,
    feature: &str,
    reasons: &mut Vec<&'static str>,
) -> String {
    let cell = cells
        .iter()
        .find(|cell| (cell.client, cell.upstream, cell.feature) == (client, upstream, feature));
    match cell.unwrap().refused {
        None => "yes".to_owned(),
        Some(reason) => {
            let known = reasons.iter().position(|known| *known == reason);
            let at = known.unwrap_or_else(|| {
                reasons.push(reason);
                reasons.len() - 1
            });
            format!("no ({})", at + 1)
        }
    }
}

/// What a reader of the page is promised is what came of it.
pub fn is_committed(rendered: &str) {
    let page = std::fs::read_to_string(root().join(PAGE)).unwrap_or_default();
    if page != rendered {
        let anew = root().join("target/bridge-matrix.md");
        std::fs::write(&anew, rendered).unwrap();
        panic!("{PAGE} says something else; `cp target/bridge-matrix.md {PAGE}` makes it say this");
    }
}
