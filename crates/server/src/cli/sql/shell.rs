//! The prompt: line editing, history, completion, and commands that begin with a backslash.

mod commands;
mod names;
mod prompt;
mod terminal;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustyline::config::{Builder, CompletionType};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use tidemill_engine::run::STACK_BYTES;

use super::client::{Client, Listing};
use super::failure::Failure;
use super::output::{Output, Style};
use super::runner::{Runner, say};
use commands::{Command, Flag};
use names::Names;
use prompt::Prompt;

const PROMPT: &str = "tidemill> ";
const HISTORY_ENTRIES: usize = 10_000;

type Editor = rustyline::Editor<Prompt, FileHistory>;

/// A prompt on the terminal.
pub(super) struct Shell(Editor);

impl Shell {
    /// Takes over the terminal, to complete the names that this client knows.
    pub(super) fn open(client: &Arc<dyn Client>) -> Result<Self, Failure> {
        let names = Names::new(Arc::clone(client), tokio::runtime::Handle::current());
        editor(names).map(Self).map_err(broken)
    }

    /// Reads and runs statements and commands until the user leaves.
    pub(super) async fn run(self, runner: &mut Runner) -> Result<(), Failure> {
        let Self(mut editor) = self;
        let history = history_file();
        if let Some(path) = &history {
            // No history yet is how every history begins.
            let _ = editor.load_history(path);
        }
        say("Statements end with a semicolon. \\? lists the commands, \\q or Ctrl-D leaves.");
        loop {
            let line;
            (editor, line) = read(editor).await?;
            match line {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => {
                    remember(&mut editor, &text, history.as_deref());
                    runner.forget_interrupts();
                    if step(runner, &text).await.is_break() {
                        return Ok(());
                    }
                    if let Some(prompt) = editor.helper() {
                        prompt.forget();
                    }
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => {
                    let failure = broken(error);
                    say(&failure.explain(""));
                    return Err(failure);
                }
            }
        }
    }
}

/// Reads on a thread of its own: that can be left behind when a signal ends us.
async fn read(mut editor: Editor) -> Result<(Editor, rustyline::Result<String>), Failure> {
    let mode = terminal::Mode::saved();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let reading = move || {
        let line = editor.readline(PROMPT);
        // Nobody waits for a line any more when we end.
        let _ = sender.send((editor, line));
    };
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(reading).map_err(|error| broken(error.into()))?;
    let read = receiver.await;
    mode.forget();
    read.map_err(|_| Failure::Output("the line editor broke".to_owned()))
}

fn broken(error: ReadlineError) -> Failure {
    Failure::Output(format!("cannot read from the terminal: {error}"))
}

fn editor(names: Names) -> Result<Editor, ReadlineError> {
    let config = Builder::new()
        .max_history_size(HISTORY_ENTRIES)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Prompt::new(names)));
    Ok(editor)
}

/// Adds to the history, and to its file at once: a shell that is killed forgets nothing.
fn remember(editor: &mut Editor, text: &str, path: Option<&Path>) {
    if let (Ok(true), Some(path)) = (editor.add_history_entry(text.trim_end()), path) {
        if let Some(folder) = path.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        let _ = editor.append_history(path);
    }
}

/// `$XDG_STATE_HOME/tidemill/sql_history`, by default below `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let absolute = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("tidemill/sql_history"))
}

/// Does what the user typed. What fails is explained and ends nothing.
async fn step(runner: &mut Runner, text: &str) -> ControlFlow<()> {
    if !text.trim_start().starts_with('\\') {
        // Explained already.
        let _ = runner.script(text).await;
        return ControlFlow::Continue(());
    }
    match Command::parse(text) {
        Ok(Command::Quit) => ControlFlow::Break(()),
        Ok(command) => {
            if let Err(failure) = obey(runner, command).await {
                say(&failure.explain(""));
            }
            ControlFlow::Continue(())
        }
        Err(message) => {
            say(&message);
            ControlFlow::Continue(())
        }
    }
}

async fn obey(runner: &mut Runner, command: Command<'_>) -> Result<(), Failure> {
    match command {
        Command::Run(sql) => {
            let _ = runner.script(&sql).await;
        }
        Command::Include(path) => {
            let _ = runner.script(&super::read_script(Path::new(path))?).await;
        }
        Command::Use { catalog, schema } => {
            check_place(runner, catalog, schema).await?;
            let _ = runner.script(&commands::use_place(catalog, schema)).await;
        }
        Command::Help => say(&commands::help()),
        Command::Timing(flag) => {
            runner.timing = flag.apply(runner.timing);
            say(if runner.timing { "Timing is on." } else { "Timing is off." });
        }
        Command::Expanded(flag) => {
            runner.style.expanded = flag.apply(runner.style.expanded);
            say(if runner.style.expanded { "Expanded display is on." } else { "Expanded display is off." });
        }
        Command::Format(format) => {
            if !format.is_text() && runner.output.is_terminal() {
                let message = "a terminal cannot show Parquet or Arrow; choose a file by \\o FILE first";
                return Err(Failure::Usage(message.to_owned()));
            }
            runner.style = Style { format, ..runner.style };
        }
        Command::Output(path) => {
            let next = match path {
                Some(path) => Output::file(Path::new(path))?,
                None if !runner.style.format.is_text() => {
                    runner.style.format = super::Format::Table;
                    Output::stdout()
                }
                None => Output::stdout(),
            };
            std::mem::replace(&mut runner.output, next).close()?;
        }
        Command::Quit => {}
    }
    Ok(())
}

/// Settings take any name, for what will be there later; a typing error should be told now.
async fn check_place(runner: &Runner, catalog: &str, schema: Option<&str>) -> Result<(), Failure> {
    let missing =
        |known: Option<Vec<String>>, name: &str| known.is_some_and(|known| !known.iter().any(|at| at == name));
    if missing(runner.client.names(Listing::Catalogs).await, catalog) {
        return Err(Failure::Usage(format!("catalog '{catalog}' not found; \\l lists the catalogs")));
    }
    if let Some(schema) = schema
        && missing(runner.client.names(Listing::Schemas { catalog }).await, schema)
    {
        let hint = format!("\\dn {catalog} lists the schemas");
        return Err(Failure::Usage(format!("schema '{schema}' not found in catalog '{catalog}'; {hint}")));
    }
    Ok(())
}

impl Flag {
    fn apply(self, current: bool) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
            Self::Toggle => !current,
        }
    }
}
