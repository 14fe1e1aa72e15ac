//! `jackal init`: a first pipeline for a folder, by what is in it.
//!
//! One row for each kind of project; a row looks at a folder and drafts its tasks.

mod container;
mod draft;
mod files;
mod java;
mod native;
mod node;
mod scripting;
mod write;

use std::path::{Path, PathBuf};

use draft::Draft;
use files::Folder;

use crate::disk::{self, DiskError};
use crate::kinds::run::MAKEFILES;
use crate::package::Dialect;

/// The file for the pipeline.
const PIPELINE: &str = "jackal.pipeline.yaml";

/// A kind of project.
pub struct Template {
    /// Its name on the command line.
    pub name: &'static str,
    /// A folder with one of these files is such a project.
    pub marks: &'static [&'static str],
    /// Drafts its tasks; `None`: it cannot be read, or builds nothing.
    draft: fn(&Folder) -> Option<Draft>,
    /// Whether it stands for the build of another kind, and so is left out beside one.
    wraps: bool,
}

/// All kinds of projects, in the order in which they are looked for.
pub const TEMPLATES: [Template; 9] = [
    row("cargo", &["Cargo.toml"], native::cargo),
    row("go", &["go.mod"], native::go),
    row("node", &["package.json"], node::node),
    row("python", &["pyproject.toml", "setup.py"], scripting::python),
    row("maven", &["pom.xml"], java::maven),
    row(
        "gradle",
        &["build.gradle", "build.gradle.kts"],
        java::gradle,
    ),
    row("cmake", &["CMakeLists.txt"], native::cmake),
    row("chart", &["Chart.yaml"], scripting::chart),
    Template {
        wraps: true,
        ..row("make", MAKEFILES, native::make)
    },
];

const fn row(
    name: &'static str,
    marks: &'static [&'static str],
    draft: fn(&Folder) -> Option<Draft>,
) -> Template {
    Template {
        name,
        marks,
        draft,
        wraps: false,
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialized {
    /// The files, in the order of their use.
    pub files: Vec<PathBuf>,
    /// The kinds of projects that were found, and where.
    pub found: Vec<(&'static str, String)>,
    /// What the user should look at.
    pub notes: Vec<String>,
    /// The command that builds it.
    pub command: String,
}

/// Why no pipeline was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Nothing says how to build the folder.
    #[error("no known kind of project in `{}` or the folders in it", .0.display())]
    Nothing(PathBuf),
    /// There is a pipeline already.
    #[error("`{}` already exists", .0.display())]
    Exists(PathBuf),
    /// No template has this name.
    #[error("no kind of project named `{0}`")]
    Template(String),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Writes a pipeline for the project in `folder`, or for those in its folders; of the
/// kinds `only`, unless it is empty. Writes a definition as well, unless there is one.
///
/// # Errors
///
/// [`InitError`]; nothing has been written then.
pub fn init(folder: &Path, only: &[String]) -> Result<Initialized, InitError> {
    let unknown = |name: &&String| TEMPLATES.iter().all(|template| template.name != **name);
    if let Some(name) = only.iter().find(unknown) {
        return Err(InitError::Template(name.clone()));
    }
    let pipeline = folder.join(PIPELINE);
    if pipeline.exists() {
        return Err(InitError::Exists(pipeline));
    }
    let own = Folder::open(folder, "")?;
    let mut drafts = drafts_of(&own, only);
    if drafts.is_empty() {
        for below in own.folders() {
            let below = Folder::open(folder, &below)?;
            drafts.extend(drafts_of(&below, only));
        }
    }
    if drafts.is_empty() {
        return Err(InitError::Nothing(folder.to_owned()));
    }
    let image = container::image(&own, &drafts);
    let found = drafts.iter().map(|(name, draft)| (*name, draft.at.clone()));
    let mut done = Initialized {
        files: Vec::new(),
        found: found.collect(),
        notes: Vec::new(),
        command: String::new(),
    };
    let drafts: Vec<Draft> = drafts.into_iter().map(|(_, draft)| draft).collect();
    for draft in &drafts {
        done.notes.extend(draft.notes.iter().cloned());
    }
    let definition = |dialect: Dialect| folder.join(dialect.definition_file());
    let defined = Dialect::ALL
        .iter()
        .any(|dialect| definition(*dialect).exists());
    let name = own.name();
    let build = write::command(&drafts, PIPELINE);
    done.command = match folder == Path::new(".") {
        true => build.clone(),
        false => format!("cd {} && {build}", folder.display()),
    };
    let text = write::pipeline(&name, &build, &drafts, image.as_ref(), !defined);
    disk::write_new(&pipeline, text.as_bytes())?;
    done.files.push(pipeline);
    if !defined {
        let text = write::definition(&name, &drafts, image.as_ref());
        let definition = definition(Dialect::Jackal);
        if let Err(error) = disk::write_new(&definition, text.as_bytes()) {
            // Half of it is worse than none.
            let _ = disk::remove(&done.files[0]);
            return Err(error.into());
        }
        done.files.push(definition);
    }
    Ok(done)
}

/// What the rows make of a folder.
fn drafts_of(folder: &Folder, only: &[String]) -> Vec<(&'static str, Draft)> {
    let mut found: Vec<(&'static str, Draft)> = Vec::new();
    for template in &TEMPLATES {
        let wanted = match only {
            [] => !template.wraps || found.is_empty(),
            only => only.iter().any(|name| name == template.name),
        };
        let is_one = template.marks.iter().any(|mark| folder.has(mark));
        if wanted
            && is_one
            && let Some(draft) = (template.draft)(folder)
        {
            found.push((template.name, draft));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn a_makefile_beside_another_project_is_left_alone_unless_it_is_named() {
        for makefile in ["GNUmakefile", "makefile", "Makefile"] {
            let dir = folder(&[
                (makefile, "prog: prog.c\n\tcc -o prog prog.c\n"),
                ("go.mod", "module example.com/svc\n\ngo 1.22\n"),
                ("main.go", "package main\n"),
            ]);
            let found = init(dir.path(), &[]).unwrap().found;
            assert_eq!(found, [("go", String::new())], "{makefile}");
            fs::remove_file(dir.path().join(PIPELINE)).unwrap();
            let found = init(dir.path(), &["make".to_owned()]).unwrap().found;
            assert_eq!(found, [("make", String::new())], "{makefile}");
            let text = fs::read_to_string(dir.path().join(PIPELINE)).unwrap();
            assert!(text.contains("outputs: [prog]"), "{text}");
        }
    }

    #[test]
    fn projects_in_folders_are_found_where_the_folder_itself_is_none() {
        let dir = folder(&[
            ("api/go.mod", "module example.com/api\n"),
            ("api/main.go", "package main\n"),
            (
                "web/package.json",
                r#"{"name":"web","scripts":{"build":"x"}}"#,
            ),
            ("notes/README", ""),
        ]);
        let done = init(dir.path(), &[]).unwrap();
        let found: Vec<_> = done
            .found
            .iter()
            .map(|(name, at)| (*name, at.as_str()))
            .collect();
        assert_eq!(found, [("go", "api"), ("node", "web")]);
        let text = fs::read_to_string(&done.files[0]).unwrap();
        assert!(text.contains("workdir: api"), "{text}");
        assert!(text.contains("api/go.mod"), "{text}");
    }

    #[test]
    fn nothing_is_written_where_nothing_is_known_or_a_pipeline_exists() {
        let dir = folder(&[("README", "")]);
        assert!(matches!(init(dir.path(), &[]), Err(InitError::Nothing(_))));
        let other = ["rust".to_owned()];
        assert!(matches!(
            init(dir.path(), &other),
            Err(InitError::Template(_))
        ));
        let dir = folder(&[(PIPELINE, ""), ("go.mod", "module a\n")]);
        assert!(matches!(init(dir.path(), &[]), Err(InitError::Exists(_))));
    }
}
