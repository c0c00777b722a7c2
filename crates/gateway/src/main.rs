//! `stagedoor`: an API gateway that runs Amazon API Gateway definitions on any machine.
//!
//! This crate is the wiring: it reads the command line and the configuration, opens the store, starts the control
//! plane, the functions and the workers, and ends them in order. What they do is in their own crates.

mod acme;
mod check;
mod cli;
mod config;
mod control;
mod credentials;
mod data_folder;
mod domains;
mod explain;
mod issuers;
mod lambda;
mod logging;
mod memory;
mod principals;
mod publisher;
mod remote_lambda;
mod report;
mod secrets;
mod serve;
mod sign;
mod tester;
mod token;
mod up;
mod usage;
mod vpc_links;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command};
use crate::serve::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The gateway starts itself again for each process of a function: see the functions' `walls`.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == stagedoor_functions::LAUNCH) {
        return stagedoor_functions::launch();
    }
    let cli = Cli::parse();
    // Who develops wants to see each request; who serves traffic has no time for that. What watches files tells of folders
    // that are gone, and nobody has to be told.
    let usual = match cli.command {
        Command::Up { .. } => "info,notify=error,request=debug",
        _ => "info,notify=error",
    };
    let logging =
        logging::start(cli.log_format, cli.log.as_deref().unwrap_or(usual)).map_err(Failure::Config);
    let result = match cli.command {
        Command::Serve(options) => logging.and_then(|()| serve::run(&options, None)),
        Command::Up { path, options } => logging.and_then(|()| serve::run(&options, Some(&path))),
        Command::Credentials { command } => {
            credentials::run(&command).map_err(Failure::Config).map(|shown| {
                println!("{shown:#}");
            })
        }
        Command::Token(options) => {
            token::run(&options).map_err(Failure::Config).map(|token| println!("{token}"))
        }
        Command::Sign(options) => {
            sign::run(&options).map_err(Failure::Config).map(|headers| println!("{headers}"))
        }
        Command::Explain(options) => match explain::run(&options) {
            Ok((text, passes)) => {
                println!("{text}");
                return if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            }
            Err(error) => Err(Failure::Config(error)),
        },
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "stagedoor", &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::failure(&failure);
            failure.exit_code()
        }
    }
}
