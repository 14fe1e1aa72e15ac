#!/usr/bin/env python3
"""Writes a repository with many toolchains, and a pipeline as a reader of the guide
would write it.

    tests/peer/monorepo.py FOLDER [--lock | --lock=PROJECT,...] [--incremental]

`--lock` also lets the tools write their lock files, and Cargo its vendored crates.
`--incremental` marks the tasks of benches/toolchains.sh as incremental.

Dependencies come from crates.io, the Go module proxy, npm, PyPI and Maven Central when
the tools fetch them.
"""

import os
import re
import subprocess
import sys

root, *options = sys.argv[1:]


def put(path, text, mode=0o644):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text.lstrip("\n"))
    os.chmod(path, mode)


# A Rust workspace of 14 crates: with its dependencies from the registry, and vendored.
names = [f"lib{number:02}" for number in range(13)]


def rust_workspace(folder):
    put(f"{folder}/Cargo.toml", """
[workspace]
resolver = "2"
members = ["app", %s]
""" % ", ".join(f'"{name}"' for name in names))
    for number, name in enumerate(names):
        before = names[number - 1] if number else None
        needs = f'{before} = {{ path = "../{before}" }}\n' if before else 'itoa = "1"\n'
        put(f"{folder}/{name}/Cargo.toml", f"""
[package]
name = "{name}"
version = "0.1.0"
edition = "2021"

[dependencies]
{needs}""")
        body = f"{before}::value() + {number}" if before else "itoa::Buffer::new().format(7_u32).len() as u32"
        put(f"{folder}/{name}/src/lib.rs", f"""
pub fn value() -> u32 {{
    {body}
}}

#[cfg(test)]
mod tests {{
    #[test]
    fn it_has_a_value() {{
        assert!(super::value() > 0);
    }}
}}
""")
    put(f"{folder}/app/Cargo.toml", f"""
[package]
name = "app"
version = "0.1.0"
edition = "2021"

[dependencies]
{names[-1]} = {{ path = "../{names[-1]}" }}
""")
    put(f"{folder}/app/src/main.rs", f"""
fn main() {{
    println!("rust {{}}", {names[-1]}::value());
}}
""")


rust_workspace("rust")
rust_workspace("vendored")

# A Go module with dependencies.
put("go/go.mod", """
module example.com/svc

go 1.22

require (
	github.com/google/uuid v1.6.0
	golang.org/x/text v0.14.0
)
""")
put("go/main.go", """
package main

import (
	"fmt"

	"github.com/google/uuid"
	"golang.org/x/text/language"
)

func greeting() string { return "go " + language.German.String() + uuid.Nil.String()[:2] }

func main() { fmt.Println(greeting()) }
""")
put("go/main_test.go", """
package main

import "testing"

func TestGreeting(t *testing.T) {
	if greeting() != "go de00" {
		t.Fatal(greeting())
	}
}
""")

# A TypeScript application.
put("web/package.json", """
{
  "name": "web",
  "version": "1.0.0",
  "private": true,
  "scripts": {
    "build": "tsc && esbuild dist/main.js --bundle --outfile=dist/bundle.js",
    "test": "vitest run"
  },
  "devDependencies": { "esbuild": "0.21.5", "typescript": "5.4.5", "vitest": "2.1.9" }
}
""")
put("web/tsconfig.json", """
{ "compilerOptions": { "target": "es2020", "module": "es2020", "moduleResolution": "node",
  "strict": true, "incremental": true, "outDir": "dist", "rootDir": "src" },
  "include": ["src"] }
""")
put("web/src/sum.ts", "export const sum = (a: number, b: number): number => a + b;\n")
put("web/src/main.ts", 'import { sum } from "./sum";\nconsole.log("web", sum(1, 2));\n')
put("web/tests/sum.test.ts", """
import { expect, test } from "vitest";
import { sum } from "../src/sum";

test("sum", () => expect(sum(1, 2)).toBe(3));
""")

# Python packages: with pip, and with uv.
def python_package(folder, more=""):
    put(f"{folder}/pyproject.toml", f"""
[build-system]
requires = ["setuptools==69.5.1", "wheel==0.43.0"]
build-backend = "setuptools.build_meta"

[project]
name = "{folder}tally"
version = "1.0.0"
requires-python = ">=3.9"
{more}
[tool.setuptools]
packages = ["{folder}tally"]
""")
    put(f"{folder}/{folder}tally/__init__.py", "def tally(items):\n    return len(items)\n")
    put(f"{folder}/tests/test_tally.py", f"""
from {folder}tally import tally


def test_tally():
    assert tally([1, 2]) == 2
""")


python_package("py")
put("py/requirements-test.txt", "pytest==8.2.2\n")
python_package("uv", """
[dependency-groups]
dev = ["pytest==8.2.2"]
""")

# C by make.
put("c/Makefile", """
out/hello: main.o text.o
	mkdir -p out
	$(CC) -o $@ main.o text.o

%.o: %.c text.h
	$(CC) -g -O2 -c -o $@ $<
""")
put("c/text.h", "const char *text(void);\n")
put("c/text.c", '#include "text.h"\nconst char *text(void) { return "c " __FILE__; }\n')
put("c/main.c", '#include <stdio.h>\n#include "text.h"\nint main(void) { puts(text()); return 0; }\n')

# C++ by cmake, ninja and ctest.
put("cpp/CMakeLists.txt", """
cmake_minimum_required(VERSION 3.16)
project(shapes CXX)
enable_testing()
add_library(shapes shapes.cpp)
add_executable(show show.cpp)
target_link_libraries(show shapes)
add_executable(shapes_test shapes_test.cpp)
target_link_libraries(shapes_test shapes)
add_test(NAME shapes COMMAND shapes_test)
""")
put("cpp/shapes.h", "int area(int a, int b);\n")
put("cpp/shapes.cpp", '#include "shapes.h"\nint area(int a, int b) { return a * b; }\n')
put("cpp/show.cpp", '#include <iostream>\n#include "shapes.h"\nint main() { std::cout << "cpp " << area(2, 3) << std::endl; }\n')
put("cpp/shapes_test.cpp", '#include "shapes.h"\nint main() { return area(2, 3) == 6 ? 0 : 1; }\n')

# A Maven module, and a Gradle one.
put("java/pom.xml", """
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>com.example</groupId>
  <artifactId>greeter</artifactId>
  <version>1.0.0</version>
  <packaging>jar</packaging>
  <properties>
    <maven.compiler.source>17</maven.compiler.source>
    <maven.compiler.target>17</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
    <project.build.outputTimestamp>2024-01-01T00:00:00Z</project.build.outputTimestamp>
  </properties>
  <dependencies>
    <dependency>
      <groupId>org.junit.jupiter</groupId>
      <artifactId>junit-jupiter</artifactId>
      <version>5.14.1</version>
      <scope>test</scope>
    </dependency>
  </dependencies>
  <build>
    <plugins>
      <!-- The version that Maven 3.8 takes by itself writes the time into archives. -->
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-jar-plugin</artifactId>
        <version>3.4.1</version>
      </plugin>
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-surefire-plugin</artifactId>
        <version>3.5.4</version>
      </plugin>
    </plugins>
  </build>
</project>
""")
put("gradle/settings.gradle", "rootProject.name = 'greeter'\n")
put("gradle/build.gradle", """
apply plugin: 'java'

jar {
    preserveFileTimestamps = false
    reproducibleFileOrder = true
}
""")
for folder in ("java", "gradle"):
    put(f"{folder}/src/main/java/com/example/Greeter.java", f"""
package com.example;

public final class Greeter {{
    static String greeting() {{
        return "{folder}";
    }}

    public static void main(String[] arguments) {{
        System.out.println(greeting());
    }}
}}
""")
put("java/src/test/java/com/example/GreeterTest.java", """
package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class GreeterTest {
    @Test
    void greets() {
        assertEquals("java", Greeter.greeting());
    }
}
""")

# A chart and manifests.
put("chart/Chart.yaml", "apiVersion: v2\nname: suite\nversion: 1.0.0\n")
put("chart/templates/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: suite }\ndata: { a: b }\n")
put("manifests/namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: { name: suite }\n")

put("jackal.yaml", """
kind: JackalPackageConfig
metadata: { name: suite, version: 1.0.0, architecture: amd64 }
components:
- name: programs
  required: true
  files:
  - { source: rust/target/release/app, target: /usr/local/bin/app, executable: true }
  - { source: vendored/target/release/app, target: /usr/local/bin/vendored, executable: true }
  - { source: go/out/svc, target: /usr/local/bin/svc, executable: true }
  - { source: c/out/hello, target: /usr/local/bin/hello, executable: true }
  - { source: cpp/build/show, target: /usr/local/bin/show, executable: true }
- name: libraries
  required: true
  files:
  - { source: web/dist, target: /srv/web }
  - { source: py/dist, target: /srv/py }
  - { source: web/bundle/main.js, target: /srv/bundle.js }
  - { source: uv/dist, target: /srv/uv }
  - { source: java/target/greeter-1.0.0.jar, target: /srv/greeter.jar }
  - { source: gradle/build/libs/greeter.jar, target: /srv/gradle.jar }
- name: cluster
  required: true
  charts:
  - { name: suite, localPath: chart, version: 1.0.0, namespace: suite }
  manifests:
  - { name: namespace, files: [manifests/namespace.yaml] }
- name: image
  required: true
  images: ["registry.example.com/acme/svc:1.0.0", "registry.example.com/acme/web:1.0.0"]
""")
PIPELINE = """
kind: JackalPipeline
version: 1
name: suite
params:
  release: { type: bool, default: false }
  to: { type: string, default: 'oci://registry.example.com/suite' }
passThroughEnv: [SSL_CERT_FILE, PIP_CERT, NODE_EXTRA_CA_CERTS]
allowUnpinned: true
tasks:
  rust:
    run: [cargo, build, --release, --locked]
    workdir: rust
    inputs: [rust/**]
    outputs: [rust/target/release/app]
    tools: [cargo, cc]
    caches: [cargo]
    network: true
  rust-test:
    run: [cargo, test, --locked]
    workdir: rust
    inputs: [rust/**]
    tools: [cargo, cc]
    caches: [cargo]
    network: true
  vendored:
    run: [cargo, build, --release, --locked]
    workdir: vendored
    inputs: [vendored/**]
    outputs: [vendored/target/release/app]
    tools: [cargo, cc]
  go:
    run: [go, build, -o, out/svc, .]
    workdir: go
    inputs: [go/**]
    outputs: [go/out/svc]
    tools: [go]
    caches: [go]
    network: true
  go-test:
    run: [go, test, ./...]
    workdir: go
    inputs: [go/**]
    tools: [go]
    caches: [go]
    network: true
  modules:
    run: [npm, ci, --no-audit, --no-fund]
    workdir: web
    inputs: [web/package.json, web/package-lock.json]
    outputs: [web/node_modules/]
    tools: [node, npm]
    caches: [npm]
    network: true
  web:
    run: [node_modules/.bin/tsc]
    workdir: web
    inputs: [web/src/**, web/tsconfig.json, 'task:modules']
    outputs: [web/dist/]
    tools: [node]
  bundle:
    run: [npx, esbuild, dist/main.js, --bundle, --outfile=bundle/main.js]
    workdir: web
    inputs: ['task:modules', 'task:web']
    outputs: [web/bundle/main.js]
    tools: [node, npx]
  web-test:
    run: [npm, test]
    workdir: web
    inputs: [web/**, 'task:modules']
    tools: [node, npm]
  py:
    run: [python3, -m, pip, wheel, --no-deps, -w, dist, .]
    workdir: py
    inputs: [py/**]
    outputs: [py/dist/]
    tools: [python3]
    caches: [pip]
    network: true
  py-test:
    run: python3 -m venv .venv && .venv/bin/pip install -q -r requirements-test.txt && .venv/bin/python -m pytest
    shell: sh
    workdir: py
    inputs: [py/**]
    tools: [python3]
    caches: [pip]
    network: true
  uv:
    run: [uv, build, --wheel]
    workdir: uv
    inputs: [uv/**]
    outputs: [uv/dist/]
    tools: [uv, python3]
    caches: [uv]
    network: true
  uv-test:
    run: [uv, run, --locked, pytest]
    workdir: uv
    inputs: [uv/**]
    tools: [uv, python3]
    caches: [uv]
    network: true
  c:
    run: [make]
    workdir: c
    inputs: [c/**]
    outputs: [c/out/hello]
    tools: [make, cc]
  cpp:
    run: cmake -S . -B build -G Ninja && cmake --build build && ctest --test-dir build
    shell: sh
    workdir: cpp
    inputs: [cpp/**]
    outputs: [cpp/build/show]
    tools: [cmake, ninja, c++]
  java:
    run: [mvn, -B, -q, package]
    workdir: java
    inputs: [java/**]
    outputs: [java/target/greeter-1.0.0.jar]
    tools: [mvn, java]
    caches: [maven]
    network: true
  gradle:
    run: [gradle, --no-daemon, build]
    workdir: gradle
    inputs: [gradle/**]
    outputs: [gradle/build/libs/greeter.jar]
    tools: [gradle, java]
    caches: [gradle]
  svc-image:
    image:
      name: registry.example.com/acme/svc:1.0.0
      base: scratch
      platform: linux/amd64
      layers: [{ from: go/out/svc, to: /svc }]
      config: { entrypoint: [/svc] }
  web-image:
    image:
      name: registry.example.com/acme/web:1.0.0
      base: scratch
      platform: linux/amd64
      layers: [{ from: web/bundle/main.js, to: /srv/main.js }, { from: 'task:web', to: /srv/modules }]
  images: { images: { from: jackal.yaml } }
  components:
    matrix: { name: [programs, libraries, cluster] }
    component: { definition: jackal.yaml, name: '${{ matrix.name }}' }
  sboms: { sbom: { of: [components, images] } }
  package:
    package: { definition: jackal.yaml, components: components, images: images, sboms: sboms }
  sign:
    if: '${{ params.release }}'
    sign: { subjects: package, key: keys/cosign.key }
  publish:
    if: '${{ params.release }}'
    publish: { packages: package, signatures: sign, to: '${{ params.to }}', tags: [1.0.0] }
"""
if "--incremental" in options:
    PIPELINE = re.sub(r"(?m)^  (rust|go|web|cpp):$", r"\g<0>\n    incremental: true", PIPELINE)
put("jackal.pipeline.yaml", PIPELINE)
put(".gitignore", "target/\nout/\ndist/\nbundle/\nbuild/\nkeys/\nnode_modules/\n.venv/\n.gradle/\n*.egg-info/\n*.o\n")

# What the tools write by themselves, and a project cannot do without.
LOCKS = {
    "rust": ("rust", "cargo generate-lockfile -q"),
    "vendored": ("vendored", "cargo generate-lockfile -q && mkdir -p .cargo && cargo vendor --locked > .cargo/config.toml"),
    "go": ("go", "go mod tidy"),
    "web": ("web", "npm install --package-lock-only --no-audit --no-fund"),
    "uv": ("uv", "uv lock -q"),
}
for option in options:
    name, _, projects = option.partition("=")
    if name == "--lock":
        for project in projects.split(",") if projects else LOCKS:
            folder, command = LOCKS[project]
            done = subprocess.run(command, shell=True, cwd=os.path.join(root, folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode:
                sys.exit(f"no lock file for {project}: {command}:\n{done.stdout.decode()}")
