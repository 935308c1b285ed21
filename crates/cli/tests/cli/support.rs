//! The program, started.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Longer than anything takes on a machine that works.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary with these arguments and a clean environment.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocketwire"));
    command.args(args).env_remove("RUST_LOG").env_remove("NAMESRV_ADDR");
    let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ROCKETWIRE_"));
    for (name, _) in ours {
        command.env_remove(name);
    }
    command
}

pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Succeeded, and said nothing on the standard error.
    #[track_caller]
    pub fn ok(self) -> Ended {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self
    }

    /// Failed with this code, and with one sentence that says all of these.
    #[track_caller]
    pub fn failed(self, code: i32, says: &[&str]) -> Ended {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "one sentence: {}", self.stderr);
        for text in says {
            assert!(self.stderr.contains(text), "{text:?} is not said: {}", self.stderr);
        }
        self
    }
}

/// Runs to the end.
pub fn run(args: &[&str], stdin: &[u8]) -> Ended {
    run_command(command(args), stdin)
}

pub fn run_command(mut command: Command, stdin: &[u8]) -> Ended {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut input = child.stdin.take().expect("piped");
    let stdin = stdin.to_vec();
    // A program that does not read all of its input closes the pipe.
    let writing = thread::spawn(move || drop(input.write_all(&stdin)));
    let reading = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).expect("a pipe can be read");
            String::from_utf8(text).expect("output is UTF-8")
        })
    };
    let stdout = reading(Box::new(child.stdout.take().expect("piped")));
    let stderr = reading(Box::new(child.stderr.take().expect("piped")));
    let status = wait(&mut child);
    writing.join().expect("the writer ends");
    Ended {
        code: status.code(),
        stdout: stdout.join().expect("the reader ends"),
        stderr: stderr.join().expect("the reader ends"),
    }
}

/// Waits for the end, and kills what does not end.
pub fn wait(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().expect("a child can be killed");
            child.wait().expect("a killed child ends");
            panic!("it did not end within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A `rocketwire serve` that is ready. Killed when dropped.
pub struct Serve {
    pub child: Child,
    pub address: String,
    /// The line that said that it is ready.
    pub ready: String,
    stderr: Arc<Mutex<String>>,
}

impl Serve {
    /// On a free port, with these arguments besides.
    pub fn start(args: &[&str]) -> Serve {
        Serve::at_port("0", args)
    }

    pub fn at_port(port: &str, args: &[&str]) -> Serve {
        let args = [&["serve", "--port", port], args].concat();
        let mut child =
            command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let stderr = Arc::new(Mutex::new(String::new()));
        let (log, pipe) = (stderr.clone(), child.stderr.take().expect("piped"));
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut log = log.lock().expect("no panic under the lock");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut ready)
            .expect("a pipe can be read");
        let address = ready.split_whitespace().nth(4).unwrap_or_default().to_owned();
        assert!(ready.starts_with("rocketwire is ready on 127.0.0.1:"), "{ready}{}", stderr.lock().unwrap());
        Serve { child, address, ready, stderr }
    }

    pub fn memory() -> Serve {
        Serve::start(&["--memory"])
    }

    pub fn in_folder(folder: &Path) -> Serve {
        Serve::start(&["--data", folder.to_str().expect("the name is UTF-8")])
    }

    pub fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap_or_default()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.stderr.lock().expect("no panic under the lock").clone()
    }

    /// `rocketwire send` to it.
    pub fn send(&self, args: &[&str], stdin: &[u8]) -> Ended {
        run(&[&["send", "-n", &self.address], args].concat(), stdin)
    }

    /// `rocketwire consume` from it.
    pub fn consume(&self, args: &[&str]) -> Ended {
        run(&[&["consume", "-n", &self.address], args].concat(), b"")
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }
}

pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.expect("kill is there").success());
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
