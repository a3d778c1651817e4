//! What was found as one page: tables and plots, with nothing fetched from anywhere.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::findings::{Findings, Table};
use crate::plot;

const WRITING: &str = "invariant: writing to memory does not fail";

const STYLE: &str = "\
:root{--ink:#1c2430;--soft:#5b6675;--line:#dfe4ea;--paper:#fff;--panel:#f7f9fb;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b5;--line:#2d3642;--paper:#12171e;--panel:#1a212a;--bad:#ff8a80}}\
body{margin:0 auto;max-width:60rem;padding:2rem 1.25rem 4rem;background:var(--paper);color:var(--ink);\
font:16px/1.5 system-ui,sans-serif}\
h1{font-size:1.7rem;margin:0 0 .25rem}h2{font-size:1.25rem;margin:3rem 0 .25rem}\
p{color:var(--soft);margin:.25rem 0 1rem}\
nav a{margin-right:1rem;color:inherit}\
table{border-collapse:collapse;width:100%;margin:1rem 0 1.5rem;font-variant-numeric:tabular-nums;font-size:.92rem}\
caption{text-align:left;font-weight:600;padding:.25rem 0}\
th,td{padding:.35rem .6rem;text-align:right;border-bottom:1px solid var(--line)}\
th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left}\
figure{margin:1rem 0 1.5rem;padding:1rem;background:var(--panel);border-radius:8px}\
figcaption{font-weight:600;margin-bottom:.5rem}\
svg{display:block;width:100%;height:auto}svg text{fill:var(--ink);font:13px system-ui,sans-serif}\
svg .soft{fill:var(--soft)}svg .grid{stroke:var(--line)}\
.failed{color:var(--bad);font-weight:600}";

/// Writes `index.html` into `directory`.
pub(crate) fn write(directory: &Path, findings: &[Findings]) -> io::Result<()> {
    std::fs::write(directory.join("index.html"), page(findings))
}

fn page(findings: &[Findings]) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Switchboard under load</title>\n<style>{STYLE}</style>\n\
         <h1>Switchboard under load</h1>\n"
    );
    if let Some(first) = findings.first() {
        line(&mut html, "p", &first.machine.line());
    }
    html.push_str("<nav>");
    for found in findings {
        write!(html, "<a href=\"#{0}\">{0}</a>", found.scenario).expect(WRITING);
    }
    html.push_str("</nav>\n");
    for found in findings {
        section(&mut html, found);
    }
    html.push_str("</html>\n");
    html
}

fn section(html: &mut String, found: &Findings) {
    writeln!(html, "<h2 id=\"{0}\">{0}</h2>", found.scenario).expect(WRITING);
    line(html, "p", found.question);
    if found.failed() > 0 {
        writeln!(html, "<p class=\"failed\">{} failed</p>", found.failed()).expect(WRITING);
    }
    for table in &found.tables {
        html.push_str(&rows(table));
    }
    for chart in &found.charts {
        html.push_str(&plot::figure(chart));
    }
    let settings = found.settings.as_object().into_iter().flatten();
    let settings: Vec<String> = settings
        .map(|(key, value)| format!("{} {value}", key.replace('_', " ")))
        .collect();
    line(html, "p", &settings.join(" · "));
}

fn rows(table: &Table) -> String {
    let mut html = format!(
        "<table>\n<caption>{}</caption>\n<tr><th></th>",
        escape(&table.title)
    );
    for column in &table.columns {
        write!(html, "<th>{}</th>", escape(column)).expect(WRITING);
    }
    html.push_str("</tr>\n");
    for (label, cells) in &table.rows {
        write!(html, "<tr><td>{}</td>", escape(label)).expect(WRITING);
        for cell in cells {
            write!(html, "<td>{}</td>", escape(cell)).expect(WRITING);
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
    html
}

fn line(html: &mut String, element: &str, text: &str) {
    writeln!(html, "<{element}>{}</{element}>", escape(text)).expect(WRITING);
}

/// Text as it stands between tags and in attributes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("a<b & \"c\""), "a&lt;b &amp; &quot;c&quot;");
    }
}
