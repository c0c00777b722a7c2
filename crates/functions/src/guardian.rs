//! Leaves no process behind. Each function's process leads a process group, so that it is killed with its children; and
//! when the gateway itself is killed, a small shell that outlives it kills every group that is left.
//!
//! The shell reads group numbers from a pipe and acts when the pipe closes, which the kernel does however the gateway
//! ends. It is a shell because nothing else does this on every Unix without code that runs between fork and exec.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups=
while read -r sign group; do
  case $sign in
    +) groups="$groups $group" ;;
    -) kept=
       for other in $groups; do [ "$other" = "$group" ] || kept="$kept $other"; done
       groups=$kept ;;
  esac
done
for group in $groups; do kill -KILL "-$group" 2>/dev/null; done
rm -rf -- "$1"
"#;

/// Outlives the gateway to clean up behind it.
pub(crate) struct Guardian {
    shell: Mutex<Child>,
}

impl Guardian {
    /// Starts it. `private` is the directory of temporary files that it deletes in the end.
    pub(crate) fn start(private: &Path) -> io::Result<Arc<Self>> {
        let shell = Command::new("/bin/sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg("stagedoor-guardian")
            .arg(private)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own group: what is sent to the gateway's group, such as an interrupt from the terminal, must not end it.
            .process_group(0)
            .spawn()?;
        Ok(Arc::new(Self { shell: Mutex::new(shell) }))
    }

    fn tell(&self, sign: char, group: u32) {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = shell.stdin.as_mut()
            && let Err(error) = pipe.write_all(format!("{sign} {group}\n").as_bytes())
        {
            tracing::warn!(target: "function", %error, "the guardian of the functions' processes is gone");
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(shell.stdin.take());
        // It ends by itself once the pipe is closed; waiting leaves no zombie and no half-deleted directory.
        let _ = shell.wait();
    }
}

/// The process group of one function's process; killed when dropped.
pub(crate) struct Group {
    leader: u32,
    guardian: Arc<Guardian>,
}

impl Group {
    pub(crate) fn new(leader: u32, guardian: Arc<Guardian>) -> Self {
        guardian.tell('+', leader);
        Self { leader, guardian }
    }

    /// Kills the process and its children.
    pub(crate) fn kill(&self) {
        let pid = i32::try_from(self.leader).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // The group may be gone already, which is what is wanted.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Kills what has left the group of a process but still carries its environment, of which `marker` is a unique part. Reads
/// all of `/proc`, which takes milliseconds; does nothing where there is none.
pub(crate) fn kill_detached(marker: &str) {
    let Ok(entries) = std::fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let marked = environment.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes());
        if let Some(pid) = Pid::from_raw(pid).filter(|_| marked) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        self.guardian.tell('-', self.leader);
    }
}
