//! What a process costs, as the system counts it.

use std::path::Path;

/// Memory of a process that is in use now, in bytes.
pub fn memory(process: u32) -> u64 {
    of_status(process, "VmRSS:")
}

/// The most it ever used.
pub fn memory_most(process: u32) -> u64 {
    of_status(process, "VmHWM:")
}

fn of_status(process: u32, line: &str) -> u64 {
    let file = Path::new("/proc").join(process.to_string()).join("status");
    let status = std::fs::read_to_string(file).expect("the process lives");
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let kib = found.and_then(|text| text.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("the system counts in KiB")
        * 1_024
}
