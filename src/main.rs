//! The `switchboard` program: its allocator and its exit code.

use std::process::ExitCode;

// Without transparent huge pages (feature `no_thp`): they keep 2 MiB for the first byte touched in it,
// and most of what an idle connection allocates are buffers it never fills.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    switchboard::cli::main()
}
