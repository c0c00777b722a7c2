//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::credentials::CredentialsCommand;
use crate::explain::ExplainOptions;
use crate::sign::SignOptions;
use crate::token::TokenOptions;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0  ended as asked, by SIGTERM or Ctrl-C
  1  failed for a reason not listed below
  2  the command line or the configuration file is wrong
  3  an address cannot be listened on
  4  the store cannot be used
  5  the definitions that `up` was given are wrong";

/// An API gateway that runs Amazon API Gateway definitions on any machine.
#[derive(Debug, Parser)]
#[command(version, styles = STYLES, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How log lines are written to standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "STAGEDOOR_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Which log lines are written: a level, or levels by target such as `info,function=debug`. `serve` logs at
    /// `info`; `up` adds a line for each request (`info,request=debug`).
    #[arg(long, global = true, env = "STAGEDOOR_LOG")]
    pub(crate) log: Option<String>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the APIs that are in the store, and AWS's control-plane calls that change them.
    Serve(ServeOptions),
    /// Serve, with a project's definitions applied, and applied again whenever they are edited.
    Up {
        /// An OpenAPI document, or a directory that holds one.
        #[arg(default_value = ".")]
        path: PathBuf,
        #[command(flatten)]
        options: ServeOptions,
    },
    /// Manage the access keys that requests to methods with AWS_IAM are signed with.
    Credentials {
        /// What to do.
        #[command(subcommand)]
        command: CredentialsCommand,
    },
    /// Make a token as a user pool does, signed by the built-in issuer, and print it.
    Token(TokenOptions),
    /// Sign a request to a method with AWS_IAM, and print its headers.
    Sign(SignOptions),
    /// Say which statement of which policy decides a request. Fails if the request would be refused.
    Explain(ExplainOptions),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// How to serve.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeOptions {
    /// Where API traffic is served, and nothing else.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address, default_value = "127.0.0.1:8080", env = "STAGEDOOR_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// Where AWS's control-plane calls are answered (API traffic too). On an address other than loopback this needs
    /// credentials in the configuration file.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address, default_value = "127.0.0.1:4566", env = "STAGEDOOR_CONTROL")]
    pub(crate) control: SocketAddr,
    /// Where definitions and functions are kept.
    #[arg(long, value_name = "DIR", default_value = ".stagedoor", env = "STAGEDOOR_DATA")]
    pub(crate) data: PathBuf,
    /// A configuration file in TOML: region, account_id, and [[credentials]].
    #[arg(long, value_name = "FILE", env = "STAGEDOOR_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Threads that serve traffic; one per core unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), env = "STAGEDOOR_WORKERS")]
    pub(crate) workers: Option<u16>,
}

/// An address to listen on. `localhost` is taken as 127.0.0.1, so that one socket is enough.
fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric =
        text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map_err(|_| {
        "write it as ADDRESS:PORT, such as 127.0.0.1:8080, 0.0.0.0:8080 (all of IPv4) or [::]:8080 (all)"
            .to_owned()
    })
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line of text each, coloured on a terminal.
    Text,
    /// One JSON object each.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_to_listen_on() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(address(text).ok().map(|address| address.to_string()).as_deref(), expected, "{text}");
        };
        check("127.0.0.1:80", Some("127.0.0.1:80"));
        check("localhost:8080", Some("127.0.0.1:8080"));
        check("[::1]:0", Some("[::1]:0"));
        check(":8080", None);
        check("example.org:80", None);
        check("127.0.0.1", None);
    }

    #[test]
    fn the_fixed_defaults_hold() {
        let cli = Cli::parse_from(["stagedoor", "serve"]);
        let Command::Serve(options) = cli.command else { panic!("serve was asked for") };
        assert_eq!(options.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(options.control.to_string(), "127.0.0.1:4566");
        assert_eq!(options.data.to_string_lossy(), ".stagedoor");
    }
}
