//! What changed a Redis, command by command, as it wrote that down itself (`appendonly`).
//!
//! What a script changed is there as the commands it gave; what was refused is not.

/// A command and its arguments.
pub type Command = Vec<Vec<u8>>;

/// Reads the file. The last command may be torn: it is being written.
pub(super) fn commands(mut file: &[u8]) -> Vec<Command> {
    let mut commands = Vec::new();
    while let Some((command, rest)) = command(file) {
        commands.push(command);
        file = rest;
    }
    commands
}

fn command(bytes: &[u8]) -> Option<(Command, &[u8])> {
    let (parts, mut rest) = number(bytes, b'*')?;
    let mut command = Vec::new();
    for _ in 0..parts {
        let (length, after) = number(rest, b'$')?;
        command.push(after.get(..length)?.to_vec());
        rest = after.get(length + 2..)?;
    }
    Some((command, rest))
}

/// A line such as `*3`.
fn number(bytes: &[u8], kind: u8) -> Option<(usize, &[u8])> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let (line, rest) = (&bytes[..end], &bytes[end + 2..]);
    assert_eq!(line[0], kind, "a file of commands and nothing else");
    let digits = std::str::from_utf8(&line[1..]).expect("digits are text");
    Some((digits.parse().expect("digits are a number"), rest))
}
