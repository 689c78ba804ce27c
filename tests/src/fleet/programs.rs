//! The real programs, as processes of this machine that talk over the loopback.
//!
//! They are those that were built beside the test.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bailiwick_rpc::{Link, operator};
use nix::{sys::signal, unistd::Pid};

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Ends it with SIGKILL.
    ///
    /// # Errors
    ///
    /// Fails if the system refuses.
    pub fn kill(mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// Fails if the system refuses.
    pub fn signal(&self, what: signal::Signal) -> Result<()> {
        let pid = Pid::from_raw(self.0.id().try_into()?);
        Ok(signal::kill(pid, what)?)
    }

    /// Asks it to end, and waits.
    ///
    /// # Errors
    ///
    /// Fails if it takes longer than 20 seconds, or does not end as it should.
    pub async fn stop(mut self) -> Result<()> {
        self.signal(signal::Signal::SIGTERM)?;
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                ensure!(status.success(), "it ended with {status}");
                return Ok(());
            }
            ensure!(began.elapsed() < Duration::from_secs(20), "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program `bailiwick-coordinator` with a folder of its own, for a laboratory.
#[derive(Debug)]
pub struct CoordinatorProgram {
    program: PathBuf,
    folder: PathBuf,
    running: Option<Running>,
}

impl CoordinatorProgram {
    /// Makes its folder. It is not started yet.
    ///
    /// # Errors
    ///
    /// Fails if the program says so.
    pub fn init(program: &Path, folder: &Path) -> Result<Self> {
        // A port that was free a moment ago: agents must find the next start at the same one.
        let free: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let address = free.to_string();
        let output = Command::new(program)
            .args(["init", "--lab", "--agents", &address, "--public", &address])
            .args(["--socket", "operators.sock", "--dir"])
            .arg(folder)
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "init: {errors}");
        Ok(Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            running: None,
        })
    }

    /// A command of the program on its folder, to be run.
    #[must_use]
    pub fn command(&self, word: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args([word, "--dir"]).arg(&self.folder);
        command
    }

    /// The socket for operators.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("operators.sock")
    }

    /// Its database.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.join("store.db")
    }

    /// Everything that it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The most memory that it had in use at once, in octets.
    ///
    /// # Errors
    ///
    /// Fails if it does not run.
    pub fn most_memory(&self) -> Result<u64> {
        let running = self.running.as_ref().context("it does not run")?;
        let status = fs::read_to_string(format!("/proc/{}/status", running.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.context("no VmHWM")?.parse::<u64>()? * 1024)
    }

    /// Starts it, and returns how long it took until it answered an operator.
    ///
    /// # Errors
    ///
    /// Fails if it does not within 20 seconds.
    pub async fn start(&mut self) -> Result<Duration> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))?;
        let began = Instant::now();
        let child = Command::new(&self.program)
            .arg("serve")
            .arg("--dir")
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.running = Some(Running(child));
        loop {
            let answered = async {
                let link = Link::local(&self.socket()).await.ok()?;
                let asked = operator::GetStatusRequest::default();
                link.operator().get_status(asked).await.ok()
            };
            if answered.await.is_some() {
                return Ok(began.elapsed());
            }
            if began.elapsed() > Duration::from_secs(20) {
                bail!("the coordinator does not answer: {}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets it do nothing from now on, or go on.
    ///
    /// # Errors
    ///
    /// Fails if it does not run.
    pub fn pause(&self, pause: bool) -> Result<()> {
        let running = self.running.as_ref().context("it does not run")?;
        running.signal(match pause {
            true => signal::Signal::SIGSTOP,
            false => signal::Signal::SIGCONT,
        })
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    ///
    /// Fails if it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.running.take().context("it does not run")?.kill()
    }

    /// Asks it to end, and waits.
    ///
    /// # Errors
    ///
    /// Fails if it does not end as it should.
    pub async fn stop(&mut self) -> Result<()> {
        self.running.take().context("it does not run")?.stop().await
    }
}

/// The program `bailiwick-agent` with a folder of its own.
#[derive(Debug)]
pub struct AgentProgram {
    program: PathBuf,
    folder: PathBuf,
    running: Option<Running>,
}

impl AgentProgram {
    /// Lets it join. It does not work yet. The servers that it is to ask listen at `port`.
    ///
    /// # Errors
    ///
    /// Fails if the program says so.
    pub async fn join(program: &Path, folder: &Path, invitation: &str, port: u16) -> Result<Self> {
        let (program, folder) = (program.to_owned(), folder.to_owned());
        let mut command = Command::new(&program);
        command
            .args(["join", invitation, "--enrol-only", "--allow-special-use"])
            .args(["--port", &port.to_string(), "--state-dir"])
            .arg(&folder);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "join: {errors}");
        Ok(Self {
            program,
            folder,
            running: None,
        })
    }

    /// One that has joined before.
    #[must_use]
    pub fn of(program: &Path, folder: &Path) -> Self {
        Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            running: None,
        }
    }

    /// Where it keeps its reports.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// Everything that it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Lets it work.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be started.
    pub fn start(&mut self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))?;
        let child = Command::new(&self.program)
            .args(["run", "--state-dir"])
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.running = Some(Running(child));
        Ok(())
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    ///
    /// Fails if it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.running.take().context("it does not run")?.kill()
    }

    /// Asks it to end, and waits.
    ///
    /// # Errors
    ///
    /// Fails if it does not end as it should.
    pub async fn stop(&mut self) -> Result<()> {
        self.running.take().context("it does not run")?.stop().await
    }
}
