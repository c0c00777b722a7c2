//! What a function is: its name, runtime, handler, code and limits, in Lambda's terms and within Lambda's bounds.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::error::ConfigError;

/// The version of code that was not published, which is what a name without a qualifier means.
pub const LATEST: &str = "$LATEST";

/// The most invocations of one function at a time unless it has a reserved concurrency: AWS's account quota.
pub const CONCURRENCY_DEFAULT: usize = 1000;

/// The languages that functions run in, by AWS's identifiers. What runs is the interpreter installed here; the
/// version of the identifier reaches the function as `AWS_EXECUTION_ENV` and picks `python3.N` or `nodeN` where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// `nodejs18.x` and later; the number is Node's major version.
    Node(u8),
    /// `python3.9` and later; the number is the minor version.
    Python(u8),
    /// `provided`, `provided.al2` or `provided.al2023`: an executable named `bootstrap`.
    Provided(&'static str),
}

const RUNTIMES: &str = "nodejs18.x, nodejs20.x, nodejs22.x, nodejs24.x, python3.9 to python3.14, provided, \
                        provided.al2, provided.al2023";

impl Runtime {
    /// Whether the function is an executable that speaks the Runtime API, and not run by a bootstrap of ours.
    pub(crate) fn is_foreign(self) -> bool {
        matches!(self, Self::Provided(_))
    }
}

impl FromStr for Runtime {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "nodejs18.x" => Ok(Self::Node(18)),
            "nodejs20.x" => Ok(Self::Node(20)),
            "nodejs22.x" => Ok(Self::Node(22)),
            "nodejs24.x" => Ok(Self::Node(24)),
            "python3.9" => Ok(Self::Python(9)),
            "python3.10" => Ok(Self::Python(10)),
            "python3.11" => Ok(Self::Python(11)),
            "python3.12" => Ok(Self::Python(12)),
            "python3.13" => Ok(Self::Python(13)),
            "python3.14" => Ok(Self::Python(14)),
            "provided" => Ok(Self::Provided("provided")),
            "provided.al2" => Ok(Self::Provided("provided.al2")),
            "provided.al2023" => Ok(Self::Provided("provided.al2023")),
            other => Err(ConfigError::Runtime { found: other.to_owned(), known: RUNTIMES }),
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(major) => write!(out, "nodejs{major}.x"),
            Self::Python(minor) => write!(out, "python3.{minor}"),
            Self::Provided(name) => out.write_str(name),
        }
    }
}

/// One function, or one published version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionConfig {
    /// 1 to 64 letters, digits, hyphens and underscores.
    pub name: String,
    /// What runs it.
    pub runtime: Runtime,
    /// `users.handler`: a file below the code directory without its extension, and the function in it. For
    /// [`Runtime::Provided`] it only reaches the executable as `_HANDLER`.
    pub handler: String,
    /// The directory that holds the code; absolute after [`crate::Functions::put`].
    pub code: PathBuf,
    /// The function's own environment variables.
    pub environment: BTreeMap<String, String>,
    /// Directories of layers, the first first; a later one wins.
    pub layers: Vec<PathBuf>,
    /// How long one invocation may take: 1 s to 900 s.
    pub timeout: Duration,
    /// Resident memory of the process, 128 to 10,240 MB; a process above it is killed.
    pub memory_mb: u32,
    /// How many invocations may be under way at a time (reserved concurrency); one more is refused. How many processes
    /// that means is [`crate::Settings::processes_max`].
    pub concurrency: usize,
    /// The function's ARN without a qualifier.
    pub arn: String,
    /// [`LATEST`] or the number of a published version.
    pub version: String,
    /// Whether edits in the code directory take effect by themselves.
    pub watch: bool,
    /// The log group that the function is told of, unless it is Lambda's own for it.
    pub log_group: Option<String>,
}

impl FunctionConfig {
    /// A function with Lambda's defaults (3 s, 128 MB), an ARN in the default account and region, and hot reload.
    pub fn new(name: &str, runtime: Runtime, handler: &str, code: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            runtime,
            handler: handler.to_owned(),
            code: code.into(),
            environment: BTreeMap::new(),
            layers: Vec::new(),
            timeout: Duration::from_secs(3),
            memory_mb: 128,
            concurrency: CONCURRENCY_DEFAULT,
            arn: format!("arn:aws:lambda:us-east-1:000000000000:function:{name}"),
            version: LATEST.to_owned(),
            watch: true,
            log_group: None,
        }
    }

    /// The region named in the ARN.
    pub(crate) fn region(&self) -> &str {
        self.arn.split(':').nth(3).filter(|region| !region.is_empty()).unwrap_or("us-east-1")
    }

    /// The log group that the function is told of.
    pub(crate) fn log_group(&self) -> String {
        self.log_group.clone().unwrap_or_else(|| format!("/aws/lambda/{}", self.name))
    }

    /// Holds the limits that AWS holds, and makes the code directory absolute.
    pub(crate) fn check(&mut self) -> Result<(), ConfigError> {
        let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(named) {
            return Err(ConfigError::Name(self.name.clone()));
        }
        if self.timeout < Duration::from_secs(1) || self.timeout > Duration::from_secs(900) {
            return Err(ConfigError::Timeout(self.timeout.as_secs_f64()));
        }
        if !(128..=10_240).contains(&self.memory_mb) {
            return Err(ConfigError::Memory(self.memory_mb));
        }
        for (name, value) in &self.environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(ConfigError::Environment(name.clone()));
            }
        }
        if !self.code.is_dir() {
            return Err(ConfigError::Code { function: self.name.clone(), code: self.code.clone() });
        }
        self.code = self
            .code
            .canonicalize()
            .map_err(|_| ConfigError::Code { function: self.name.clone(), code: self.code.clone() })?;
        Ok(())
    }

    /// The file that holds the handler, or an error that lists the files that were looked for.
    pub fn handler_file(&self) -> Result<PathBuf, ConfigError> {
        let looked_for = self.handler_candidates()?;
        match looked_for.iter().find(|file| file.is_file()) {
            Some(file) if matches!(self.runtime, Runtime::Provided(_)) && !is_executable(file) => {
                Err(ConfigError::NotExecutable { function: self.name.clone(), file: file.clone() })
            }
            Some(file) => Ok(file.clone()),
            None => Err(ConfigError::HandlerFile {
                function: self.name.clone(),
                handler: self.handler.clone(),
                looked_for,
            }),
        }
    }

    fn handler_candidates(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let malformed =
            || ConfigError::Handler { function: self.name.clone(), handler: self.handler.clone() };
        if matches!(self.runtime, Runtime::Provided(_)) {
            return Ok(vec![self.code.join("bootstrap")]);
        }
        if self.handler.contains("..") || self.handler.starts_with('/') {
            return Err(malformed());
        }
        // Node takes the first dot of the last segment, since exports nest; Python takes the last, since modules do.
        let (folder, base) = self.handler.rsplit_once('/').unwrap_or(("", &self.handler));
        let split = match self.runtime {
            Runtime::Python(_) => base.rsplit_once('.'),
            _ => base.split_once('.'),
        };
        let (stem, function) = split.ok_or_else(malformed)?;
        if stem.is_empty() || function.is_empty() {
            return Err(malformed());
        }
        let folder = self.code.join(folder);
        let named = |suffix: &str, stem: &str| folder.join(format!("{stem}{suffix}"));
        Ok(match self.runtime {
            Runtime::Python(_) => {
                let path = stem.replace('.', "/");
                vec![named(".py", &path), folder.join(Path::new(&path)).join("__init__.py")]
            }
            _ => {
                let mut files: Vec<_> = [".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"]
                    .iter()
                    .map(|suffix| named(suffix, stem))
                    .collect();
                files.push(folder.join(stem).join("index.js"));
                files
            }
        })
    }
}

/// Whether anybody may run a file.
pub(crate) fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

/// A function as callers name it: by name, partial ARN or ARN, with or without a qualifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionRef<'a> {
    /// The function's name.
    pub name: &'a str,
    /// A version or an alias; none means [`LATEST`].
    pub qualifier: Option<&'a str>,
}

impl<'a> FunctionRef<'a> {
    /// Takes a name apart; none if it has not the form of one. The region and the account of an ARN are not compared:
    /// functions of any live here.
    pub fn parse(text: &'a str) -> Option<Self> {
        let rest = match text.find("function:") {
            Some(at) if at == 0 || text[..at].ends_with(':') => &text[at + "function:".len()..],
            _ if text.starts_with("arn:") => return None,
            _ => text,
        };
        let (name, qualifier) = match rest.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (rest, None),
        };
        let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let qualified = |c: char| named(c) || c == '$';
        let good = !name.is_empty()
            && name.len() <= 64
            && name.chars().all(named)
            && qualifier.is_none_or(|q| !q.is_empty() && q.len() <= 128 && q.chars().all(qualified));
        good.then_some(Self { name, qualifier })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: Option<(&str, Option<&str>)>) {
        let found = FunctionRef::parse(text).map(|found| (found.name, found.qualifier));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn names_take_every_form_that_lambda_takes() {
        check("users", Some(("users", None)));
        check("users:3", Some(("users", Some("3"))));
        check("users:$LATEST", Some(("users", Some("$LATEST"))));
        check("function:users:live", Some(("users", Some("live"))));
        check("000000000000:function:users", Some(("users", None)));
        check("arn:aws:lambda:us-east-1:000000000000:function:users", Some(("users", None)));
        check("arn:aws:lambda:eu-west-1:111111111111:function:users:prod", Some(("users", Some("prod"))));
        check("arn:aws:s3:::bucket", None);
        check("", None);
        check("a b", None);
        check("users:", None);
        check("users:1:2", None);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in ".{0,80}") {
            let _ = FunctionRef::parse(&text);
            let _ = text.parse::<Runtime>();
        }

        #[test]
        fn a_taken_name_is_found_again(name in "[a-zA-Z0-9_-]{1,64}", qualifier in proptest::option::of("[a-zA-Z0-9_$-]{1,20}")) {
            let mut arn = format!("arn:aws:lambda:us-east-1:000000000000:function:{name}");
            if let Some(qualifier) = &qualifier {
                arn.push(':');
                arn.push_str(qualifier);
            }
            check(&arn, Some((&name, qualifier.as_deref())));
        }
    }

    #[test]
    fn runtimes_keep_their_names() {
        for name in ["nodejs20.x", "python3.12", "provided.al2023", "provided"] {
            assert_eq!(name.parse::<Runtime>().map(|runtime| runtime.to_string()).unwrap(), name);
        }
        assert!("java21".parse::<Runtime>().unwrap_err().to_string().contains("nodejs22.x"));
    }

    #[test]
    fn a_missing_handler_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let config = FunctionConfig::new("users", Runtime::Node(20), "src/users.handler", dir.path());
        let message = config.handler_file().unwrap_err().to_string();
        assert!(message.contains("src/users.mjs"), "{message}");
        let config = FunctionConfig::new("users", Runtime::Python(12), "handler", dir.path());
        assert!(matches!(config.handler_file(), Err(ConfigError::Handler { .. })));
    }

    #[test]
    fn a_bootstrap_must_be_executable() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bootstrap");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        let config = FunctionConfig::new("users", Runtime::Provided("provided"), "", dir.path());
        let check = |mode: u32, expected: Option<String>| {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(config.handler_file().err().map(|error| error.to_string()), expected);
        };
        let path = file.display();
        check(
            0o644,
            Some(format!("the function users cannot run {path}: it is not executable; chmod +x {path}")),
        );
        check(0o755, None);
    }
}
