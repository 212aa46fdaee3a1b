//! The built program as a process of its own, in a directory and an environment of its own.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{eventually, http};

const READY_WITHIN: Duration = Duration::from_secs(30);
const TAIL_LINES: usize = 60;

/// Environment variables by name.
pub type Environment<'a> = &'a [(&'a str, &'a str)];

/// A running process; killed when dropped, its log shown if the test is failing.
pub struct Process {
    child: Child,
    directory: TempDir,
    name: String,
}

/// The program, not started yet; it sees nothing of the tests' own environment and directory.
fn program(directory: &Path, arguments: &[&str], environment: Environment<'_>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomsweep"));
    command.args(arguments).env_clear().env("RUST_LOG", "info").env("RUST_BACKTRACE", "1");
    command.envs(environment.iter().copied()).current_dir(directory).stdin(Stdio::null());
    command
}

fn directory_with(configuration: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    if !configuration.is_empty() {
        fs::write(directory.path().join("roomsweep.toml"), configuration).expect("written");
    }
    directory
}

/// Runs a one-shot command to its end, `configuration` lying beside it as `roomsweep.toml` unless it is empty.
pub fn run(arguments: &[&str], configuration: &str, environment: Environment<'_>) -> Output {
    let directory = directory_with(configuration);
    program(directory.path(), arguments, environment).output().expect("the built program starts")
}

impl Process {
    /// Starts `roomsweep ARGUMENTS`, `configuration` lying beside it as `roomsweep.toml` unless it is empty.
    pub fn start(arguments: &[&str], configuration: &str, environment: Environment<'_>) -> Self {
        let directory = directory_with(configuration);
        Self::spawn(program(directory.path(), arguments, environment), directory, &arguments.join(" "))
    }

    /// The same in a network namespace.
    pub fn start_in(netns: &str, arguments: &[&str], configuration: &str, environment: Environment<'_>) -> Self {
        let directory = directory_with(configuration);
        let inner = program(directory.path(), arguments, environment);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", netns]).arg(inner.get_program()).args(inner.get_args());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir(directory.path());
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
        Self::spawn(command, directory, &arguments.join(" "))
    }

    /// The same with so many open files at most; `kind` says which limit that is: `S` for the soft one, nothing for both.
    pub fn start_limited(kind: &str, files: u32, arguments: &[&str], configuration: &str) -> Self {
        let directory = directory_with(configuration);
        let inner = program(directory.path(), arguments, &[]);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("ulimit -{kind}n {files} && exec \"$@\""), "sh"]);
        command.arg(inner.get_program()).args(inner.get_args()).current_dir(directory.path()).stdin(Stdio::null());
        Self::spawn(command, directory, &arguments.join(" "))
    }

    /// The same writing its log to a socket that is full, with whoever could read it.
    pub fn start_unread(arguments: &[&str], configuration: &str, environment: Environment<'_>) -> (Self, UnixStream) {
        let directory = directory_with(configuration);
        let (reader, mut writer) = UnixStream::pair().expect("a pair of sockets");
        writer.set_nonblocking(true).expect("set");
        while writer.write(b"\n").is_ok() {}
        writer.set_nonblocking(false).expect("set");
        let mut command = program(directory.path(), arguments, environment);
        let file = |name: &str| File::create(directory.path().join(name)).expect("a file for its output");
        file("stderr");
        let child = command.stdout(file("stdout")).stderr(OwnedFd::from(writer)).spawn().expect("it starts");
        (Self { child, directory, name: arguments.join(" ") }, reader)
    }

    fn spawn(mut command: Command, directory: TempDir, name: &str) -> Self {
        let file = |name: &str| File::create(directory.path().join(name)).expect("a file for its output");
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{name}: {error}")), directory, name: name.to_owned() }
    }

    /// Its process ID.
    #[allow(dead_code, reason = "the benchmark asks")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its working directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// All it has written to stderr.
    pub fn log(&self) -> String {
        self.read("stderr")
    }

    /// All it has written to stdout.
    pub fn output(&self) -> String {
        self.read("stdout")
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.directory().join(name)).expect("its output")).into_owned()
    }

    /// Replaces its `roomsweep.toml`, for a later `SIGHUP`.
    pub fn reconfigure(&self, configuration: &str) {
        fs::write(self.directory().join("roomsweep.toml"), configuration).expect("written");
    }

    /// Waits until `/readyz` at `admin` says 200; panics if the process ends before.
    pub async fn ready(&mut self, admin: SocketAddr) {
        self.answers(admin, "/readyz").await;
    }

    /// Waits until `path` at `server` says 200; panics if the process ends before.
    pub async fn answers(&mut self, server: SocketAddr, path: &str) {
        let what = format!("{} answers {path}", self.name);
        let child = &mut self.child;
        eventually(&what, READY_WITHIN, || {
            let ended = child.try_wait().expect("our own child");
            assert_eq!(ended, None, "ended before: {what}");
            async move { http::get(server, path).await.ok().filter(|reply| reply.status == 200) }
        })
        .await;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// `kill -9`, and gone when it returns.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Waits for its end; panics if it is not over `within` the given time.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let child = &mut self.child;
        let ended = || std::future::ready(child.try_wait().expect("our own child"));
        eventually(&format!("the end of {}", self.name), within, ended).await
    }

    fn tail(&self) -> String {
        let log = self.log();
        let skip = log.lines().count().saturating_sub(TAIL_LINES);
        log.lines().skip(skip).map(|line| format!("{line}\n")).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process too; an error means that it is over already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- stderr of {}, its last {TAIL_LINES} lines:\n{}---", self.name, self.tail());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use crate::support::free_address;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Process::spawn(command, directory_with(""), script)
    }

    #[tokio::test]
    async fn output_and_exit_code_are_kept() {
        let mut process = shell("echo out; echo err >&2; exit 7");
        assert_eq!(process.ended(Duration::from_secs(5)).await.code(), Some(7));
        assert_eq!((process.output(), process.log()), ("out\n".to_owned(), "err\n".to_owned()));
    }

    #[tokio::test]
    async fn a_signal_reaches_the_process() {
        let mut process = shell("exec sleep 60");
        process.signal(Signal::STOP);
        process.signal(Signal::TERM);
        process.signal(Signal::CONT);
        assert_eq!(process.ended(Duration::from_secs(5)).await.signal(), Some(15));
    }

    #[test]
    fn a_dropped_process_is_gone_even_if_it_was_stopped() {
        let process = shell("exec sleep 60");
        process.signal(Signal::STOP);
        let pid = Pid::from_child(&process.child);
        drop(process);
        assert!(kill_process(pid, Signal::CONT).is_err());
    }

    #[tokio::test]
    #[should_panic(expected = "ended before: exit 3 answers /readyz")]
    async fn a_process_that_ends_is_not_waited_for() {
        shell("exit 3").ready(free_address()).await;
    }

    #[test]
    fn only_the_end_of_a_long_log_is_shown() {
        let mut process = shell("seq 100 >&2");
        process.child.wait().unwrap();
        assert!(process.tail().starts_with("41\n") && process.tail().ends_with("100\n"), "{}", process.tail());
    }

    #[test]
    fn a_killed_process_is_gone_at_once() {
        let mut process = shell("exec sleep 60");
        process.kill();
        assert!(process.child.try_wait().unwrap().is_some());
    }

    #[tokio::test]
    async fn the_built_program_runs_both_ways() {
        assert!(run(&["--help"], "", &[]).status.success());
        let mut process = Process::start(&["--help"], "", &[]);
        assert!(process.ended(Duration::from_secs(5)).await.success());
    }

    #[test]
    fn a_configuration_can_be_replaced() {
        let process = shell("exec sleep 60");
        process.reconfigure("[queue]\n");
        assert_eq!(fs::read_to_string(process.directory().join("roomsweep.toml")).unwrap(), "[queue]\n");
    }

    #[test]
    fn the_program_runs_beside_its_configuration() {
        let directory = directory_with("[queue]\n");
        let command = program(directory.path(), &["worker"], &[("A", "b")]);
        assert_eq!(command.get_current_dir(), Some(directory.path()));
        assert!(command.get_envs().any(|(name, value)| name == "A" && value.is_some_and(|value| value == "b")));
        assert_eq!(fs::read_to_string(directory.path().join("roomsweep.toml")).unwrap(), "[queue]\n");
    }
}
