//! A RabbitMQ node of a test's own, to be killed, frozen and restarted.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{free_address, rabbit};

/// Where every package of RabbitMQ puts its programs. Debian's wrappers of them insist on a user and a home.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// A quorum queue reserves three file handles, and a broker that has none left takes no more connections: with the 1,024
/// that a process is usually given, that is with some 300 queues, or the namespaces of 14 tests.
const MANY_FILES: &str = r#"ulimit -n 16384 || ulimit -n "$(ulimit -Hn)"; exec "$0" "$@""#;
/// A boot takes two seconds, and half a minute on a machine that is compiling.
const UP_WITHIN: Duration = Duration::from_secs(90);
const DOWN_WITHIN: Duration = Duration::from_secs(60);

/// Everything that a node must not share with another one, but for the port mapper, which it starts if there is none.
pub struct Node {
    child: Option<Child>,
    home: TempDir,
    address: SocketAddr,
    distribution: SocketAddr,
}

impl Node {
    /// Starts one, and waits until it takes connections. `settings` are Erlang terms for its application `rabbit`, like
    /// `{consumer_timeout, 3000}`.
    pub async fn start(settings: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut node = Self { child: None, home, address: free_address(), distribution: free_address() };
        let (ip, port) = (node.address.ip(), node.address.port());
        let comma = if settings.is_empty() { "" } else { ", " };
        let advanced = format!("[{{rabbit, [{{tcp_listeners, [{{\"{ip}\", {port}}}]}}{comma}{settings}]}}].\n");
        for (name, text) in [("advanced.config", advanced.as_str()), ("plugins", "[].\n"), ("rabbitmq.conf", "")] {
            fs::write(node.home.path().join(name), text).expect("written");
        }
        node.restart().await;
        node
    }

    /// Where it takes connections.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For `queue.url`.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address)
    }

    /// Starts it again on what it has stored, and waits until it takes connections.
    pub async fn restart(&mut self) {
        assert!(self.child.is_none(), "it is running");
        self.child = Some(self.program("rabbitmq-server").arg("-noinput").spawn().expect("a RabbitMQ at hand"));
        let end = Instant::now() + UP_WITHIN;
        while let Err(error) = rabbit::connect(&self.url()).await {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("our own child"));
            assert_eq!(ended, None, "it ended: {}", self.said());
            assert!(Instant::now() < end, "not up within {UP_WITHIN:?} ({error}): {}", self.said());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// `kill -9`, and gone when it returns.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own child");
            child.wait().expect("our own child");
        }
    }

    /// Stops it as an operator does.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let mut child = self.child.take().expect("it is running");
        let end = Instant::now() + DOWN_WITHIN;
        while child.try_wait().expect("our own child").is_none() {
            assert!(Instant::now() < end, "not down within {DOWN_WITHIN:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stands still from now on; the kernel still takes in what is sent to it.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// From now on it takes no messages, as if its memory were full.
    pub async fn alarm(&self) {
        self.control(&["set_vm_memory_high_watermark", "absolute", "1"]).await;
    }

    pub async fn end_alarm(&self) {
        self.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    }

    /// `rabbitmqctl ARGUMENTS`; panics with what it says if it fails.
    pub async fn control(&self, arguments: &[&str]) -> String {
        let mut control = tokio::process::Command::from(self.program("rabbitmqctl"));
        control.stdout(Stdio::piped()).stderr(Stdio::piped()).arg("--quiet").args(arguments);
        let output = control.output().await.expect("a rabbitmqctl at hand");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it is running");
        kill_process(Pid::from_child(child), signal).expect("our own child");
    }

    fn program(&self, name: &str) -> Command {
        let home = self.home.path();
        let output = |name: &str| File::options().create(true).append(true).open(home.join(name)).expect("a file");
        let loopback = "-kernel inet_dist_use_interface {127,0,0,1}";
        let mut program = Command::new("/bin/sh");
        program.args(["-c", MANY_FILES]).arg(format!("{PROGRAMS}/{name}"));
        program.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", home).env("LANG", "C.UTF-8");
        // With an Erlang shell allowed the shell becomes the node, whose ID is then known; `-noinput` forbids it again.
        program.env("RABBITMQ_ALLOW_INPUT", "1");
        program.env("RABBITMQ_NODENAME", format!("roomsweep-{}@localhost", self.address.port()));
        program.env("RABBITMQ_DIST_PORT", self.distribution.port().to_string());
        program.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", loopback);
        let places = [
            ("RABBITMQ_MNESIA_BASE", "data"),
            ("RABBITMQ_LOG_BASE", "log"),
            ("RABBITMQ_PID_FILE", "pid"),
            ("RABBITMQ_CONF_ENV_FILE", "none"),
            ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", "advanced.config"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
        ];
        program.envs(places.map(|(variable, name)| (variable, home.join(name))));
        program.current_dir(home).stdin(Stdio::null()).stdout(output("output")).stderr(output("output"));
        program
    }

    fn said(&self) -> String {
        fs::read_to_string(self.home.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;
    use lapin::options::QueueDeclareOptions;
    use lapin::types::FieldTable;

    use tokio::time::timeout;

    use super::*;
    use crate::support::eventually;
    use crate::support::rabbit::{Namespace, Published};

    #[tokio::test]
    async fn a_node_keeps_what_it_confirmed_and_goes_with_its_test() {
        let mut node = Node::start("").await;
        let namespace = Namespace::on(&node.url(), &[]).await;
        let (channel, queue) = (namespace.channel().await, namespace.of("jobs"));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.as_str().into(), durable, FieldTable::default()).await.expect("declared");
        // The node's own log of what there is reaches its file within two seconds: killed before, it knows no such queue.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut kept = 0;
        for round in ["killed", "stopped"] {
            let published = namespace.publish("", &queue, b"x", BasicProperties::default()).await;
            assert_eq!(published, Published::Confirmed, "{round}");
            kept += 1;
            match round {
                "killed" => node.kill(),
                _ => node.stop().await,
            }
            assert!(rabbit::connect(&node.url()).await.is_err(), "{round}");
            node.restart().await;
            // A node takes connections a moment before it has found all its queues again.
            let depth = || async { (namespace.depth(&queue).await == Some(kept)).then_some(()) };
            eventually(round, Duration::from_secs(20), depth).await;
        }
        node.freeze();
        assert!(rabbit::connect(&node.url()).await.is_err(), "frozen");
        node.thaw();
        node.alarm().await;
        let published = namespace.publish("", &queue, b"x", BasicProperties::default());
        assert!(timeout(Duration::from_secs(2), published).await.is_err(), "confirmed during the alarm");
        node.end_alarm().await;
        kept += 1;
        let depth = || async { (namespace.depth(&queue).await == Some(kept)).then_some(()) };
        eventually("it takes what was sent during the alarm", Duration::from_secs(20), depth).await;
        let address = node.address();
        drop(node);
        std::net::TcpListener::bind(address).expect("nobody listens there any more");
    }
}
