//! The program, started on a folder.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::FileExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use rocketwire_testkit::Random;

/// A node that is ready. Killed when dropped.
pub struct Serve {
    child: Mutex<Child>,
    pub address: String,
    stderr: Arc<Mutex<String>>,
}

impl Serve {
    /// Starts it, to die at a place if one is given; an error if it ends before it is ready.
    pub fn start(folder: &Path, flush: &str, crash_at: Option<String>) -> Result<Serve, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rocketwire"));
        command.args(["serve", "--port", "0", "--flush", flush, "--data"]).arg(folder);
        // Many small files, and what happens now and then happens often.
        command.args(["--segment-size", "128KiB", "--snapshot-interval", "100ms"]);
        // Where it is to die while it deletes, there has to be something to delete, on a slow machine, too.
        let deletes = crash_at.as_deref().is_some_and(|place| place.starts_with("retention."));
        command.args(["--max-log-bytes", if deletes { "512KiB" } else { "8MiB" }]);
        command.env_remove("RUST_LOG").env_remove("NAMESRV_ADDR");
        command.env("ROCKETWIRE_CRASH_AT", crash_at.unwrap_or_default());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let stderr = Arc::new(Mutex::new(String::new()));
        let (log, pipe) = (stderr.clone(), child.stderr.take().expect("piped"));
        let reading = thread::spawn(move || {
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
        if !ready.starts_with("rocketwire is ready on ") {
            let status = child.wait();
            let _ = reading.join();
            return Err(format!("{status:?}: {}", stderr.lock().expect("no panic under the lock")));
        }
        Ok(Serve { child: Mutex::new(child), address, stderr })
    }

    /// `kill -9`.
    pub fn kill(&self) {
        self.child.lock().unwrap().kill().expect("it is ours");
    }

    pub fn has_ended(&self) -> bool {
        self.child.lock().unwrap().try_wait().expect("it is ours").is_some()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.stderr.lock().expect("no panic under the lock").clone()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// What a power cut leaves behind the log: bytes of a write that nobody was told of. They replace zeros, if there are any
/// ahead of the log.
pub fn append_half_a_frame(folder: &Path, random: &mut Random) {
    let mut segments: Vec<_> =
        fs::read_dir(folder.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let Some(last) = segments.last() else { return };
    let bytes: Vec<u8> = (0..1 + random.below(600)).map(|_| random.number() as u8).collect();
    let there = fs::read(last).unwrap();
    let zeros = there.iter().rev().take_while(|byte| **byte == 0).count();
    let mut end = there.len() - zeros;
    // All of its messages have properties, and so it is that which ends the last one. Else a zero may be a part of it.
    if there.get(..end).and_then(<[u8]>::last) != Some(&2) {
        end = there.len();
    }
    fs::OpenOptions::new().write(true).open(last).unwrap().write_all_at(&bytes, end as u64).unwrap();
}
