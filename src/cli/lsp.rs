//! `jackal lsp`: the Language Server Protocol 3.17 over stdin and stdout.
//!
//! One thread reads messages, one answers them in their order. Mistakes are published once
//! no message came for a moment.

mod messages;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use clap::Args;
use gen_lsp_types as lsp;
use lsp_server::{Message, Notification, Request, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use messages::{Incoming, read_all};

use super::command_error::CommandError;
use super::exit::Exit;
use super::options::PlaceArgs;
use super::uri::{self, path_of};
use crate::app::{Editor, Finding, Offer, OfferKind, Severity};
use crate::yaml::Span;

/// Arguments of `jackal lsp`.
#[derive(Args)]
pub(super) struct LspArgs {
    /// Ignored: editors pass it
    #[arg(long, hide = true)]
    stdio: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// How long typing must pause before files are checked.
const PAUSE: Duration = Duration::from_millis(150);

/// The codes of JSON-RPC 2.0, section 5.1, and of the protocol.
const PARSE_ERROR: i32 = -32700;
const INVALID_PARAMS: i32 = -32602;
const METHOD_NOT_FOUND: i32 = -32601;
const NOT_INITIALIZED: i32 = -32002;
const INVALID_REQUEST: i32 = -32600;

pub(super) fn run(args: LspArgs) -> Result<(), CommandError> {
    let editor = Editor::new(args.place.into_place()?);
    let (sender, receiver) = sync_channel(64);
    std::thread::spawn(move || read_all(&mut io::stdin().lock(), &sender));
    let mut server = Server {
        editor,
        out: io::stdout(),
        state: State::New,
        published: BTreeSet::new(),
        stale: false,
    };
    loop {
        let incoming = match server.stale {
            true => match receiver.recv_timeout(PAUSE) {
                Err(RecvTimeoutError::Timeout) => {
                    server.publish()?;
                    continue;
                }
                other => other.ok(),
            },
            false => receiver.recv().ok(),
        };
        match incoming {
            Some(Incoming::Message(Message::Request(request))) => server.request(request)?,
            Some(Incoming::Message(Message::Notification(message))) => {
                if message.method == "exit" {
                    return server.ended();
                }
                server.notification(message)?;
            }
            // Nothing is asked of the client.
            Some(Incoming::Message(Message::Response(_))) => {}
            Some(Incoming::Malformed(why)) => server.malformed(&why)?,
            None => return server.ended(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Initialized,
    ShutDown,
}

struct Server<W> {
    editor: Editor,
    out: W,
    state: State,
    /// Files with mistakes that the client shows.
    published: BTreeSet<PathBuf>,
    /// Whether something changed since mistakes were published.
    stale: bool,
}

impl<W: Write> Server<W> {
    /// The client is gone; without `shutdown`, that is an error.
    fn ended(&self) -> Result<(), CommandError> {
        match self.state {
            State::ShutDown => Ok(()),
            _ => Err(CommandError::new(
                Exit::Task,
                "the client ended without `shutdown`",
            )),
        }
    }

    fn send(&mut self, message: &Message) -> Result<(), CommandError> {
        let sent = message.write(&mut self.out);
        sent.map_err(|error| CommandError::io("write to the client", error))
    }

    fn notify(&mut self, method: &str, params: impl Serialize) -> Result<(), CommandError> {
        let params = serde_json::to_value(params).unwrap_or_default();
        let method = method.to_owned();
        self.send(&Message::Notification(Notification { method, params }))
    }

    fn malformed(&mut self, why: &str) -> Result<(), CommandError> {
        let message = format!("malformed message ({PARSE_ERROR}): {why}");
        self.notify(
            "window/logMessage",
            serde_json::json!({"type": 1, "message": message}),
        )
    }

    fn request(&mut self, request: Request) -> Result<(), CommandError> {
        let Request { id, method, params } = request;
        let answer = match (self.state, method.as_str()) {
            (State::New, "initialize") => {
                self.state = State::Initialized;
                Ok(serde_json::to_value(capabilities()).unwrap_or_default())
            }
            (State::New, _) => Err((NOT_INITIALIZED, "not initialized".to_owned())),
            (State::ShutDown, _) => Err((INVALID_REQUEST, "shut down".to_owned())),
            (_, "initialize") => Err((INVALID_REQUEST, "initialized before".to_owned())),
            (_, "shutdown") => {
                self.state = State::ShutDown;
                Ok(Value::Null)
            }
            (_, "textDocument/completion") => {
                self.at(params, |server, params: lsp::CompletionParams| {
                    server.complete(&params.text_document_position_params)
                })
            }
            (_, "textDocument/hover") => self.at(params, |server, params: lsp::HoverParams| {
                server.hover(&params.text_document_position_params)
            }),
            (_, "textDocument/definition") => {
                self.at(params, |server, params: lsp::DefinitionParams| {
                    server.definition(&params.text_document_position_params)
                })
            }
            (_, other) => Err((METHOD_NOT_FOUND, format!("no method `{other}`"))),
        };
        let response = match answer {
            Ok(result) => Response::new_ok(id, result),
            Err((code, message)) => Response::new_err(id, code, message),
        };
        self.send(&Message::Response(response))
    }

    fn at<P: DeserializeOwned, R: Serialize>(
        &self,
        params: Value,
        answer: impl Fn(&Self, P) -> R,
    ) -> Result<Value, (i32, String)> {
        let params = serde_json::from_value(params);
        let params = params.map_err(|error| (INVALID_PARAMS, error.to_string()))?;
        Ok(serde_json::to_value(answer(self, params)).unwrap_or_default())
    }

    fn notification(&mut self, message: Notification) -> Result<(), CommandError> {
        let Notification { method, params } = message;
        let done = match method.as_str() {
            "textDocument/didOpen" => serde_json::from_value(params)
                .map(|params: lsp::DidOpenTextDocumentParams| self.opened(params)),
            "textDocument/didChange" => serde_json::from_value(params)
                .map(|params: lsp::DidChangeTextDocumentParams| self.changed(params)),
            "textDocument/didClose" => serde_json::from_value(params)
                .map(|params: lsp::DidCloseTextDocumentParams| self.closed(&params)),
            // Files on disk changed.
            "textDocument/didSave" | "workspace/didChangeWatchedFiles" => {
                self.editor.forget();
                self.stale = true;
                Ok(())
            }
            _ => Ok(()),
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => self.malformed(&error.to_string()),
        }
    }

    fn opened(&mut self, params: lsp::DidOpenTextDocumentParams) {
        let document = params.text_document;
        if let Some(path) = path_of(document.uri.as_ref()) {
            self.editor.open(path, document.text);
            self.stale = true;
        }
    }

    fn changed(&mut self, params: lsp::DidChangeTextDocumentParams) {
        let Some(path) = path_of(params.text_document.text_document_identifier.uri.as_ref()) else {
            return;
        };
        // Whole texts were agreed on; the last one counts.
        let mut last = params
            .content_changes
            .into_iter()
            .filter_map(|change| match change {
                lsp::TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(
                    whole,
                ) => Some(whole.text),
                _ => None,
            });
        if let Some(text) = last.next_back() {
            self.editor.open(path, text);
            self.stale = true;
        }
    }

    fn closed(&mut self, params: &lsp::DidCloseTextDocumentParams) {
        if let Some(path) = path_of(params.text_document.uri.as_ref()) {
            self.editor.close(&path);
            self.stale = true;
        }
    }

    /// Publishes the mistakes in all open files, and takes back those of closed ones.
    fn publish(&mut self) -> Result<(), CommandError> {
        self.stale = false;
        let all = self.editor.findings();
        let gone: Vec<PathBuf> = (self.published.iter())
            .filter(|path| !all.contains_key(*path))
            .cloned()
            .collect();
        for path in gone {
            self.published.remove(&path);
            self.diagnose(&path, Vec::new())?;
        }
        for (path, findings) in all {
            let text = self.editor.text(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let found = findings.iter().map(|finding| diagnostic(finding, &lines));
            let found = found.collect();
            self.diagnose(&path, found)?;
            self.published.insert(path);
        }
        Ok(())
    }

    fn diagnose(
        &mut self,
        path: &Path,
        diagnostics: Vec<lsp::Diagnostic>,
    ) -> Result<(), CommandError> {
        self.notify(
            "textDocument/publishDiagnostics",
            lsp::PublishDiagnosticsParams {
                uri: lsp::Uri::from(uri::of_file(path)),
                version: None,
                diagnostics,
            },
        )
    }

    /// The file of a position, with its line, and its column in characters.
    fn place(&self, at: &lsp::TextDocumentPositionParams) -> Option<(PathBuf, usize, usize)> {
        let path = path_of(at.text_document.uri.as_ref())?;
        let text = self.editor.text(&path)?;
        let line = usize::try_from(at.position.line).ok()?;
        let own = text.lines().nth(line).unwrap_or_default();
        let column = characters(own, at.position.character);
        Some((path, line, column))
    }

    fn complete(&self, at: &lsp::TextDocumentPositionParams) -> Option<Vec<lsp::CompletionItem>> {
        let (path, line, column) = self.place(at)?;
        let text = self.editor.text(&path)?;
        let own = text.lines().nth(line).unwrap_or_default();
        let offers = self.editor.complete(&path, line, column).into_iter();
        let items = offers.enumerate().map(|(index, offer)| {
            let from = units(own, column.saturating_sub(offer.replaces));
            let start = lsp::Position {
                line: at.position.line,
                character: from,
            };
            item(
                offer,
                index,
                lsp::Range {
                    start,
                    end: at.position,
                },
            )
        });
        Some(items.collect())
    }

    fn hover(&self, at: &lsp::TextDocumentPositionParams) -> Option<lsp::Hover> {
        let (path, line, column) = self.place(at)?;
        let value = self.editor.hover(&path, line, column)?;
        let contents = lsp::MarkupContent {
            kind: lsp::MarkupKind::Markdown,
            value,
        };
        Some(lsp::Hover {
            contents: lsp::Contents::MarkupContent(contents),
            range: None,
        })
    }

    fn definition(&self, at: &lsp::TextDocumentPositionParams) -> Option<lsp::Location> {
        let (path, line, column) = self.place(at)?;
        let (target, span) = self.editor.definition(&path, line, column)?;
        let text = self.editor.text_of(&target).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        Some(lsp::Location {
            uri: lsp::Uri::from(uri::of_file(&target)),
            range: range(span, &lines),
        })
    }
}

fn capabilities() -> lsp::InitializeResult {
    let sync = lsp::TextDocumentSyncOptions {
        open_close: Some(true),
        change: Some(lsp::TextDocumentSyncKind::Full),
        save: Some(lsp::Save::Bool(true)),
        ..lsp::TextDocumentSyncOptions::default()
    };
    let triggers = [":", " ", "/", "[", "{", "'", "\""];
    let completion = lsp::CompletionOptions {
        trigger_characters: Some(triggers.map(str::to_owned).to_vec()),
        ..lsp::CompletionOptions::default()
    };
    lsp::InitializeResult {
        capabilities: lsp::ServerCapabilities {
            position_encoding: Some(lsp::PositionEncodingKind::UTF16),
            text_document_sync: Some(sync.into()),
            completion_provider: Some(completion),
            hover_provider: Some(true.into()),
            definition_provider: Some(true.into()),
            ..lsp::ServerCapabilities::default()
        },
        server_info: Some(lsp::ServerInfo {
            name: "jackal".to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        }),
    }
}

fn item(offer: Offer, index: usize, range: lsp::Range) -> lsp::CompletionItem {
    let (kind, after) = match offer.kind {
        OfferKind::Key => (lsp::CompletionItemKind::Property, ": "),
        OfferKind::Value => (lsp::CompletionItemKind::Value, ""),
        OfferKind::Task => (lsp::CompletionItemKind::Reference, ""),
        OfferKind::File => (lsp::CompletionItemKind::File, ""),
        OfferKind::Folder => (lsp::CompletionItemKind::Folder, ""),
        OfferKind::Component => (lsp::CompletionItemKind::Module, ""),
    };
    let markdown = lsp::MarkupContent {
        kind: lsp::MarkupKind::Markdown,
        value: offer.about,
    };
    let edit = lsp::TextEdit {
        range,
        new_text: format!("{}{after}", offer.text),
    };
    lsp::CompletionItem {
        kind: Some(kind),
        documentation: (!markdown.value.is_empty())
            .then_some(lsp::Documentation::MarkupContent(markdown)),
        // In the order in which they were offered.
        sort_text: Some(format!("{index:04}")),
        filter_text: Some(offer.text.clone()),
        text_edit: Some(edit.into()),
        label: offer.text,
        ..lsp::CompletionItem::default()
    }
}

fn diagnostic(finding: &Finding, lines: &[&str]) -> lsp::Diagnostic {
    let message = match finding.help.as_str() {
        "" => finding.message.clone(),
        help => format!("{}\n{help}", finding.message),
    };
    let span = Span {
        line: finding.line,
        column: finding.column,
        length: finding.length,
    };
    lsp::Diagnostic {
        range: range(span, lines),
        severity: Some(match finding.severity {
            Severity::Error => lsp::DiagnosticSeverity::Error,
            Severity::Warning => lsp::DiagnosticSeverity::Warning,
        }),
        code: Some(lsp::Code::String(finding.code.name().to_owned())),
        source: Some("jackal".to_owned()),
        message: lsp::Message::String(message),
        ..lsp::Diagnostic::default()
    }
}

/// A span in the protocol's form: from 0, in UTF-16 code units.
fn range(span: Span, lines: &[&str]) -> lsp::Range {
    let line = span.line.saturating_sub(1);
    let own = usize::try_from(line).ok().and_then(|line| lines.get(line));
    let own = own.copied().unwrap_or_default();
    let from = usize::try_from(span.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let length = usize::try_from(span.length).unwrap_or(usize::MAX);
    let at = |column| lsp::Position {
        line,
        character: units(own, column),
    };
    lsp::Range {
        start: at(from),
        end: at(from.saturating_add(length)),
    }
}

/// The UTF-16 code units of the first `characters` of a line.
fn units(line: &str, characters: usize) -> u32 {
    let units: usize = line.chars().take(characters).map(char::len_utf16).sum();
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// The characters of a line before the UTF-16 code unit `units`. One within a character
/// counts as its beginning.
fn characters(line: &str, units: u32) -> usize {
    let units = usize::try_from(units).unwrap_or(usize::MAX);
    let mut seen = 0;
    line.chars()
        .take_while(|c| {
            seen += c.len_utf16();
            seen <= units
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_counted_in_utf_16() {
        let line = "é𝄞x";
        assert_eq!(units(line, 0), 0);
        assert_eq!(units(line, 2), 3);
        assert_eq!(units(line, 9), 4);
        for (units, expected) in [(0, 0), (1, 1), (2, 1), (3, 2), (4, 3), (99, 3)] {
            assert_eq!(characters(line, units), expected, "{units}");
        }
    }
}
