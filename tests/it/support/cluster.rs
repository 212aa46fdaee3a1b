//! A PostgreSQL server of a test's own, to be stopped, killed, frozen and restarted.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{database, free_address};

/// Where Debian puts the programs of each version.
const PROGRAMS: &str = "/usr/lib/postgresql";
const UP_WITHIN: Duration = Duration::from_secs(60);
const DOWN_WITHIN: Duration = Duration::from_secs(30);

/// Its files lie in a directory of its own; killed when dropped.
pub struct Cluster {
    server: Option<Child>,
    home: TempDir,
    programs: PathBuf,
    address: SocketAddr,
    /// User and group: the server refuses to run as root.
    owner: Option<(u32, u32)>,
}

impl Cluster {
    /// Makes one, starts it, and waits until it takes connections.
    pub async fn start() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let owner = geteuid().is_root().then(|| (id("-u"), id("-g")));
        if let Some((user, group)) = owner {
            chown(home.path(), Some(user), Some(group)).expect("we are root");
        }
        let mut cluster = Self { server: None, home, programs: programs(), address: free_address(), owner };
        let data = cluster.data();
        let mut initdb = cluster.program("initdb");
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]).arg(data);
        let status = initdb.status().expect("an initdb at hand");
        assert!(status.success(), "{}", cluster.said());
        cluster.restart().await;
        cluster
    }

    /// For `ledger.url`: a database that is empty at first.
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address)
    }

    /// Where it takes connections.
    #[allow(dead_code, reason = "for tests that put something in between")]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts it again on what it has stored, and waits until it takes connections.
    pub async fn restart(&mut self) {
        assert!(self.server.is_none(), "it is running");
        let (ip, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let (data, home) = (self.data(), self.home.path().to_owned());
        let mut program = self.program("postgres");
        program.arg("-D").arg(data).args(["-h", &ip, "-p", &port, "-k"]).arg(home);
        self.server = Some(program.spawn().expect("a postgres at hand"));
        let end = Instant::now() + UP_WITHIN;
        while let Err(error) = database::connect(&self.url()).await {
            let ended = self.server.as_mut().and_then(|server| server.try_wait().expect("our own child"));
            assert_eq!(ended, None, "it ended: {}", self.said());
            assert!(Instant::now() < end, "not up within {UP_WITHIN:?} ({error}): {}", self.said());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops it as an operator does, who does not wait for those that are connected.
    pub async fn stop(&mut self) {
        self.signal(self.postmaster(), Signal::INT);
        let mut server = self.server.take().expect("it is running");
        let end = Instant::now() + DOWN_WITHIN;
        while server.try_wait().expect("our own child").is_none() {
            assert!(Instant::now() < end, "not down within {DOWN_WITHIN:?}: {}", self.said());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// `kill -9` for all its processes, and all gone when it returns.
    pub fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let postmaster = Pid::from_child(&server);
        // Standing still it starts none that would be missed.
        self.signal(postmaster, Signal::STOP);
        let children = children(postmaster);
        for child in &children {
            self.signal(*child, Signal::KILL);
        }
        server.kill().expect("our own child");
        server.wait().expect("our own child");
        let end = Instant::now() + DOWN_WITHIN;
        while children.iter().any(|child| is_alive(*child)) {
            assert!(Instant::now() < end, "what was killed is still there");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All its processes stand still from now on; the kernel still takes in what is sent to them.
    pub fn freeze(&self) {
        self.signal(self.postmaster(), Signal::STOP);
        for child in children(self.postmaster()) {
            self.signal(child, Signal::STOP);
        }
    }

    pub fn thaw(&self) {
        for child in children(self.postmaster()) {
            self.signal(child, Signal::CONT);
        }
        self.signal(self.postmaster(), Signal::CONT);
    }

    /// Those who are connected now get no answer any more; who comes later does.
    pub fn freeze_sessions(&self) {
        for child in children(self.postmaster()) {
            let title = fs::read_to_string(format!("/proc/{}/cmdline", child.as_raw_nonzero())).unwrap_or_default();
            // It names whom it serves: address and port.
            if title.contains(&format!("{}(", self.address.ip())) {
                self.signal(child, Signal::STOP);
            }
        }
    }

    fn postmaster(&self) -> Pid {
        Pid::from_child(self.server.as_ref().expect("it is running"))
    }

    /// A process may have ended by itself meanwhile.
    fn signal(&self, process: Pid, signal: Signal) {
        let _ = kill_process(process, signal);
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let log = || File::options().create(true).append(true).open(self.home.path().join("log")).expect("a file");
        let mut program = Command::new(self.programs.join(name));
        program.env_clear().env("LANG", "C.UTF-8").env("PATH", "/usr/bin:/bin").current_dir(self.home.path());
        program.stdin(std::process::Stdio::null()).stdout(log()).stderr(log());
        if let Some((user, group)) = self.owner {
            program.uid(user).gid(group);
        }
        program
    }

    /// The end of what it wrote.
    fn said(&self) -> String {
        let log = fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        let from = log.len().saturating_sub(4000);
        log[log.ceil_char_boundary(from)..].to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Those of the newest version.
fn programs() -> PathBuf {
    let versions = fs::read_dir(PROGRAMS).unwrap_or_else(|error| panic!("no PostgreSQL at {PROGRAMS}: {error}"));
    let number = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let versions = versions.flatten().map(|entry| entry.path()).filter(|path| path.join("bin/initdb").exists());
    versions.max_by_key(|path| number(path)).expect("a server, not only its client").join("bin")
}

/// Of the user postgres.
fn id(option: &str) -> u32 {
    let output = Command::new("id").args([option, "postgres"]).output().expect("an id at hand");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a user postgres")
}

fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?)).collect()
}

/// One that ended and was not waited for is not.
fn is_alive(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    let state = status.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}
