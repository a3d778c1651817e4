//! README promises: what it says can be typed answers what it prints.

use tokio::process::Command;

use crate::world::Switchboard;

/// A command of a `console` block, with the lines it must print.
struct Shown {
    command: String,
    output: String,
}

fn shown() -> Vec<Shown> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))
        .expect("there is a README");
    let blocks = readme.split("```console\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap_or_default());
    let mut shown: Vec<Shown> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        match (line.strip_prefix("$ "), shown.last_mut()) {
            (Some(command), _) => shown.push(Shown {
                command: command.to_owned(),
                output: String::new(),
            }),
            (None, Some(last)) if last.output.is_empty() && last.command.ends_with('\\') => {
                last.command.push('\n');
                last.command.push_str(line);
            }
            (None, Some(last)) => {
                last.output.push_str(line);
                last.output.push('\n');
            }
            (None, None) => panic!("a console block begins with a command, not {line:?}"),
        }
    }
    shown
}

#[tokio::test]
async fn what_the_readme_types_answers_what_the_readme_prints() {
    let server = Switchboard::start().await;
    let shown = shown();
    assert!(shown.len() >= 3, "both eras are shown");
    let script = shown
        .iter()
        .map(|shown| shown.command.replace("localhost:8000", server.authority()))
        .collect::<Vec<_>>()
        .join("\n");

    let ran = Command::new("bash").arg("-c").arg(&script).output().await;

    let printed = String::from_utf8(ran.expect("bash runs").stdout).expect("text is printed");
    let expected = shown
        .iter()
        .map(|shown| shown.output.as_str())
        .collect::<String>();
    let without_blank = |text: &str| {
        text.lines()
            .filter(|line| !line.is_empty())
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    };
    // curl prints no newline after a JSON answer, so the next line may follow on it.
    let printed = printed.replace("}data:", "}\ndata:");
    assert_eq!(without_blank(&printed), without_blank(&expected));
}
