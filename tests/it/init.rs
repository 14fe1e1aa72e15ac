//! `jackal init`: what it writes is a pipeline that can be planned.

use std::fs;

use super::sandbox::Sandbox;

/// The files of a project, and what the pipeline for it must have.
type Project = (
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

const PROJECTS: [Project; 8] = [
    (
        &[
            ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\n"),
            ("Cargo.lock", ""),
            ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"),
            ("crates/a/src/main.rs", ""),
            (
                "crates/b/Cargo.toml",
                "[package]\nname = \"b\"\n[[bin]]\nname = \"tool\"\n",
            ),
        ],
        &[
            "outputs: [target/release/a, target/release/tool]",
            "crates/b/**",
            "--locked",
        ],
    ),
    (
        &[
            (
                "go.mod",
                "module example.com/svc/v2\n\nrequire example.com/x v1.0.0\n",
            ),
            ("go.sum", ""),
            ("main.go", "package main\n"),
            (
                "Dockerfile",
                "FROM golang:1.26 AS build\nRUN go build\nFROM scratch\nWORKDIR /srv\n\
                 COPY --from=build /out/svc ./svc\nCOPY settings.ini /etc/\nENV A=b C=\"d e\"\n\
                 USER 1000\nEXPOSE 8080\nENTRYPOINT [\"/srv/svc\", \"-v\"]\n",
            ),
            ("settings.ini", "x"),
        ],
        &[
            "[go, build, -o, bin/svc",
            "C: 'd e'",
            "outputs: [bin/svc]",
            "base: scratch",
            "- { from: bin/svc, to: /srv/svc }",
            "- { from: settings.ini, to: /etc/settings.ini }",
            "entrypoint: [/srv/svc, -v]",
            "user: '1000'",
        ],
    ),
    (
        &[
            (
                "package.json",
                r#"{"scripts":{"build":"tsc","test":"vitest"},"devDependencies":{"typescript":"5"}}"#,
            ),
            ("package-lock.json", "{}"),
            ("tsconfig.json", r#"{"compilerOptions":{"outDir":"./lib"}}"#),
        ],
        &["npm ci", "outputs: [lib/]", "npm run test"],
    ),
    (
        &[
            ("pyproject.toml", "[project]\nname = \"a\"\n"),
            ("tests/test_a.py", ""),
        ],
        &["pip, wheel", "outputs: [dist/]", "unittest", "-o packages"],
    ),
    (
        &[
            (
                "pom.xml",
                "<project><parent><version>9</version></parent><artifactId>a</artifactId>\
                 <version>1.0</version><dependencies><dependency><artifactId>x</artifactId>\
                 </dependency></dependencies></project>",
            ),
            ("src/main/java/A.java", ""),
        ],
        &["outputs: [target/a-1.0.jar]"],
    ),
    (
        &[("build.gradle.kts", ""), ("gradlew", "#!/bin/sh\n")],
        &[
            "run: ['./gradlew', --no-daemon, build]",
            "outputs: [build/libs/]",
        ],
    ),
    (
        &[
            ("CMakeLists.txt", "add_executable(show show.cpp)\n"),
            ("show.cpp", ""),
        ],
        &["outputs: [build/show]"],
    ),
    (
        &[
            ("Chart.yaml", "name: c\nversion: 1.2.3\n"),
            ("templates/a.yaml", "a: b\n"),
        ],
        &["name: [charts]"],
    ),
];

#[test]
fn each_template_is_a_pipeline_that_can_be_planned() {
    for (files, expected) in PROJECTS {
        let sandbox = Sandbox::new();
        for (path, text) in files {
            sandbox.write(path, *text);
        }
        let first = files[0].0;
        let said = sandbox.run(&["init"]);
        assert_eq!(said.code, Some(0), "{first}: {}", said.stderr);
        let text = fs::read_to_string(sandbox.src().join("jackal.pipeline.yaml")).unwrap();
        for part in expected {
            assert!(text.contains(part), "{first}: no `{part}` in {text}");
        }
        let said = sandbox.run(&["graph", "--pipeline", "jackal.pipeline.yaml"]);
        assert_eq!(said.code, Some(0), "{first}: {}\n{text}", said.stderr);
        let again = sandbox.run(&["init"]);
        assert_eq!(again.code, Some(2), "{first}: {}", again.stderr);
        assert!(again.stderr.contains("already exists"), "{}", again.stderr);
    }
}

#[test]
fn the_kinds_of_projects_are_listed() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["init", "--list"]);
    assert!(
        said.stdout.contains("cargo   Cargo.toml\n"),
        "{}",
        said.stdout
    );
    assert_eq!(said.stdout.lines().count(), 9);
}
