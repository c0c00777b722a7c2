//! What a function's process cannot see or do, and where it finds its layers.
//!
//! A process starts as the gateway's own program, called with [`LAUNCH`] ([`launch`]): that one gives up every capability,
//! takes a mount namespace of its own, covers what holds secrets, puts layers at `/opt`, becomes another user where one is
//! configured, and then becomes the function's program. It does so itself, because a program that did it would see the
//! function's environment (`LD_PRELOAD`) while it still may do everything.
//!
//! A namespace needs root, or a kernel that lets users have namespaces. Whether it can be had is tried once, at the start;
//! without one, processes give up their capabilities all the same, and layers are on search paths alone.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};

use crate::functions::Settings;

/// The first argument of a program that is to call [`launch`].
pub const LAUNCH: &str = "__function";

/// The variable that tells what to launch. Arguments could be read by every user of the machine.
const TOLD: &str = "STAGEDOOR_LAUNCH";
/// Where layers are at AWS.
pub(crate) const OPT: &str = "/opt";
/// Where code is at AWS.
pub(crate) const TASK: &str = "/var/task";
/// What a trial answers if a namespace can be had, but no layers in it.
const WITHOUT_LAYERS: u8 = 3;

/// What to launch, and how.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Launch {
    /// Program and arguments; none for a trial.
    program: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: PathBuf,
    /// Take a mount namespace.
    namespace: bool,
    /// Take a user namespace, in which the process stays who it is: those of one user may look into each other otherwise.
    alone: bool,
    /// What is covered in the mount namespace.
    hidden: Vec<PathBuf>,
    /// What stays where it is although it may be in a covered directory.
    kept: Vec<PathBuf>,
    /// Layers, the first first, if they are to be put at [`OPT`].
    layers: Vec<PathBuf>,
    /// The code, if it is to be seen at [`TASK`] as well.
    task: Option<PathBuf>,
    user: Option<(u32, u32)>,
}

/// How processes are started here.
#[derive(Debug, Default)]
pub(crate) struct Walls {
    launcher: Option<PathBuf>,
    hidden: Vec<PathBuf>,
    user: Option<(u32, u32)>,
    namespace: bool,
    alone: bool,
    opt: bool,
    task: bool,
}

impl Walls {
    /// Finds out what this machine allows.
    pub(crate) fn find(settings: &Settings) -> Self {
        let Some(launcher) = &settings.launcher else { return Self::default() };
        let hidden = settings.hidden.iter().filter_map(|path| std::path::absolute(path).ok()).collect();
        let mut walls =
            Self { launcher: Some(launcher.clone()), hidden, user: settings.user, ..Self::default() };
        let mut why = walls.tries(true);
        if !walls.namespace {
            why = walls.tries(false);
        }
        walls.task = walls.namespace && Path::new(TASK).is_dir();
        if !walls.namespace {
            tracing::warn!(
                target: "function",
                "functions have no view of the files of their own: what the gateway's user may read, they may read ({why})"
            );
        } else if !walls.opt {
            tracing::debug!(target: "function", "layers are not put at /opt: {why}");
        }
        walls
    }

    /// Tries namespaces, and tells what was said.
    fn tries(&mut self, alone: bool) -> String {
        let trial = Launch {
            namespace: true,
            alone,
            hidden: self.hidden_now(),
            layers: vec![std::env::temp_dir()],
            user: self.user,
            ..Launch::default()
        };
        let tried = self.told(&trial).and_then(|mut command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()
        });
        match tried {
            Ok(output) => {
                self.opt = output.status.success();
                self.namespace = self.opt || output.status.code() == Some(WITHOUT_LAYERS.into());
                self.alone = self.namespace && alone;
                String::from_utf8_lossy(&output.stderr).trim().to_owned()
            }
            Err(error) => error.to_string(),
        }
    }

    /// What is there to be covered, and where: keys that are renewed are often links to another file each time.
    fn hidden_now(&self) -> Vec<PathBuf> {
        self.hidden.iter().filter_map(|path| path.canonicalize().ok()).collect()
    }

    /// Whether layers are put at [`OPT`].
    pub(crate) fn has_opt(&self) -> bool {
        self.opt
    }

    /// A command that runs a program in its walls. `layers` are put at [`OPT`] where that can be done.
    ///
    /// # Errors
    /// A path that cannot be told.
    pub(crate) fn command(
        &self,
        program: Vec<OsString>,
        environment: BTreeMap<OsString, OsString>,
        code: &Path,
        layers: &[PathBuf],
    ) -> io::Result<Command> {
        if self.launcher.is_none() {
            let mut program = program.into_iter();
            let mut command = Command::new(program.next().unwrap_or_default());
            command.args(program).env_clear().envs(environment).current_dir(code);
            return Ok(command);
        }
        self.told(&Launch {
            program,
            environment: environment.into_iter().collect(),
            directory: code.to_owned(),
            namespace: self.namespace,
            alone: self.alone,
            hidden: self.hidden_now(),
            kept: layers.iter().cloned().chain([code.to_owned()]).collect(),
            layers: if self.opt { layers.to_vec() } else { Vec::new() },
            task: self.task.then(|| code.to_owned()),
            user: self.user,
        })
    }

    fn told(&self, launch: &Launch) -> io::Result<Command> {
        let mut command = Command::new(self.launcher.as_deref().unwrap_or(Path::new("")));
        command.arg(LAUNCH).env_clear().env(TOLD, serde_json::to_string(launch)?);
        Ok(command)
    }
}

/// Becomes the program that the environment tells of, within its walls. Has to be called before there is a second thread.
/// Returns if that does not work, or if it was a trial.
pub fn launch() -> ExitCode {
    let told = std::env::var(TOLD).unwrap_or_default();
    let launch: Launch = match serde_json::from_str(&told) {
        Ok(launch) => launch,
        Err(error) => {
            complain("nothing to launch", &error);
            return ExitCode::FAILURE;
        }
    };
    let with_layers = match confine(&launch) {
        Ok(with_layers) => with_layers,
        Err((what, error)) => {
            complain(what, &error);
            return ExitCode::FAILURE;
        }
    };
    let mut program = launch.program.iter();
    let Some(first) = program.next() else {
        return if with_layers { ExitCode::SUCCESS } else { ExitCode::from(WITHOUT_LAYERS) };
    };
    let mut command = Command::new(first);
    command.args(program).env_clear().envs(launch.environment).current_dir(&launch.directory);
    complain("the program cannot be run", &command.exec());
    ExitCode::FAILURE
}

/// Standard error is the function's log.
fn complain(what: &str, error: &dyn std::error::Error) {
    eprintln!("stagedoor: {what}: {error}");
}

/// What failed, and why.
type Failed = (&'static str, io::Error);

/// Puts up the walls. False if layers cannot be put in their place.
#[cfg(target_os = "linux")]
fn confine(launch: &Launch) -> Result<bool, Failed> {
    let mut with_layers = true;
    if launch.namespace {
        linux::take_namespace().map_err(|error| ("no mount namespace", error))?;
        linux::hide(launch).map_err(|error| ("what is hidden cannot be covered", error))?;
        if !launch.layers.is_empty() {
            match linux::mount_layers(&launch.layers) {
                Ok(()) => {}
                Err(_) if launch.program.is_empty() => with_layers = false,
                Err(error) => return Err(("layers cannot be mounted at /opt", error)),
            }
        }
        if let Some(code) = &launch.task {
            linux::bind(code, Path::new(TASK)).map_err(|error| ("no code at /var/task", error))?;
        }
    }
    linux::give_up_rights(launch).map_err(|error| ("rights cannot be given up", error))?;
    Ok(with_layers)
}

#[cfg(not(target_os = "linux"))]
fn confine(launch: &Launch) -> Result<bool, Failed> {
    match launch.namespace || launch.alone || launch.user.is_some() {
        true => Err(("walls", io::ErrorKind::Unsupported.into())),
        false => Ok(true),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CString;
    use std::fs::{self, File};
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Path, PathBuf};

    use rustix::io::Errno;
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};
    use rustix::process::{DumpableBehavior, Gid, Uid, getegid, geteuid, set_dumpable_behavior};
    use rustix::thread::{
        CapabilitySet, CapabilitySets, UnshareFlags, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    };

    use super::{Launch, OPT};

    #[expect(deprecated, reason = "unsound only with UnshareFlags::FILES")]
    fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
        rustix::thread::unshare(flags)
    }

    /// A mount namespace, in a user namespace unless one is to be had without.
    pub(super) fn take_namespace() -> io::Result<()> {
        if unshare(UnshareFlags::NEWNS).is_err() {
            take_user_namespace(UnshareFlags::NEWNS)?;
        }
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
        Ok(())
    }

    /// A user namespace, in which the process stays who it is.
    fn take_user_namespace(and: UnshareFlags) -> io::Result<()> {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        unshare(UnshareFlags::NEWUSER | and)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
        Ok(())
    }

    /// Covers what is hidden, and puts back what is kept.
    pub(super) fn hide(launch: &Launch) -> io::Result<()> {
        let within = |path: &PathBuf| launch.hidden.iter().any(|hidden| path.starts_with(hidden));
        // Held open, they can be reached when nothing leads there any more.
        let kept = launch.kept.iter().filter(|path| within(path));
        let kept = kept.map(|path| Ok((path, File::open(path)?))).collect::<io::Result<Vec<_>>>()?;
        let (folders, files): (Vec<_>, Vec<_>) = launch.hidden.iter().partition(|path| path.is_dir());
        for folder in folders {
            // One in another is gone already.
            if folder.is_dir() {
                let flags = MountFlags::NOSUID | MountFlags::NODEV;
                mount("tmpfs", folder, "tmpfs", flags, Some(c"mode=755,size=64k"))?;
            }
        }
        for (path, file) in kept {
            fs::create_dir_all(path)?;
            mount_bind_recursive(format!("/proc/self/fd/{}", file.as_raw_fd()), path)?;
        }
        for file in files {
            if file.exists() {
                mount_bind_recursive("/dev/null", file)?;
            }
        }
        Ok(())
    }

    /// Puts layers at `/opt`, a later one over an earlier one and all of them over what there is: an interpreter may be.
    pub(super) fn mount_layers(layers: &[PathBuf]) -> io::Result<()> {
        let mut lower = b"lowerdir=".to_vec();
        for layer in layers.iter().rev() {
            for byte in layer.as_os_str().as_bytes() {
                if b"\\:,".contains(byte) {
                    lower.push(b'\\');
                }
                lower.push(*byte);
            }
            lower.push(b':');
        }
        lower.extend_from_slice(OPT.as_bytes());
        let lower = CString::new(lower)?;
        mount("overlay", OPT, "overlay", MountFlags::RDONLY | MountFlags::NODEV, Some(&*lower))?;
        Ok(())
    }

    pub(super) fn bind(from: &Path, to: &Path) -> io::Result<()> {
        Ok(mount_bind_recursive(from, to)?)
    }

    /// No capability is left, and none can be had again by running another program.
    pub(super) fn give_up_rights(launch: &Launch) -> io::Result<()> {
        if let Some((user, group)) = launch.user {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            set_thread_groups(&[])?;
            set_thread_res_gid(group, group, group)?;
            set_thread_res_uid(user, user, user)?;
            // Otherwise the files of the process in `/proc` are root's now.
            set_dumpable_behavior(DumpableBehavior::Dumpable)?;
        }
        if launch.alone {
            take_user_namespace(UnshareFlags::empty())?;
        }
        for capability in CapabilitySet::all().iter() {
            match remove_capability_from_bounding_set(capability) {
                // Without the right to do this, or where the kernel knows no such capability, the steps below are enough.
                Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        set_no_new_privs(true)?;
        let _ = clear_ambient_capability_set();
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
        Ok(())
    }
}
