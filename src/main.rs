//! Parses the command line, runs one command, and ends with its exit code.

use std::process::ExitCode;

use roomsweep::app::streams::{self, EXIT_WAIT};

/// What each thread may need: the AMQP client reads and writes the headers of a message by recursion, and a head of 128
/// KiB holds lists within lists 26,000 deep. A stack that overflows ends the process, and any producer could do that.
/// Memory is taken only by what is used; builds without optimisation use far more.
const STACK: usize = if cfg!(debug_assertions) { 1024 << 20 } else { 256 << 20 };

fn main() -> ExitCode {
    // The client starts its threads itself; only this variable reaches them.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("RUST_MIN_STACK", STACK.to_string()) };
    let command = std::thread::Builder::new().name("roomsweep".to_owned()).spawn(roomsweep::app::cli::main);
    let code = match command.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        Ok(Err(_)) => ExitCode::from(101),
        Err(error) => {
            eprintln!("roomsweep: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    streams::stderr().finish(EXIT_WAIT);
    code
}
