//! A temporary folder for one test, and the program run inside it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// What every pipeline begins with.
pub const HEAD: &str = "kind: JackalPipeline\nversion: 1\nname: p\n";

/// A temporary folder with a cache beside the sources.
pub struct Sandbox {
    dir: tempfile::TempDir,
}

/// The output of a finished command.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Sandbox {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("src")).unwrap();
        Self { dir }
    }

    /// The folder with the sources.
    pub fn src(&self) -> PathBuf {
        self.dir.path().join("src")
    }

    pub fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// Writes the pipeline `p.yaml`, all but its head.
    pub fn pipeline(&self, rest: &str) {
        self.write("p.yaml", format!("{HEAD}{rest}"));
    }

    /// Writes a source file, with its folders.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.src().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A package with two components: a folder with a link and an empty folder,
    /// and a single file.
    pub fn package(&self) {
        self.write(
            "jackal.yaml",
            "kind: JackalPackageConfig\n\
             metadata:\n  name: demo\n  version: \"1.0.0\"\n  architecture: amd64\n\
             components:\n\
             - name: tree\n  files:\n  - source: tree\n    target: /srv/tree\n\
             - name: tool\n  files:\n  - source: tool.sh\n    target: /bin/tool\n    executable: true\n",
        );
        for number in 0..20 {
            self.write(
                &format!("tree/d{}/f{number}", number % 3),
                format!("{number}\n"),
            );
        }
        std::fs::create_dir_all(self.src().join("tree/empty")).unwrap();
        std::os::unix::fs::symlink("d0/f0", self.src().join("tree/link")).unwrap();
        self.write("tool.sh", "#!/bin/sh\n");
        settle();
    }

    /// Runs the program in the source folder, with only a cache.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jackal"));
        command
            .args(args)
            .current_dir(self.src())
            .env_clear()
            .env("JACKAL_CACHE", self.cache())
            .env("PATH", "/usr/bin:/bin");
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        said(&mut self.command(args))
    }

    /// Builds, and returns each task with its status.
    pub fn build(&self, args: &[&str]) -> Vec<(String, String)> {
        let summary = self.dir.path().join("run.json");
        let file = summary.to_str().unwrap().to_owned();
        let said = self.run(&[&["build", "--summary", &file], args].concat());
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let record: Value = serde_json::from_slice(&std::fs::read(summary).unwrap()).unwrap();
        let mut tasks: Vec<_> = record["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| {
                let text = |key: &str| task[key].as_str().unwrap().to_owned();
                (text("task"), text("status"))
            })
            .collect();
        tasks.sort();
        tasks
    }

    /// Builds, and returns the executed tasks.
    pub fn executed(&self) -> Vec<String> {
        self.build(&[])
            .into_iter()
            .filter(|(_, status)| status == "executed")
            .map(|(task, _)| task)
            .collect()
    }

    pub fn archive(&self) -> PathBuf {
        self.src()
            .join("dist/jackal-package-demo-amd64-1.0.0.tar.zst")
    }

    pub fn archive_sum(&self) -> String {
        jackal::oci::Digest::of(&std::fs::read(self.archive()).unwrap()).to_string()
    }

    /// Every file of the cache with its length and bytes, except files whose
    /// path holds one of `except`.
    pub fn cached_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.cache(), &mut files);
        files.sort();
        files
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
}

/// Runs a command to its end.
pub fn said(command: &mut Command) -> Said {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    Said {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// Replaces the command by a shell that sets a umask first.
pub fn with_umask(command: &mut Command, umask: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell
        .arg0("sh")
        .arg("-c")
        .arg(format!("umask {umask}; exec \"$0\" \"$@\""))
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell
}

/// Waits until files written now count as settled: a file as young as its digest
/// is read again.
pub fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(40));
}
