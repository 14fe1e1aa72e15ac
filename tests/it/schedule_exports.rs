//! `jackal schedule export`: files for schedulers.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use jackal::yaml::{SourceText, parse};
use serde_json::Value;

use super::sandbox::Sandbox;
use super::schedules::{HEAD, workspace};
use super::schemas::to_json;

/// Texts that would end their value or be evaluated, if they were written as they are.
const HOSTILE: [&str; 12] = [
    "x\n  evil: true\n",
    "\" evil: 'y' #",
    "${{ secrets.TOKEN }}",
    "$(touch evil) `touch evil` $HOME",
    "'; touch evil; '",
    "%h %n %%",
    "a\\",
    "\u{2028}\u{85}\u{feff}\r",
    "*alias &anchor !tag - [x] {y}",
    "::set-output name=x::y",
    "EOF\n'\nEOF",
    " \u{7}\t\u{1f600}",
];

/// A workspace whose every text is hostile.
fn hostile(text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let quoted = serde_json::to_string(text).unwrap();
    let text = format!(
        "{HEAD}name: {quoted}\nparams: {{ p: {{}} }}\ntasks:\n  \
         a: {{ run: ['true'], inputs: [], secrets: {{ T: {{ env: TOKEN }} }} }}\n  \
         p: {{ package: {{ definition: jackal.yaml }} }}\n  \
         s: {{ sign: {{ subjects: p, keyless: true }} }}\n  \
         q: {{ publish: {{ packages: p, signatures: s, to: oci://ghcr.io/x, mirrors: [oci://127.0.0.1:5000/x] }} }}\n\
         schedules:\n  own: {{ cron: '0 3 * * 1-5', params: {{ p: {quoted} }}, description: {quoted}, tasks: [a, q] }}\n  \
         far: {{ cron: '@hourly', targets: [{}, ':a', ':q'], timezone: Asia/Kolkata }}\n",
        serde_json::to_string(&format!("x{text}")).unwrap()
    );
    sandbox.write("it's $(a) %n/jackal.pipeline.yaml", text);
    sandbox.write("jackal-workspace.yaml", "");
    sandbox
}

fn exported(sandbox: &Sandbox, to: &str) -> Vec<(String, String)> {
    let folder = sandbox.src().join(to);
    let out = folder.to_str().unwrap();
    let args = [
        "--image",
        "r.example/jackal:1",
        "--git",
        "https://git.example/x.git",
    ];
    let said = sandbox.run(&[&["schedule", "export", "--to", to, "-o", out][..], &args].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let mut files: Vec<(String, String)> = said
        .stdout
        .lines()
        .map(|path| {
            let name = PathBuf::from(path)
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn commands(sandbox: &Sandbox) -> Vec<Vec<String>> {
    let list = sandbox.run(&["schedule", "list", "--json"]);
    let list: Value = serde_json::from_str(&list.stdout).unwrap();
    let words = |one: &Value| serde_json::from_value(one["command"].clone()).unwrap();
    list.as_array().unwrap().iter().map(words).collect()
}

fn fits(name: &str, document: &Value) {
    let path = format!(
        "{}/tests/fixtures/schedulers/{name}.schema.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut schemas = boon::Schemas::new();
    let schema = boon::Compiler::new().compile(&path, &mut schemas).unwrap();
    if let Err(error) = schemas.validate(document, schema) {
        panic!("{name}: {error:#}\n{document:#}");
    }
}

fn documents(text: &str) -> Vec<Value> {
    let parsed = parse(&SourceText::new("x", text));
    let parsed = parsed.unwrap_or_else(|error| panic!("{error}\n{text}"));
    parsed.iter().map(to_json).collect()
}

/// The words that a script of the shell starts `jackal` with.
fn started(script: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("jackal");
    fs::write(
        &program,
        "#!/bin/sh\nfor w; do printf '%s\\0' \"$w\"; done > \"$OUT\"\n",
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, mode).unwrap();
    let out = folder.path().join("words");
    let ran =
        Command::new("/bin/sh")
            .args(["-euc", script])
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
            .env("OUT", &out)
            .envs(["GHCR_IO", "127_0_0_1_5000"].iter().flat_map(|host| {
                ["USER", "PASSWORD"].map(|of| (format!("LOGIN_{host}_{of}"), "it's"))
            }))
            .output()
            .unwrap();
    assert!(
        ran.status.success(),
        "{script}\n{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(!folder.path().join("evil").exists(), "{script}");
    let words = fs::read_to_string(out).unwrap();
    let words = words.split_terminator('\0').map(str::to_owned);
    ["jackal".to_owned()].into_iter().chain(words).collect()
}

/// What GitHub makes of a text with the escapes that we write, and no other expression.
fn evaluated(text: &str) -> String {
    let evaluated = text.replace("${{ '${{' }}", "\0");
    assert!(!evaluated.contains("${{"), "{text}");
    evaluated.replace('\0', "${{")
}

#[test]
fn exported_workflows_fit_their_schema_and_start_the_command_of_the_schedule() {
    for text in HOSTILE {
        let sandbox = hostile(text);
        let expected = commands(&sandbox);
        let files = exported(&sandbox, "github-actions");
        assert_eq!(files.len(), 2, "{files:?}");
        for ((name, file), expected) in files.iter().zip(&expected) {
            assert!(name.ends_with(if expected.contains(&"--".to_owned()) {
                "far.yml"
            } else {
                "own.yml"
            }));
            let [workflow] = documents(file).try_into().unwrap();
            fits("github-workflows", &workflow);
            let steps = workflow["jobs"]["build"]["steps"].as_array().unwrap();
            let build = steps.last().unwrap();
            assert_eq!(build["env"]["TOKEN"], "${{ secrets.TOKEN }}");
            assert_eq!(
                build["env"]["LOGIN_GHCR_IO_PASSWORD"],
                "${{ secrets.GITHUB_TOKEN }}"
            );
            assert_eq!(workflow["permissions"]["id-token"], "write");
            let script = evaluated(build["run"].as_str().unwrap());
            assert_eq!(&started(&script), expected, "{script}");
        }
    }
}

#[test]
fn exported_jobs_of_gitlab_fit_their_schema_and_start_the_command_of_the_schedule() {
    for text in HOSTILE {
        let sandbox = hostile(text);
        let files = exported(&sandbox, "gitlab");
        let [document] = documents(&files[0].1).try_into().unwrap();
        fits("gitlab-ci", &document);
        let jobs = document.as_object().unwrap();
        assert_eq!(jobs.len(), 2);
        for (job, expected) in jobs.values().zip(commands(&sandbox)) {
            let script = job["script"][0].as_str().unwrap();
            assert_eq!(started(script), expected, "{script}");
            assert_eq!(job["id_tokens"]["SIGSTORE_ID_TOKEN"]["aud"], "sigstore");
        }
    }
}

#[test]
fn exported_cron_jobs_fit_their_schema_and_start_the_command_of_the_schedule() {
    for text in HOSTILE {
        let sandbox = hostile(text);
        let files = exported(&sandbox, "kubernetes");
        assert_eq!(files.len(), 2);
        for ((_, file), expected) in files.iter().zip(commands(&sandbox)) {
            let [job, claim] = documents(file).try_into().unwrap();
            fits("cronjob", &job);
            let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
            let command = pod["containers"][0]["command"].as_array().unwrap();
            // Kubernetes reads `$$` as `$`.
            let words = command.iter().map(|word| word.as_str().unwrap());
            let words: Vec<String> = words
                .inspect(|word| assert_eq!(word.matches('$').count() % 2, 0, "{word}"))
                .map(|word| word.replace("$$", "$"))
                .collect();
            assert_eq!(words, expected);
            let name = job["metadata"]["name"].as_str().unwrap();
            assert!(name.len() <= 52, "{name}");
            assert_eq!(claim["metadata"]["name"], format!("{name}-cache"));
        }
    }
}

#[test]
fn no_text_ends_a_value_of_a_unit_file() {
    let keys = [
        "Description",
        "Wants",
        "After",
        "Type",
        "User",
        "WorkingDirectory",
        "EnvironmentFile",
        "Environment",
        "CacheDirectory",
        "CacheDirectoryMode",
        "ExecStartPre",
        "ExecStart",
        "OnCalendar",
        "Persistent",
        "Unit",
        "WantedBy",
    ];
    for text in HOSTILE {
        let files = exported(&hostile(text), "systemd");
        assert_eq!(files.len(), 4, "{files:?}");
        for (name, file) in files {
            for line in file.split('\n') {
                let known = line.is_empty() || line.starts_with(['#', '[']);
                let key = line.split('=').next().unwrap();
                assert!(known || keys.contains(&key), "{name}: {line}\n{file}");
                assert!(!line.ends_with('\\'), "{name}: {line}");
                assert!(!line.contains(|c: char| c.is_control()), "{name}: {line}");
                let rest = line.replace("%%", "");
                assert!(
                    line.starts_with('#') || !rest.contains('%'),
                    "{name}: {line}"
                );
            }
        }
    }
}

#[test]
fn kubernetes_needs_an_image_and_a_repository_without_a_login() {
    let sandbox = workspace();
    let export = |args: &[&str]| {
        let said = sandbox.run(&[&["schedule", "export", "--to", "kubernetes"], args].concat());
        assert_eq!(said.code, Some(2));
        said.stderr
    };
    assert!(export(&[]).contains("--image"));
    assert!(export(&["--image", "x"]).contains("--git"));
    let login = export(&["--image", "x", "--git", "https://me:secret@git.example/x"]);
    assert!(
        login.contains("contains a login") && !login.contains("secret"),
        "{login}"
    );
    let query = "https://git.example/x?private_token=secret";
    let query = export(&["--image", "x", "--git", query]);
    assert!(
        query.contains("or a query") && !query.contains("secret"),
        "{query}"
    );
}

#[test]
fn names_that_other_readers_of_yaml_take_for_something_else_are_quoted() {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    // Booleans, nothing and numbers for YAML 1.1 or 1.2.
    let (variables, names) = (
        ["ON", "NULL", "Y", "no"],
        ["on", "null", "1e3", "123", "0x1f"],
    );
    let tasks: String = variables
        .iter()
        .map(|name| {
            format!(
                "  '{name}': {{ run: ['true'], inputs: [], secrets: {{ T: {{ env: '{name}' }} }} }}\n"
            )
        })
        .collect();
    let schedules: String = names
        .iter()
        .map(|name| format!("  '{name}': {{ cron: '@daily' }}\n"))
        .collect();
    // Nothing of this name can be in a file's.
    let head = format!("{HEAD}name: \u{9805}\n");
    let text = format!("{head}tasks:\n{tasks}schedules:\n{schedules}");
    sandbox.write("jackal.pipeline.yaml", text);
    let files = exported(&sandbox, "kubernetes");
    assert_eq!(files.len(), names.len());
    for (file, text) in &files {
        let named = names
            .iter()
            .find(|name| *file == format!("jackal-{name}.yaml"));
        let id = named.unwrap();
        let mut expected = vec![
            format!("\n  name: \"{id}\"\n"),
            format!("claimName: \"{id}-cache\""),
            format!("secretName: \"{id}-login\""),
        ];
        for name in variables {
            expected.push(format!("- name: \"{name}\"\n"));
            expected.push(format!(
                "{{ name: \"{id}\", key: \"{name}\", optional: true }}"
            ));
        }
        for expected in expected {
            assert!(text.contains(&expected), "{expected}: {text}");
        }
    }
    for (_, text) in exported(&sandbox, "github-actions") {
        for name in variables {
            let expected = format!("\"{name}\": \"${{{{ secrets.{name} }}}}\"\n");
            assert!(text.contains(&expected), "{expected}: {text}");
        }
    }
}

/// The value of a key of a unit.
fn value<'u>(unit: &'u str, key: &str) -> Option<&'u str> {
    let mut lines = unit.lines();
    lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

#[test]
fn a_unit_names_the_checkout_and_its_owner_on_the_machine_that_it_is_for() {
    let sandbox = workspace();
    let exported = |args: &[&str]| {
        let all = [&["schedule", "export", "--to", "systemd", "web"], args].concat();
        let said = sandbox.run(&all);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.stdout
    };
    let here = exported(&[]);
    let root = sandbox.src();
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&root).unwrap());
    let owner = (owner != 0).then(|| owner.to_string());
    assert_eq!(value(&here, "User"), owner.as_deref());
    assert_eq!(value(&here, "WorkingDirectory"), root.to_str());
    let there = exported(&["--checkout", "/srv/elsewhere", "--user", "builder"]);
    assert_eq!(value(&there, "User"), Some("builder"));
    assert_eq!(value(&there, "WorkingDirectory"), Some("/srv/elsewhere"));
    let of_root = exported(&["--checkout", "/srv/elsewhere"]);
    assert_eq!(value(&of_root, "User"), None);
    assert!(of_root.contains("\n#User=\n"), "{of_root}");
    for wrong in ["", "-x", "a b", "a\nExecStart=evil"] {
        let user = format!("--user={wrong}");
        let said = sandbox.run(&["schedule", "export", "--to", "systemd", &user]);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert!(said.stderr.contains("name of a user"), "{}", said.stderr);
    }
}

#[test]
fn a_unit_updates_the_checkout_if_there_is_one() {
    let sandbox = workspace();
    let unit = sandbox.run(&["schedule", "export", "--to", "systemd", "web"]);
    let script = value(&unit.stdout, "ExecStartPre").unwrap();
    let script = script.strip_prefix("/usr/bin/env sh -c \"").unwrap();
    let script = script.strip_suffix('"').unwrap();
    // systemd takes the quotes, backslashes and second signs away.
    let script = script.replace("\\\"", "\"").replace("$$", "$");
    let tools = tempfile::tempdir().unwrap();
    let git = tools.path().join("git");
    fs::write(&git, "#!/bin/sh\necho \"$PWD $*\"\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&git, mode).unwrap();
    let ran = |folder: &std::path::Path| {
        let ran = Command::new("/bin/sh")
            .args(["-euc", &script])
            .current_dir(folder)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", tools.path().display()))
            .output()
            .unwrap();
        assert!(ran.status.success());
        String::from_utf8(ran.stdout).unwrap()
    };
    let root = sandbox.src();
    assert_eq!(ran(&root.join("web")), "");
    fs::create_dir(root.join(".git")).unwrap();
    let pulled = format!("{} pull --quiet --ff-only\n", root.display());
    assert_eq!(ran(&root.join("web")), pulled);
}

/// The variables with secrets in the workflow of each schedule.
fn secrets(sandbox: &Sandbox) -> Vec<(String, Vec<String>)> {
    let files = exported(sandbox, "github-actions").into_iter();
    let secrets = files.map(|(name, file)| {
        let [workflow] = documents(&file).try_into().unwrap();
        let steps = workflow["jobs"]["build"]["steps"].as_array().unwrap();
        let env = steps.last().unwrap()["env"].as_object().unwrap();
        let names = env.keys().filter(|name| *name != "JACKAL_CACHE");
        (name, names.cloned().collect())
    });
    secrets.collect()
}

#[test]
fn an_export_has_the_secrets_of_the_tasks_that_it_builds_and_no_others() {
    let sandbox = Sandbox::new();
    sandbox.write("jackal-workspace.yaml", "");
    let secret = |name: &str| format!("secrets: {{ T: {{ env: {name} }} }}");
    sandbox.write(
        "lib/jackal.pipeline.yaml",
        format!(
            "{HEAD}name: lib\ntasks:\n  \
             made: {{ run: [sh], inputs: [], outputs: [out.txt], {} }}\n  \
             other: {{ run: [sh], inputs: [], {} }}\n  \
             chosen: {{ run: [sh], inputs: ['task:made'] }}\n  \
             skipped: {{ if: \"git.branch == 'none'\", run: [sh], inputs: ['task:other'] }}\n\
             schedules:\n  chosen: {{ cron: '@daily', tasks: chosen }}\n  \
             skipped: {{ cron: '@daily', tasks: skipped }}\n",
            secret("MADE"),
            secret("OTHER"),
        ),
    );
    sandbox.write(
        "app/jackal.pipeline.yaml",
        format!(
            "{HEAD}name: app\ntasks:\n  \
             path: {{ run: [sh], inputs: [../lib/out.txt] }}\n  \
             unused: {{ run: [sh], inputs: [], {} }}\n  \
             local: {{ run: [sh], inputs: [], outputs: [data.csv], {} }}\n  \
             part: {{ component: {{ definition: jackal.yaml, name: x }} }}\n  \
             pack: {{ package: {{ definition: jackal.yaml, components: part }} }}\n  \
             push: {{ publish: {{ packages: pack, to: oci://r.example/x }} }}\n\
             schedules:\n  path: {{ cron: '@daily', tasks: path }}\n  \
             part: {{ cron: '@daily', tasks: part }}\n  \
             push: {{ cron: '@daily', tasks: push }}\n  \
             far: {{ cron: '@daily', targets: ['lib:other'] }}\n  \
             folder: {{ cron: '@daily', targets: [app] }}\n",
            secret("UNUSED"),
            secret("LOCAL"),
        ),
    );
    let found = secrets(&sandbox);
    let found: Vec<(&str, Vec<&str>)> = found
        .iter()
        .map(|(name, all)| (name.as_str(), all.iter().map(String::as_str).collect()))
        .collect();
    let login = ["LOGIN_R_EXAMPLE_PASSWORD", "LOGIN_R_EXAMPLE_USER"];
    assert_eq!(
        found,
        [
            ("jackal-app-far.yml", vec!["OTHER"]),
            // A folder does not publish.
            ("jackal-app-folder.yml", vec!["LOCAL", "MADE", "UNUSED"]),
            ("jackal-app-part.yml", vec!["LOCAL"]),
            ("jackal-app-path.yml", vec!["MADE"]),
            ("jackal-app-push.yml", [&["LOCAL"], &login[..]].concat()),
            ("jackal-lib-chosen.yml", vec!["MADE"]),
            ("jackal-lib-skipped.yml", vec!["OTHER"]),
        ]
    );
}

#[test]
fn a_secret_that_a_scheduler_cannot_pass_is_refused_with_its_place() {
    let sandbox = Sandbox::new();
    let export = |variable: &str, to: &str| {
        sandbox.write(
            "jackal.pipeline.yaml",
            format!(
                "{HEAD}name: x\ntasks:\n  a:\n    run: ['true']\n    inputs: []\n    secrets:\n      \
                 T: {{ env: {variable} }}\nschedules: {{ n: {{ cron: '@daily' }} }}\n"
            ),
        );
        let args = ["--image", "x", "--git", "https://git.example/x"];
        sandbox.run(&[&["schedule", "export", "--to", to][..], &args].concat())
    };
    for to in ["github-actions", "gitlab", "kubernetes", "systemd"] {
        let refused = export("PATH", to);
        assert_eq!(refused.code, Some(2));
        assert!(
            refused.stderr.contains("jackal.pipeline.yaml:9:17")
                && refused.stderr.contains("`PATH`"),
            "{}",
            refused.stderr
        );
        assert_eq!(export("TOKEN", to).code, Some(0));
    }
    assert_eq!(export("GITHUB_TOKEN", "github-actions").code, Some(0));
    let refused = export("GITHUB_OTHER", "github-actions");
    assert!(
        refused.stderr.contains("GITHUB_OTHER"),
        "{}",
        refused.stderr
    );
}
