//! The services of a command: what runs beside it, as the key and the sandbox have it.

use super::programs::Programs;
use crate::action::{self, Fields as _, fields};
use crate::ground::services;
use crate::pipeline::verb::Run;
use crate::pipeline::{Probe, Service};

fields! {
    struct ServiceSettings {
        name: String = "name",
        shell: String = "shell",
        run: Vec<String> = "run",
        ready: String = "ready",
        ready_shell: String = "ready.shell",
        ready_run: Vec<String> = "ready.run",
    }
}

/// Adds the services to a key: they are part of what makes the result. How long one may
/// take to be ready is not.
pub(super) fn enter(services: &[Service], settings: &mut action::Settings) {
    for (index, service) in services.iter().enumerate() {
        let (ready, probe) = match &service.probe {
            Probe::Tcp(port) => (format!("tcp:{}", port.0), None),
            Probe::Http(address) => (address.to_string(), None),
            Probe::Run(command) => ("run".to_owned(), Some(command)),
        };
        let shell = |command: &Run| command.shell.clone().unwrap_or_default();
        let of_service = ServiceSettings {
            name: service.name.clone(),
            shell: shell(&service.command),
            run: service.command.argv.clone(),
            ready,
            ready_shell: probe.map(shell).unwrap_or_default(),
            ready_run: probe.map(|probe| probe.argv.clone()).unwrap_or_default(),
        };
        of_service.write(&format!("services.{index}"), settings);
    }
}

/// The services as they start.
pub(super) fn started(services: &[Service], programs: &Programs) -> Vec<services::ServiceCommand> {
    let services = services.iter();
    services
        .map(|service| services::ServiceCommand {
            name: service.name.clone(),
            argv: words(&service.command, programs),
            probe: match &service.probe {
                Probe::Tcp(port) => services::Probe::Tcp {
                    host: "localhost".to_owned(),
                    port: port.0,
                },
                Probe::Http(address) => services::Probe::Http {
                    host: address.host.clone(),
                    port: address.port,
                    path: address.path.clone(),
                },
                Probe::Run(command) => services::Probe::Run(words(command, programs)),
            },
            limit: service.limit,
        })
        .collect()
}

/// What begins lines of services, and of their probes, in a log.
pub(super) fn prefixes<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
    names
        .flat_map(|name| [format!("{name} | "), format!("{name} (ready) | ")])
        .collect()
}

/// A command as it starts: after its shell, and with the path of its program.
pub(super) fn words(command: &Run, programs: &Programs) -> Vec<String> {
    let mut argv = command.argv.clone();
    if let Some(shell) = &command.shell {
        let mut words: Vec<String> = shell.split_whitespace().map(str::to_owned).collect();
        words.push("-c".to_owned());
        words.extend(argv);
        argv = words;
    }
    if let Some(path) = argv.first().and_then(|first| programs.path_of(first)) {
        argv[0] = path;
    }
    argv
}
