#!/usr/bin/env python3
"""Writes a repository with many toolchains, and a pipeline as a reader of the guide
would write it.

    tests/peer/monorepo.py FOLDER

Dependencies come from crates.io, the Go module proxy, npm, PyPI and Maven Central when
the tools fetch them.
"""

import os
import sys

root = sys.argv[1]


def put(path, text, mode=0o644):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text.lstrip("\n"))
    os.chmod(path, mode)


# A Rust workspace of 14 crates.
names = [f"lib{number:02}" for number in range(13)]
put("rust/Cargo.toml", """
[workspace]
resolver = "2"
members = ["app", %s]
""" % ", ".join(f'"{name}"' for name in names))
for number, name in enumerate(names):
    before = names[number - 1] if number else None
    needs = f'{before} = {{ path = "../{before}" }}\n' if before else 'itoa = "1"\n'
    put(f"rust/{name}/Cargo.toml", f"""
[package]
name = "{name}"
version = "0.1.0"
edition = "2021"

[dependencies]
{needs}""")
    body = f"{before}::value() + {number}" if before else "itoa::Buffer::new().format(7_u32).len() as u32"
    put(f"rust/{name}/src/lib.rs", f"""
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
put("rust/app/Cargo.toml", f"""
[package]
name = "app"
version = "0.1.0"
edition = "2021"

[dependencies]
{names[-1]} = {{ path = "../{names[-1]}" }}
""")
put("rust/app/src/main.rs", f"""
fn main() {{
    println!("rust {{}}", {names[-1]}::value());
}}
""")

# A Go module with a dependency.
put("go/go.mod", """
module example.com/svc

go 1.22

require golang.org/x/text v0.14.0
""")
put("go/main.go", """
package main

import (
	"fmt"

	"golang.org/x/text/language"
)

func greeting() string { return "go " + language.German.String() }

func main() { fmt.Println(greeting()) }
""")
put("go/main_test.go", """
package main

import "testing"

func TestGreeting(t *testing.T) {
	if greeting() != "go de" {
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
    "build": "tsc && esbuild dist/main.js --bundle --outfile=dist/bundle.js"
  },
  "devDependencies": { "esbuild": "0.21.5", "typescript": "5.4.5" }
}
""")
put("web/tsconfig.json", """
{ "compilerOptions": { "target": "es2020", "module": "es2020", "moduleResolution": "node",
  "strict": true, "outDir": "dist", "rootDir": "src" } }
""")
put("web/src/sum.ts", "export const sum = (a: number, b: number): number => a + b;\n")
put("web/src/main.ts", 'import { sum } from "./sum";\nconsole.log("web", sum(1, 2));\n')

# A Python package.
put("py/pyproject.toml", """
[build-system]
requires = ["setuptools==69.5.1", "wheel==0.43.0"]
build-backend = "setuptools.build_meta"

[project]
name = "tally"
version = "1.0.0"

[tool.setuptools]
packages = ["tally"]
""")
put("py/tally/__init__.py", "def tally(items):\n    return len(items)\n")
put("py/tests/test_tally.py", """
import unittest

from tally import tally


class TallyTest(unittest.TestCase):
    def test_tally(self):
        self.assertEqual(tally([1, 2]), 2)
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

# A Maven module.
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
  <build>
    <plugins>
      <!-- The version that Maven 3.8 takes by itself writes the time into archives. -->
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-jar-plugin</artifactId>
        <version>3.4.1</version>
      </plugin>
    </plugins>
  </build>
</project>
""")
put("java/src/main/java/com/example/Greeter.java", """
package com.example;

public final class Greeter {
    public static void main(String[] arguments) {
        System.out.println("java");
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
  - { source: go/out/svc, target: /usr/local/bin/svc, executable: true }
  - { source: c/out/hello, target: /usr/local/bin/hello, executable: true }
  - { source: cpp/build/show, target: /usr/local/bin/show, executable: true }
- name: libraries
  required: true
  files:
  - { source: web/dist, target: /srv/web }
  - { source: py/dist, target: /srv/py }
  - { source: java/target/greeter-1.0.0.jar, target: /srv/greeter.jar }
- name: cluster
  required: true
  charts:
  - { name: suite, localPath: chart, version: 1.0.0, namespace: suite }
  manifests:
  - { name: namespace, files: [manifests/namespace.yaml] }
- name: image
  required: true
  images: ["registry.example.com/acme/svc:1.0.0"]
""")
put("jackal.pipeline.yaml", """
kind: JackalPipeline
version: 1
name: suite
passThroughEnv: [SSL_CERT_FILE, PIP_CERT, NODE_EXTRA_CA_CERTS]
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
  web:
    run: npm ci --no-audit --no-fund && npm run build
    shell: sh
    workdir: web
    inputs: [web/**]
    outputs: [web/dist/]
    tools: [node, npm]
    caches: [npm]
    network: true
  py:
    run: [python3, -m, pip, wheel, --no-deps, -w, dist, .]
    workdir: py
    inputs: [py/**]
    outputs: [py/dist/]
    tools: [python3]
    network: true
  py-test:
    run: [python3, -m, unittest, discover, -s, tests]
    workdir: py
    inputs: [py/**]
    tools: [python3]
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
  image:
    image:
      name: registry.example.com/acme/svc:1.0.0
      base: scratch
      platform: linux/amd64
      layers: [{ from: go/out/svc, to: /svc }]
      config: { entrypoint: [/svc] }
  images: { images: { from: jackal.yaml } }
  components:
    matrix: { name: [programs, libraries, cluster] }
    component: { definition: jackal.yaml, name: '${{ matrix.name }}' }
  sboms: { sbom: { of: [components, images] } }
  package:
    package: { definition: jackal.yaml, components: components, images: images, sboms: sboms }
""")
put(".gitignore", "target/\nout/\ndist/\nbuild/\nnode_modules/\n*.o\n")
