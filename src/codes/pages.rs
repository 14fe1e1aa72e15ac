//! The pages, by subject.

use super::Page;

// The files themselves.
codes! {
    InvalidYaml "invalid-yaml" {
        "A file is not valid YAML",
        "The text cannot be read as YAML 1.2, or it uses something that other readers take for another value: tags, a second document, aliases that grow beyond limits. Nothing after that place is checked.",
        "name: web\n  version: 1.0.0     # indented deeper than `name`",
        "Correct the indentation, quotes or brackets at the place named in the message. A value with `: `, ` #` or a leading `*`, `&`, `!`, `{`, `[` needs quotes."
    }
    UnreadableFile "unreadable-file" {
        "A definition, pipeline or workspace file cannot be read",
        "The file is missing, is larger than the limit, is not UTF-8, or you may not read it.",
        "error: cannot read `web/jackal.yaml`: permission denied",
        "Make the file readable, or leave its folder out with `exclude` in jackal-workspace.yaml."
    }
    OtherVersion "other-version" {
        "A file requires another version of jackal",
        "`requires` names a range of versions, and this program is not in it. The rest of the file is not read: it may use keys of that version.",
        "requires: '>=9.0'",
        "Install a version in the range, or change the range if the file needs nothing of that version."
    }
    UnknownKey "unknown-key" {
        "A key is not known in this place",
        "Keys that are not known are refused: one that was ignored would look as if it worked. A key may also be known elsewhere, such as in another verb of a task.",
        "tasks:\n  test:\n    run: [make, test]\n    timeuot: 5m",
        "Correct the spelling, or move the key to where it belongs. `jackal schema pipeline`, `package` and `workspace` print all keys; keys that begin with `x-` are yours."
    }
    DuplicateKey "duplicate-key" {
        "A key is written twice",
        "Of two values of one key, some readers take the first and some the last.",
        "env:\n  MODE: fast\n  MODE: safe",
        "Remove one of them."
    }
    MissingKey "missing-key" {
        "A required key is missing",
        "Without this key it is not known what to do, or it would have to be guessed.",
        "components:\n- description: no name",
        "Add the key. `jackal schema` says which keys each part needs."
    }
    WrongType "wrong-type" {
        "A value has another type than its key expects",
        "A list stands where a string is expected, say, or a number where a string is: `1.10` without quotes is the number 1.1 for other readers.",
        "metadata:\n  name: web\n  version: 1.10",
        "Write the value as the message says; quote numbers, `true` and `false` where a string is expected."
    }
    EmptyValue "empty-value" {
        "A key has no value",
        "In files that say whom to trust, a value that is left out must not mean `anyone`.",
        "rules:\n- packages: web\n  signers:",
        "Write the value, or remove the key."
    }
    InvalidValue "invalid-value" {
        "A value is not allowed here",
        "The value has the right type, but breaks a rule of its key or contradicts another key. The message says which one.",
        "components:\n- name: Web Server",
        "Correct the value; the help below the message says how."
    }
    // Pipelines and workspaces.
    UnknownTask "unknown-task" {
        "A reference names a task that does not exist",
        "`task:NAME`, `dependsOn` and similar keys name tasks of the same file, or FOLDER:TASK from the root of the workspace.",
        "tasks:\n  pack:\n    run: [tar, cf, site.tar, dist]\n    inputs: ['task:bundel']",
        "Correct the name, or add the task. `jackal list` prints the names of all tasks."
    }
    InvalidReference "invalid-reference" {
        "A reference selects no instance, or too many",
        "`task[axis=value]` selects instances of a matrix. Where one is expected, several are a mistake.",
        "sign: { subjects: 'package[arch=arm]' }   # the matrix has arm64",
        "Use values of the matrix. `jackal list` prints each instance."
    }
    InvalidExpression "invalid-expression" {
        "An expression has no value",
        "A template `${{ }}` or an `if` names something that does not exist here, or combines values that do not fit.",
        "run: [echo, '${{ matrix.arch }}']          # without `matrix`",
        "Use params, matrix, env (declared only), git, platform or tasks. A variable of the environment must be in `passThroughEnv`, and set."
    }
    DependencyCycle "dependency-cycle" {
        "Tasks need each other",
        "None of the tasks in the cycle can run first.",
        "tasks:\n  a: { run: [x], inputs: ['task:b'] }\n  b: { run: [y], inputs: ['task:a'] }",
        "Remove one of the references, or split one of the tasks."
    }
    InvalidOutput "invalid-output" {
        "An output is not a path that a task may write",
        "Outputs are paths in the folder of the pipeline file. A pattern, a path that leads out of the folder, and a path in `.git` are refused.",
        "outputs: ['dist/*.js']",
        "Declare the folder, such as `dist/`, or the file."
    }
    OutputOverlap "output-overlap" {
        "Two tasks write the same path",
        "Each path belongs to one task; otherwise the result depends on which one ran last.",
        "tasks:\n  a: { run: [x], inputs: [], outputs: [dist/] }\n  b: { run: [y], inputs: [], outputs: [dist/app.js] }",
        "Give each task its own folder. In a matrix, put a value into the path: `dist/${{ matrix.arch }}/`."
    }
    DuplicateTask "duplicate-task" {
        "Two tasks have the same name",
        "The name of a task is its folder and its own name. Two pipeline files in one folder share the folder.",
        "ci.yaml and jackal.pipeline.yaml of one folder both have `test`",
        "Rename one of the tasks, or move one of the files to a folder of its own."
    }
    UnmatchedInclude "unmatched-include" {
        "A pattern of `include` matches no file",
        "A pattern that matches nothing is probably misspelled.",
        "include: [packges/*/pipeline.yaml]",
        "Correct the pattern; it is relative to the file that contains it. Remove it if the files are gone."
    }
    TooLarge "too-large" {
        "A pipeline is too large to be planned",
        "Matrices and selectors multiply. Beyond the limit, planning would take the memory of the machine.",
        "matrix: { a: [...200 values], b: [...200 values] }",
        "Use smaller matrices, or references with fewer instances."
    }
    InvalidPlan "invalid-plan" {
        "The tasks of a workspace do not fit together",
        "Each file is valid, but what one task needs, another does not make: an image of a component is missing, a package has no tag, a signature covers no package.",
        "`package` lists no task that makes the image of a component",
        "The message names the task, the key and the next step."
    }
    // Definitions.
    UnreadableImport "unreadable-import" {
        "An import cannot be read",
        "The folder has no definition, the skeleton package does not exist, or the network is needed and cannot be used.",
        "import: { path: ../comon }",
        "Correct the path or URL. With --offline, run `jackal update` once with the network."
    }
    UnreadSkeleton "unread-skeleton" {
        "An import from a registry was not read",
        "An editor checks files without the network, so it knows nothing of what a component takes from a skeleton package. A build and `jackal dev lint` read it.",
        "import: { url: oci://registry.example.com/skeletons/base:1.0.0 }",
        "Run `jackal dev lint`."
    }
    UnknownComponent "unknown-component" {
        "An import names a component that does not exist",
        "The imported definition has no component with this name, for this architecture and flavor.",
        "import: { path: ../common, name: databse }",
        "Use one of the names in the message, or set `name` if the component is called differently there."
    }
    ImportCycle "import-cycle" {
        "Definitions import each other",
        "A component that imports itself over other files has no content.",
        "a imports from ../b, and b imports from ../a",
        "Remove the `import` of one of these components."
    }
    MissingFile "missing-file" {
        "A file that a definition names does not exist",
        "The path exists neither on disk nor among the outputs of the tasks of the workspace. The build would fail.",
        "files:\n- { source: binn/tool, target: /usr/bin/tool }",
        "Correct the path; it is relative to the definition's folder. If a task makes the file, list the path in its `outputs`."
    }
    UnmadeFile "unmade-file" {
        "A file does not exist yet",
        "An `onCreate` action may make the file; this cannot be known before it runs.",
        "actions:\n  onCreate:\n    before: [{ cmd: make tool }]\nfiles:\n- { source: tool, target: /usr/bin/tool }",
        "Make sure that the action creates it. A task with `outputs` is cached, an action is not."
    }
    RefusedFile "refused-file" {
        "A build would refuse a file",
        "The file exists, but is not what its key needs: a folder where a file is expected, or a chart that Helm cannot load.",
        "files:\n- { source: bin, target: /usr/bin/tool }   # a folder",
        "The message says what is wrong with the file."
    }
    UnpinnedImage "unpinned-image" {
        "An image has a tag, but no digest",
        "A registry can move a tag. jackal.lock pins it for your builds; others who build from the definition alone may get another image.",
        "images: [nginx:1.27]",
        "Append @sha256: and the digest from jackal.lock, or accept the warning if the lock file is committed."
    }
    InvalidImage "invalid-image" {
        "The name of an image is not valid",
        "It does not have the form HOST/PATH:TAG or HOST/PATH@DIGEST.",
        "images: ['my app:1']",
        "Correct the reference. Names of repositories are lower case."
    }
    UnpinnedRepo "unpinned-repo" {
        "A Git repository is not pinned",
        "Without a tag or commit, the package holds all branches as they are on the day of the build.",
        "repos: ['https://github.com/org/app.git']",
        "Append @ and a tag, or preferably a commit."
    }
    NoShasum "no-shasum" {
        "A remote file has no checksum",
        "If the file changes on its server, the package changes without notice.",
        "files:\n- { source: 'https://example.com/tool', target: /usr/bin/tool }",
        "Add `shasum`. `jackal dev sha256sum URL` prints it."
    }
    InvalidShasum "invalid-shasum" {
        "A checksum is not a SHA-256 checksum",
        "It needs 64 hexadecimal digits.",
        "shasum: abc",
        "Use the output of `sha256sum FILE` or `jackal dev sha256sum URL`."
    }
    SuspiciousShasum "suspicious-shasum" {
        "A checksum is a placeholder",
        "It repeats a single digit. No file has this checksum, so the build would fail.",
        "shasum: '0000000000000000000000000000000000000000000000000000000000000000'",
        "Use the output of `sha256sum FILE` or `jackal dev sha256sum URL`."
    }
    UnsetVariable "unset-variable" {
        "A variable has no value at deployment",
        "The package uses a variable that it neither declares nor sets. Its text would be deployed as it is.",
        "target: '###JACKAL_VAR_DIR###/app'",
        "Add it to `variables` or `constants`, or set it in an action with `setVariables`."
    }
    UnsetTemplate "unset-template" {
        "A template has no value",
        "The build asks for it, and fails where no user can answer.",
        "version: '###JACKAL_PKG_TMPL_VERSION###'",
        "Pass --set VERSION=1.2.3 to the build, or set it in the configuration file."
    }
    Deprecated "deprecated" {
        "A key is deprecated",
        "It still works, and has a successor.",
        "components:\n- name: web\n  cosignKeyPath: key.pub",
        "The help below the message names the successor."
    }
    IgnoredKey "ignored-key" {
        "A key has no effect",
        "It is accepted because other programs read it, but a build of jackal does not use it.",
        "metadata: { image: logo.png }",
        "Remove it, unless other programs need it."
    }
    // Failed commands: the kinds of causes in the run record.
    UndeclaredInput "undeclared-input" {
        "A command reads a file that is not among its inputs",
        "In the sandbox, a command sees only what the task declares. The file is in the workspace, and would have been found there without the sandbox.",
        "cannot find module './config' (config.js is not in `inputs`)",
        "Add the file to `inputs`. `jackal dev inputs TASK` prints all files that the command reads."
    }
    UndeclaredFile "undeclared-file" {
        "A command reads a file of this machine",
        "The file is outside of the workspace and of the declared tools, so the sandbox does not have it. Another machine may not have it either.",
        "/opt/sdk/lib/libfoo.so: No such file or directory",
        "Add what it belongs to under `tools`, `packages` or `toolchains`, or copy it into the workspace."
    }
    UndeclaredTool "undeclared-tool" {
        "A command starts a program that is not among its tools",
        "The program is installed, but the task does not name it. Its version would not be part of the key.",
        "sh: 1: jq: not found",
        "Add it to `tools`."
    }
    MissingTool "missing-tool" {
        "A program is not installed",
        "The program is in no folder of PATH.",
        "sh: 1: protoc: not found",
        "Install it, or use a toolchain that brings it. `jackal dev tools` prints what tools resolve to."
    }
    ScriptTool "script-tool" {
        "A tool is a script that may start other programs",
        "A wrapper such as those of version managers looks for the real program outside of the sandbox.",
        "tools: [gradlew]",
        "Declare what the script starts, or the program itself."
    }
    FailedTests "failed-tests" {
        "Tests failed",
        "The reports of the test program name the tests; the command ended with an error because of them.",
        "2 of 140 tests failed: parser rejects tabs, parser keeps order",
        "Correct the tests, or what they test. `--junit` writes all of them to a file."
    }
    NoNetwork "no-network" {
        "A command needs the network, and has none",
        "Commands run without a network: what they download may differ the next time, and would not be part of the key.",
        "curl: (6) Could not resolve host: example.com",
        "Declare the download as an input with a checksum, use `caches` for a package manager, or set `network: true`."
    }
    OutOfMemory "out-of-memory" {
        "A command was killed because memory ran out",
        "The system kills a process when memory is short, in a container at the limit of the container.",
        "killed by signal 9 (SIGKILL)",
        "Set `resources: { memory: ... }` so that fewer tasks run beside it, use fewer jobs, or give the machine more memory."
    }
    DiskFull "disk-full" {
        "The disk is full",
        "A command could not write its files.",
        "No space left on device",
        "Free space, run `jackal cache prune`, or move the cache with --cache-dir or JACKAL_CACHE."
    }
    MissingOutput "missing-output" {
        "A command did not make a declared output",
        "It succeeded, but the path in `outputs` is missing or has another type. Later tasks would read nothing.",
        "outputs: [dist/app.js]   # the command writes build/app.js",
        "Correct the path, which is relative to the pipeline file, or set `optional: true`."
    }
    Running "running" {
        "What ran when the time was up",
        "The task took longer than its `timeout`. The message names the processes that were still running.",
        "timed out after 15m; still running: jest --watch",
        "Raise `timeout`, or correct a command that waits for input or for files to change."
    }
    Service "service" {
        "A service ended, or did not become ready",
        "`services` run beside a command. If one of them fails, the command usually fails because of it.",
        "services: { db: { run: [postgres], ready: { tcp: 5432 } } }",
        "See the log of the service above the failure, and check its `ready`."
    }
    // Packages that are not trusted.
    NoSigner "no-signer" {
        "A package is signed, but nothing says by whom it should be",
        "A signature by anyone proves nothing. Verification needs the key or the identity that you trust.",
        "jackal package verify signed.tar.zst",
        "Pass --key, or --certificate-identity and --certificate-oidc-issuer, or --policy."
    }
    NotSigned "not-signed" {
        "A package is not signed",
        "You named a key or identity, and the package has no signature. It may be the wrong package, or its signature was removed.",
        "jackal package verify --key release.pub unsigned.tar.zst",
        "Get the package from its publisher again. Do not leave the key out to get past this."
    }
    SignatureLost "signature-lost" {
        "The signature of a package is missing",
        "Its definition says that it is signed. Someone or something removed the signature.",
        "`metadata.signed` is true, and there is no bundle",
        "Get the package again, with the files beside it."
    }
    UntrustedSignature "untrusted-signature" {
        "A signature is not by a trusted signer",
        "It was made with another key or identity, does not match the bytes, or cannot be checked.",
        "jackal package verify --key old.pub package.tar.zst",
        "Check that you use the publisher's current key or identity. If you do, do not use the package."
    }
    NoPolicyRule "no-policy-rule" {
        "A policy does not mention a package",
        "A policy trusts only the packages that its rules name.",
        "rules:\n- packages: web-*\n  signers: [{ key: release.pub }]",
        "Add a rule with the signers of the package."
    }
    UnusableRoot "unusable-root" {
        "A trusted root cannot be used",
        "Keyless signatures are checked against the certificates and keys of a trusted root, and it cannot be read or has expired.",
        "jackal package verify --trusted-root root.json",
        "Get a new one: `jackal tools trusted-root --help`."
    }
    NoAttestation "no-attestation" {
        "A required attestation is missing",
        "The policy requires a statement, such as provenance, by a trusted signer. None of the statements beside the package is.",
        "attestations: [{ predicateType: https://slsa.dev/provenance/v1 }]",
        "Publish the package with its attestations, or correct the policy."
    }
    TooManySignatures "too-many-signatures" {
        "There are too many signatures to examine",
        "The number is limited so that a stranger cannot keep a verifier busy by attaching signatures.",
        "hundreds of referrers beside one package",
        "Remove unrelated ones from the registry, or pass the right one with --bundle."
    }
    OldSignature "old-signature" {
        "A signature is older than the policy allows",
        "The policy limits the age, so that an old package with known faults is not offered as a new one.",
        "maxAge: 30d",
        "Get a newer package, or raise `maxAge`."
    }
    NoTrustedTime "no-trusted-time" {
        "The time of a signature is not known",
        "The policy limits its age, and only a transparency log or a timestamp service can tell the age.",
        "signed with a key, without a timestamp",
        "Sign with --tsa-server-url, or keyless."
    }
    OtherPackage "other-package" {
        "The package is not the one that was asked for",
        "The signature is valid, but for a package of another name, version or architecture. The package may have been substituted.",
        "expected version `1.2.0`, but the signed package says `1.1.0`",
        "Check the reference. If it is right, ask the publisher."
    }
    MovedTag "moved-tag" {
        "A tag that looks like a version names another version",
        "Someone may have moved the tag to an older package, which has a valid signature of its own.",
        "oci://registry.example.com/web:1.2.0 holds version 1.1.0",
        "Use the digest of the package that you want, and ask the publisher."
    }
    NotAPackage "not-a-package" {
        "Something is not a package",
        "It has no definition, or one that cannot be read.",
        "jackal package inspect archive.tar.zst",
        "Check the path or reference."
    }
    BadChecksums "bad-checksums" {
        "The list of checksums of a package is missing or wrong",
        "checksums.txt names every file with its digest, and the definition names the digest of the list. One of the two was changed or damaged.",
        "checksums.txt has another digest than metadata.aggregateChecksum",
        "Get the package again."
    }
    MissingContent "missing-content" {
        "Something is missing in a package",
        "The list of checksums or the definition names a file, image or part that the package does not have.",
        "`components/web.tar` is listed in checksums.txt but missing",
        "Get the package again; if it is the same, its publisher has to build it again."
    }
    ExtraFile "extra-file" {
        "A package has a file that nothing covers",
        "It is not in checksums.txt, so no signature covers it.",
        "`components/extra.tar` is in the package",
        "Get the package again. Do not use a file that was added."
    }
    BadContent "bad-content" {
        "A file of a package contradicts others or cannot be used",
        "Its digest may be right, but what it says does not fit the rest of the package.",
        "an image layout whose index names a blob that is too large",
        "The message names the file. Its publisher has to build the package again."
    }
    AlteredContent "altered-content" {
        "The content of a file does not have its digest",
        "The bytes were changed or damaged after the package was made.",
        "`components/web.tar` has digest 9f..., but checksums.txt says 4b...",
        "Get the package again; check the disk and the connection if that does not help."
    }
}
