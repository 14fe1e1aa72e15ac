//! Interpreters, compilers and their libraries.

use super::{
    Files, PROGRAM, Program, any_name, library, mark, python, python_program, rust_library,
};

/// A version of Java between two zero bytes, as launchers have it that do not name OpenJDK.
const ORACLE_VERSION: &str =
    r"\x00([0-9]+(?:\.[0-9]+\.[0-9]+|(?:\.[0-9]+)*\+)[-._+a-zA-Z0-9]*)\x00";

pub(super) static LANGUAGES: &[Program] = &[
    Program {
        id: "python-binary",
        files: Files::Like("python", python_program),
        package: "python",
        purl: ["generic", "", "python"],
        cpes: &["python_software_foundation:python", "python:python"],
        marks: &[mark(
            b"",
            r"\x00([23]\.[0-9]+\.[0-9]+(?:[a-z0-9+]{0,12}))\x00",
        )],
        library: Some(mark(
            b"libpython",
            r"\x00(libpython[23]\.[0-9]+[a-z]*\.so(?:\.[0-9]+)*)\x00",
        )),
        fits: python,
        example: ("python3.11", b"\0a\x003.11.2\0", "3.11.2"),
        ..PROGRAM
    },
    Program {
        id: "python-binary-lib",
        files: Files::Like("libpython", library),
        package: "python",
        purl: ["generic", "", "python"],
        cpes: &["python_software_foundation:python", "python:python"],
        marks: &[mark(
            b"",
            r"\x00([23]\.[0-9]+\.[0-9]+(?:[a-z0-9+]{0,12}))\x00",
        )],
        fits: python,
        example: ("libpython3.11.so.1.0", b"\0a\x003.11.2\0", "3.11.2"),
        ..PROGRAM
    },
    Program {
        id: "pypy-binary-lib",
        files: Files::Like("libpypy", library),
        package: "pypy",
        purl: ["generic", "", "pypy"],
        cpes: &["pypy:pypy"],
        marks: &[mark(b"[PyPy ", r"\[PyPy ([0-9]+\.[0-9]+\.[0-9]+)")],
        example: ("libpypy3.9-c.so", b"x\0[PyPy 7.3.11 with GCC", "7.3.11"),
        ..PROGRAM
    },
    Program {
        id: "go-binary",
        files: Files::Named(&["go", "go.exe"]),
        package: "go",
        purl: ["generic", "", "go"],
        cpes: &["golang:go"],
        marks: &[mark(
            b"",
            r"go([0-9]+\.[0-9]+(?:\.[0-9]+|beta[0-9]+|alpha[0-9]+|rc[0-9]+)?)\x00",
        )],
        example: ("go", b"\0go1.19.8\0", "1.19.8"),
        ..PROGRAM
    },
    Program {
        id: "julia-binary",
        files: Files::Named(&["libjulia-internal.so"]),
        package: "julia",
        purl: ["generic", "", "julia"],
        cpes: &["julialang:julia"],
        marks: &[mark(
            b"__init__",
            r"__init__\x00([0-9]+\.[0-9]+\.[0-9]+(?:-[a-z0-9.]+)?)\x00(?:verify|verify_methods|branch)",
        )],
        example: (
            "libjulia-internal.so",
            b"__init__\x001.10.4\0verify_methods\0",
            "1.10.4",
        ),
        ..PROGRAM
    },
    Program {
        id: "nodejs-binary",
        files: Files::Named(&["node", "node.exe"]),
        package: "node",
        purl: ["generic", "", "node"],
        cpes: &["nodejs:node.js"],
        marks: &[
            mark(b"node.js/v", r"node\.js/v([0-9]+\.[0-9]+\.[0-9]+)"),
            mark(b"", r"\x00v([0-6]\.[0-9]+\.[0-9]+)\x00"),
        ],
        example: ("node", b"\0node.js/v20.18.0\0", "20.18.0"),
        ..PROGRAM
    },
    Program {
        id: "perl-binary",
        files: Files::Named(&["perl"]),
        package: "perl",
        kind: "cpan",
        language: "perl",
        purl: ["cpan", "", "perl"],
        cpes: &["perl:perl"],
        marks: &[mark(
            b"/usr/local/lib/perl",
            r"/usr/local/lib/perl[0-9]?/(?:site_perl/)?([0-9]+\.[0-9]+\.[0-9]+)",
        )],
        example: ("perl", b"\0/usr/local/lib/perl5/5.36.0/x\0", "5.36.0"),
        ..PROGRAM
    },
    Program {
        id: "php-composer-binary",
        files: Files::Like("composer", any_name),
        package: "composer",
        kind: "php-composer",
        language: "",
        purl: ["generic", "", "composer"],
        cpes: &["getcomposer:composer"],
        marks: &[mark(
            b"pretty_version",
            r"'pretty_version'\s*=>\s*'([0-9]+\.[0-9]+\.[0-9]+(?:[a-zA-Z]+[0-9]+)?(?:-[a-zA-Z0-9.]+)?)'",
        )],
        example: ("composer.phar", b"'pretty_version' => '2.5.5',", "2.5.5"),
        ..PROGRAM
    },
    Program {
        id: "rust-standard-library-linux",
        files: Files::Like("libstd-", rust_library),
        package: "rust",
        purl: ["generic", "", "rust"],
        cpes: &["rust-lang:rust"],
        marks: &[mark(
            b"(rustc version ",
            r"clang LLVM \(rustc version ([0-9]+\.[0-9]+\.[0-9]+)",
        )],
        example: (
            "libstd-0123456789abcdef.so",
            b"clang LLVM (rustc version 1.63.0 (",
            "1.63.0",
        ),
        ..PROGRAM
    },
    Program {
        id: "ruby-binary",
        files: Files::Named(&["ruby"]),
        package: "ruby",
        purl: ["generic", "", "ruby"],
        cpes: &["ruby-lang:ruby"],
        marks: &[mark(
            b"ruby ",
            r"ruby ([0-9]+\.[0-9]+\.[0-9]+(?:p[0-9]+|preview[0-9]+|rc[0-9]+|dev)?) \(20",
        )],
        library: Some(mark(
            b"libruby",
            r"\x00(libruby[-0-9.]*\.so(?:\.[0-9]+)*)\x00",
        )),
        example: ("ruby", b"\0ruby 3.1.2p20 (2022-04-12", "3.1.2p20"),
        ..PROGRAM
    },
    Program {
        id: "ruby-library",
        files: Files::Like("libruby", library),
        package: "",
        purl: ["generic", "", ""],
        cpes: &[],
        marks: &[mark(
            b"ruby ",
            r"ruby ([0-9]+\.[0-9]+\.[0-9]+(?:p[0-9]+|preview[0-9]+|rc[0-9]+|dev)?) \(20",
        )],
        example: (
            "libruby-3.1.so.3.1",
            b"\0ruby 3.1.2p20 (2022-04-12",
            "3.1.2p20",
        ),
        ..PROGRAM
    },
    Program {
        id: "erlang-binary",
        files: Files::Named(&["erlexec"]),
        package: "erlang",
        purl: ["generic", "", "erlang"],
        cpes: &["erlang:erlang\\/otp"],
        marks: &[
            mark(
                b"/src/otp_src_",
                r"/src/otp_src_([0-9]+\.[0-9]+(?:\.[0-9]+){0,2}(?:-[a-z]+[0-9]+)?)/erts/",
            ),
            mark(
                b"/usr/local/src/otp-",
                r"/usr/local/src/otp-([0-9]+\.[0-9]+(?:\.[0-9]+){0,2}(?:-[a-z]+[0-9]+)?)/erts/",
            ),
        ],
        example: (
            "erlexec",
            b"\0/usr/src/otp_src_25.3.2.7/erts/\0",
            "25.3.2.7",
        ),
        ..PROGRAM
    },
    Program {
        id: "erlang-alpine-binary",
        files: Files::Named(&["beam.smp"]),
        package: "erlang",
        purl: ["generic", "", "erlang"],
        cpes: &["erlang:erlang\\/otp"],
        marks: &[
            mark(
                b"[async-threads:",
                r"\[async-threads:[^\x00]*\x00([0-9]+\.[0-9]+(?:\.[0-9]+){0,2})\x00",
            ),
            mark(
                b"/otp",
                r"/(?:src/otp_src_|src/otp-|usr/local/src/otp-)([0-9]+\.[0-9]+(?:\.[0-9]+){0,2})/erts",
            ),
        ],
        example: (
            "beam.smp",
            b"/home/buildozer/src/otp-OTP/src/otp-26.2.2/erts/\0",
            "26.2.2",
        ),
        ..PROGRAM
    },
    Program {
        id: "erlang-library",
        files: Files::Named(&["liberts_internal.a"]),
        package: "erlang",
        purl: ["generic", "", "erlang"],
        cpes: &["erlang:erlang\\/otp"],
        marks: &[mark(
            b"otp",
            r"/(?:src/otp_src_|usr/local/src/otp-)([0-9]+\.[0-9]+(?:\.[0-9]+){0,2}(?:-[a-z]+[0-9]+)?)/erts/",
        )],
        example: (
            "liberts_internal.a",
            b"/usr/local/src/otp-27.1/erts/\0",
            "27.1",
        ),
        ..PROGRAM
    },
    Program {
        id: "swipl-binary",
        files: Files::Named(&["swipl"]),
        package: "swipl",
        purl: ["generic", "", "swipl"],
        cpes: &[],
        marks: &[mark(b"swipl-", r"swipl-([0-9]+\.[0-9]+\.[0-9]+)/")],
        example: ("swipl", b"/usr/lib/swipl-9.1.22/x\0", "9.1.22"),
        ..PROGRAM
    },
    Program {
        id: "dart-binary",
        files: Files::Named(&["dart"]),
        package: "dart",
        purl: ["generic", "", "dart"],
        cpes: &["dart:dart_software_development_kit"],
        marks: &[mark(b"", r"\x00([0-9]+\.[0-9]+\.[0-9]+(?:-[a-z0-9.]+)?) ")],
        example: ("dart", b"\x003.5.2 (stable)\0", "3.5.2"),
        ..PROGRAM
    },
    Program {
        id: "haskell-ghc-binary",
        files: Files::Like("ghc", any_name),
        package: "haskell/ghc",
        purl: ["generic", "haskell", "ghc"],
        cpes: &["haskell:ghc"],
        marks: &[
            mark(b"GHC ", r"\x00GHC ([0-9]+\.[0-9]+\.[0-9]+)\x00"),
            mark(b"libHSghc-", r"\x00libHSghc-([0-9]+\.[0-9]+\.[0-9]+)-ghc"),
        ],
        example: ("ghc-9.6.5", b"\0GHC 9.6.5\0", "9.6.5"),
        ..PROGRAM
    },
    Program {
        id: "haskell-cabal-binary",
        files: Files::Named(&["cabal"]),
        package: "haskell/cabal",
        purl: ["generic", "haskell", "cabal"],
        cpes: &["haskell:cabal"],
        marks: &[mark(
            b"Cabal-",
            r"\x00Cabal-([0-9]+\.[0-9]+\.[0-9]+(?:\.[0-9]+)?)-",
        )],
        example: ("cabal", b"\0Cabal-3.10.3.0-a\0", "3.10.3.0"),
        ..PROGRAM
    },
    Program {
        id: "haskell-stack-binary",
        files: Files::Named(&["stack"]),
        package: "haskell/stack",
        purl: ["generic", "haskell", "stack"],
        cpes: &["haskell:stack"],
        marks: &[mark(b", Git", r"Version ([0-9]+\.[0-9]+\.[0-9]+), Git")],
        example: ("stack", b"Version 2.9.3, Git revision", "2.9.3"),
        ..PROGRAM
    },
    Program {
        id: "gcc-binary",
        files: Files::Named(&["gcc"]),
        package: "gcc",
        purl: ["generic", "", "gcc"],
        cpes: &["gnu:gcc"],
        marks: &[mark(
            b"GCC: (GNU)",
            r"GCC: \(GNU\)\s+([0-9]+\.[0-9]+\.[0-9]+)",
        )],
        example: ("gcc", b"GCC: (GNU)  12.3.0\0", "12.3.0"),
        ..PROGRAM
    },
    Program {
        id: "java-binary-openjdk",
        files: Files::Named(&["java"]),
        package: "openjdk",
        purl: ["generic", "oracle", "openjdk"],
        cpes: &["oracle:openjdk"],
        marks: &[
            mark(
                b"openjdk",
                r"\x00openjdk\x00java\x00[0-9]+[-._a-zA-Z0-9]*\x00([0-9]+[^\x00]{1,60})\x00",
            ),
            mark(b"openjdk", r"\x00openjdk\x00java\x00([0-9]+[.0-9]*)\x00"),
        ],
        hides: &["java-binary-oracle"],
        example: (
            "java",
            b"\0openjdk\0java\x0017.0\x0017.0.10+7-Debian-1\0",
            "17.0.10+7-Debian-1",
        ),
        ..PROGRAM
    },
    Program {
        id: "java-binary-openjdk-fallthrough",
        files: Files::Named(&["jdb"]),
        package: "openjdk",
        purl: ["generic", "oracle", "openjdk"],
        cpes: &["oracle:openjdk"],
        marks: &[mark(
            b"openjdk",
            r"\x00openjdk\x00jdb\x00[0-9]+[-._a-zA-Z0-9]*\x00([0-9]+[^\x00]{1,60})\x00",
        )],
        hides: &["java-binary-jdk"],
        example: (
            "jdb",
            b"\0openjdk\0jdb\x0017.0\x0017.0.10+7-Debian-1\0",
            "17.0.10+7-Debian-1",
        ),
        ..PROGRAM
    },
    Program {
        id: "java-binary-graalvm",
        files: Files::Named(&["java"]),
        package: "graalvm",
        purl: ["generic", "oracle", "graalvm"],
        cpes: &["oracle:graalvm"],
        marks: &[mark(
            b"-jvmci-",
            r"\x00([0-9]+[-._+a-zA-Z0-9]*-jvmci-[-._+a-zA-Z0-9]*)\x00",
        )],
        hides: &["java-binary-openjdk", "java-binary-oracle"],
        example: (
            "java",
            b"\x0021.0.1+13-jvmci-23.1-b30\0",
            "21.0.1+13-jvmci-23.1-b30",
        ),
        ..PROGRAM
    },
    Program {
        id: "java-binary-oracle",
        files: Files::Named(&["java"]),
        package: "jre",
        purl: ["generic", "oracle", "jre"],
        cpes: &["oracle:jre"],
        marks: &[mark(b"", ORACLE_VERSION)],
        example: (
            "java",
            b"\0java\0java\x0021.0\x0021.0.2+13-LTS-58\0",
            "21.0.2+13-LTS-58",
        ),
        ..PROGRAM
    },
    Program {
        id: "java-binary-jdk",
        files: Files::Named(&["jdb"]),
        package: "jdk",
        purl: ["generic", "oracle", "jdk"],
        cpes: &["oracle:jdk"],
        marks: &[mark(b"", ORACLE_VERSION)],
        example: ("jdb", b"\0jdb\x0021.0\x0021.0.6+9-LTS\0", "21.0.6+9-LTS"),
        ..PROGRAM
    },
    Program {
        id: "elixir-binary",
        files: Files::Named(&["elixir"]),
        package: "elixir",
        purl: ["generic", "", "elixir"],
        cpes: &["elixir-lang:elixir"],
        marks: &[mark(
            b"ELIXIR_VERSION=",
            r"ELIXIR_VERSION=([0-9]+\.[0-9]+\.[0-9]+(?:-[a-z0-9.]+)?)",
        )],
        example: ("elixir", b"ELIXIR_VERSION=1.14.0\n", "1.14.0"),
        ..PROGRAM
    },
    Program {
        id: "elixir-library",
        files: Files::Named(&["elixir.app"]),
        package: "elixir",
        purl: ["generic", "", "elixir"],
        cpes: &["elixir-lang:elixir"],
        marks: &[mark(
            b"{vsn,",
            r#"\{vsn,\s*\"([0-9]+\.[0-9]+\.[0-9]+(?:-[a-z0-9.]+)?)\"\}"#,
        )],
        example: ("elixir.app", b"{vsn,\"1.14.0\"},", "1.14.0"),
        ..PROGRAM
    },
    Program {
        id: "deno-binary",
        files: Files::Named(&["deno", "deno.exe"]),
        package: "deno",
        purl: ["generic", "", "deno"],
        cpes: &["deno:deno"],
        marks: &[mark(
            b"Deno/",
            r"Deno/([0-9]+\.[0-9]+\.[0-9]+)(?:Deno/|\+[0-9a-f]{7}|\x00|$)",
        )],
        example: ("deno", b"\0Deno/1.46.3\0", "1.46.3"),
        ..PROGRAM
    },
    Program {
        id: "bun-binary",
        files: Files::Named(&["bun", "bun.exe"]),
        package: "bun",
        purl: ["generic", "", "bun"],
        cpes: &["oven-sh:bun", "bun:bun"],
        marks: &[
            mark(b"Bun/", r"Bun/([0-9]+\.[0-9]+\.[0-9]+)"),
            mark(b"bun/", r"bun/([0-9]+\.[0-9]+\.[0-9]+)"),
            mark(b"Bun v", r"Bun v([0-9]+\.[0-9]+\.[0-9]+)"),
        ],
        example: ("bun", b"\0Bun/1.1.34\0", "1.1.34"),
        ..PROGRAM
    },
];
