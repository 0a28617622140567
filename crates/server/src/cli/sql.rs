//! `tidemill sql`: statements from the command line, a script or a prompt, against this process or a server.

mod address;
mod client;
mod embedded;
mod ending;
mod failure;
mod flight;
mod output;
mod progress;
mod remote;
mod runner;
mod scratch;
mod script;
mod shell;
mod unreachable;

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tidemill_engine::auth::Secret;

use super::config::ConfigArgs;
use address::{Login, Protocol};
use client::Client;
use ending::Ending;
use failure::{EXIT_CODES, Failure};
use flight::Flight;
use output::{Format, Output, Style};
use remote::Remote;
use runner::{Runner, say};
use shell::Shell;

const PASSWORD_VARIABLE: &str = "TIDEMILL_PASSWORD";

/// Run SQL, or open a prompt.
///
/// Without --url, the statements run in this process, on the same configuration as `tidemill serve`. Without -c and -f,
/// a terminal gets a prompt, and anything else is read as a script. Only results go to standard output.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct SqlArguments {
    /// Statements to run, separated by semicolons, up to the first that fails; -c again adds to them.
    #[arg(short = 'c', long, value_name = "SQL", conflicts_with = "file")]
    command: Vec<String>,

    /// A script to run; `-` is standard input.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// The form of the results. `parquet` and `arrow` need -o or a pipe, and hold one result.
    ///
    /// Where there are several results, a blank line stands between them; of `json`, each is one document on one line.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// Write the results to a file, which appears when all of them are there.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// A server to connect to, such as http://127.0.0.1:8080; it has its own configuration.
    ///
    /// http:// and https:// ask it over HTTP, grpc://HOST:PORT and grpc+tls://HOST:PORT by Flight SQL.
    #[arg(long, conflicts_with_all = ["config", "data_dir", "set"])]
    url: Option<String>,

    /// The user at the server. The password is TIDEMILL_PASSWORD from the environment, or asked for.
    #[arg(long, requires = "url")]
    user: Option<String>,

    /// Log in to the server with the API token in this environment variable.
    #[arg(long, value_name = "VARIABLE", requires = "url", conflicts_with = "user",
          num_args = 0..=1, default_missing_value = "TIDEMILL_TOKEN")]
    token_env: Option<String>,

    /// Where the configuration of the engine in this process comes from.
    #[command(flatten)]
    from: ConfigArgs,
}

/// What to run.
enum Input {
    /// Each begins with a statement of its own.
    Scripts(Vec<String>),
    Prompt,
}

/// Runs the command.
pub async fn run(arguments: SqlArguments) -> ExitCode {
    match execute(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit_code(),
    }
}

/// Every failure has been explained to the user when this returns.
async fn execute(arguments: SqlArguments) -> Result<(), Failure> {
    let explain = |failure: &Failure| say(&failure.explain(""));
    // Waits for whoever writes the script, who may end us in the plain way.
    let input = read_input(&arguments).inspect_err(explain)?;
    let ending = Ending::listen();
    let prepared = tokio::select! {
        prepared = Box::pin(prepare(&arguments)) => prepared,
        ended = ending.asked() => Err(ended),
    };
    let (output, client) = prepared.inspect_err(explain)?;

    let outcome = {
        let mut running = Box::pin(run_input(input, &client, output, arguments.format));
        tokio::select! {
            outcome = &mut running => outcome,
            ended = ending.asked() => {
                // While its answer is still held, as with Ctrl-C.
                runner::cancel(&*client).await;
                explain(&ended);
                Err(ended)
            }
        }
    };
    client.close().await;
    outcome?.finish().inspect_err(explain)
}

/// Where the results go, and who makes them.
async fn prepare(arguments: &SqlArguments) -> Result<(Output, Arc<dyn Client>), Failure> {
    let output = open_output(arguments)?;
    let client = match &arguments.url {
        Some(url) => connect(url, arguments).await?,
        None => embedded::open(&arguments.from).await.map_err(|error| Failure::Usage(super::told(&error)))?,
    };
    Ok((output, client))
}

/// A session of the server, in the protocol of its URL.
async fn connect(url: &str, arguments: &SqlArguments) -> Result<Arc<dyn Client>, Failure> {
    let (protocol, url) = address::parse(url)?;
    let login = login(arguments)?;
    Ok(match protocol {
        Protocol::Http => Arc::new(Remote::connect(url, login).await?),
        Protocol::FlightSql => Arc::new(Flight::connect(url, login).await?),
    })
}

/// Runs everything, and returns the runner with what it has not written yet.
async fn run_input(input: Input, client: &Arc<dyn Client>, output: Output, format: Format) -> Result<Runner, Failure> {
    let style = Style { format, expanded: false };
    match input {
        Input::Scripts(texts) => {
            let mut runner = Runner::new(Arc::clone(client), output, style);
            for text in texts {
                runner.script(&text).await?;
            }
            Ok(runner)
        }
        Input::Prompt => {
            // The shell takes Ctrl-C for itself when it opens: the runner has to come after it.
            let shell = Shell::open(client).inspect_err(|failure| say(&failure.explain("")))?;
            let mut runner = Runner::new(Arc::clone(client), output, style);
            shell.run(&mut runner).await?;
            Ok(runner)
        }
    }
}

fn open_output(arguments: &SqlArguments) -> Result<Output, Failure> {
    match &arguments.output {
        Some(path) => Output::file(path),
        None if !arguments.format.is_text() && io::stdout().is_terminal() => {
            let message = "a terminal cannot show Parquet or Arrow; give -o FILE, or pipe the output";
            Err(Failure::Usage(message.to_owned()))
        }
        None => Ok(Output::stdout()),
    }
}

fn read_input(arguments: &SqlArguments) -> Result<Input, Failure> {
    let stdin = || {
        let mut text = String::new();
        let read = io::stdin().read_to_string(&mut text);
        read.map_err(|error| Failure::Usage(format!("cannot read a script from standard input: {error}")))?;
        Ok(Input::Scripts(vec![text]))
    };
    match (arguments.command.as_slice(), arguments.file.as_deref()) {
        ([], Some(path)) if path == Path::new("-") => stdin(),
        ([], Some(path)) => read_script(path).map(|text| Input::Scripts(vec![text])),
        ([], None) if io::stdin().is_terminal() => Ok(Input::Prompt),
        ([], None) => stdin(),
        (texts, _) => Ok(Input::Scripts(texts.to_vec())),
    }
}

fn read_script(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("cannot read the script '{}': {error}", path.display())))
}

fn login(arguments: &SqlArguments) -> Result<Login, Failure> {
    if let Some(variable) = &arguments.token_env {
        let token = std::env::var(variable)
            .map_err(|_| Failure::Usage(format!("the environment variable '{variable}' holds no token")))?;
        return Ok(Login::Token(Secret::new(token)));
    }
    let Some(user) = &arguments.user else { return Ok(Login::Anonymous) };
    let password = std::env::var(PASSWORD_VARIABLE).or_else(|_| ask_password(user))?;
    Ok(Login::Password(user.clone(), Secret::new(password)))
}

fn ask_password(user: &str) -> Result<String, Failure> {
    let terminal = console::Term::stderr();
    if !terminal.is_term() || !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("no password for '{user}'; set {PASSWORD_VARIABLE}")));
    }
    let read = terminal.write_str(&format!("Password for {user}: ")).and_then(|()| terminal.read_secure_line());
    read.map_err(|error| Failure::Usage(format!("cannot read the password: {error}")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        sql: SqlArguments,
    }

    fn parse(arguments: &[&str]) -> Result<SqlArguments, clap::Error> {
        Command::try_parse_from([&["sql"], arguments].concat()).map(|command| command.sql)
    }

    #[test]
    fn contradicting_arguments_are_refused() {
        for bad in [
            &["-c", "x", "-f", "y"][..],
            &["--user", "u"],
            &["--token-env", "T"],
            &["--format", "xml"],
            &["--url", "http://h", "--set", "memory.limit=1GiB"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let token = parse(&["--url", "http://h", "--token-env"]).unwrap();
        assert_eq!(token.token_env.as_deref(), Some("TIDEMILL_TOKEN"));
    }

    #[test]
    fn a_missing_script_or_token_is_a_usage_failure() {
        let script = parse(&["-f", "/does/not/exist.sql"]).unwrap();
        assert!(matches!(read_input(&script), Err(Failure::Usage(_))));
        let token = parse(&["--url", "http://h", "--token-env", "TIDEMILL_TEST_NO_SUCH_VARIABLE"]).unwrap();
        assert!(matches!(login(&token), Err(Failure::Usage(_))));
    }
}
