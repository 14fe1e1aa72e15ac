//! What is to be started, and where.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::child::{Input, Variables};
use super::super::confine::Confinement;
use super::super::link::Report;
use super::super::sandbox::Root;
use super::super::services::{self, Control, ServiceCommand, Start};

/// A command, and what it sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub argv: Vec<String>,
    pub env: Variables,
    pub place: Place,
    pub input: Input,
    /// What runs beside it.
    pub services: Vec<ServiceCommand>,
    /// Time between TERM and KILL of a service.
    pub grace: Duration,
}

impl Plan {
    /// Whether a process that runs other commands before and after can run this one: it
    /// leaves nothing there.
    pub(super) fn needs_no_process(&self) -> bool {
        // Within Landlock, a command could change the limits of the process that starts it.
        let is_apart = matches!(
            self.place,
            Place::Within(_) | Place::Here { rules: None, .. }
        );
        is_apart && self.services.is_empty()
    }

    /// The input of the command, or of a process `beside` it.
    pub(super) fn input_of(&self, beside: bool) -> Input {
        match beside {
            true => Input::Empty,
            false => self.input,
        }
    }

    /// Runs the command beside its services.
    ///
    /// # Errors
    ///
    /// As [`services::run`].
    pub(super) fn beside_services(
        &self,
        start: Start<'_>,
        end: fn(),
        control: Control,
    ) -> Result<Report, String> {
        services::run(
            &self.services,
            self.grace,
            &self.argv,
            (start, end),
            control,
        )
    }
}

/// Where a command runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    /// In a root of its own.
    Within(Root),
    /// In a folder of this machine, within the rules that are given.
    Here {
        cwd: PathBuf,
        rules: Option<Confinement>,
    },
    /// In a folder of this machine without any rules, and observed.
    Open {
        cwd: PathBuf,
        /// The file for what it used.
        seen: PathBuf,
    },
}

/// What a process of the launcher is for, as one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A command with a plan.
    Command,
    /// Commands that need no process of their own, one after another.
    Worker,
    /// A launcher of commands that share a part of their roots.
    Shared,
    /// To find out whether a root can be made.
    Trial,
}

impl Purpose {
    const ALL: [Self; 4] = [Self::Command, Self::Worker, Self::Shared, Self::Trial];

    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Command => b'c',
            Self::Worker => b'w',
            Self::Shared => b's',
            Self::Trial => b't',
        }
    }

    pub(super) fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.byte() == byte)
    }
}
