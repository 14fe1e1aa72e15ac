//! Commands can only access what their tasks declare, if this machine can enforce it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use jackal::testing::{Level, best};

use crate::sandbox::Sandbox;
use crate::sandbox::{HEAD, Said};

pub fn level() -> Level {
    best(Some(Path::new(env!("CARGO_BIN_EXE_jackal"))))
}

/// One task `a` that runs `script`, and a file `undeclared` beside it.
fn build(sandbox: &Sandbox, script: &str, more: &str) -> Said {
    pipeline(sandbox, script, more);
    sandbox.run(&["build", "--pipeline", "p.yaml"])
}

fn pipeline(sandbox: &Sandbox, script: &str, more: &str) {
    sandbox.write("undeclared", "secret\n");
    sandbox.write("script", script);
    sandbox.write(
        "p.yaml",
        format!(
            "{HEAD}tasks:\n  a:\n    \
             run: [sh, script]\n    inputs: [script]\n    outputs: [o]\n    {more}\n"
        ),
    );
}

/// The program in a place where user namespaces are refused.
pub fn without_namespaces(sandbox: &Sandbox) -> Command {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "sh", "-c", script, "sh"])
        .arg(env!("CARGO_BIN_EXE_jackal"))
        .args(["build", "--pipeline", "p.yaml"])
        .current_dir(sandbox.src())
        .env_clear()
        .env("JACKAL_CACHE", sandbox.cache())
        .env("PATH", "/usr/bin:/bin");
    command
}

#[test]
fn a_file_that_is_not_declared_cannot_be_read_by_its_absolute_path() {
    let sandbox = Sandbox::new();
    let path = sandbox.src().join("undeclared");
    let script = format!("cat {} > o", path.display());
    let mode = |mode: &str| {
        let more = format!("tools: [sh, cat]\n    sandbox: {mode}");
        build(&sandbox, &script, &more)
    };
    let free = mode("none");
    assert_eq!(free.code, Some(0), "{}", free.stderr);
    let strict = mode("strict");
    assert_ne!(
        strict.code,
        Some(0),
        "the result of `none` is no result here"
    );
    if level() != Level::Namespaces {
        assert!(strict.stderr.contains("namespaces"), "{}", strict.stderr);
        return;
    }
    for said in [strict, mode("warn")] {
        assert!(
            said.stderr.contains("`undeclared` exists"),
            "{}",
            said.stderr
        );
        assert!(
            said.stderr.contains("`inputs` in p.yaml:7:13"),
            "{}",
            said.stderr
        );
    }
}

#[test]
fn without_namespaces_the_rest_is_held_and_results_are_others() {
    if level() != Level::Namespaces {
        return;
    }
    let sandbox = Sandbox::new();
    let path = sandbox.src().join("undeclared");
    let read = || fs::read_to_string(sandbox.src().join("o")).unwrap();
    pipeline(&sandbox, "pwd > o", "tools: [sh]");
    let said = super::sandbox::said(&mut without_namespaces(&sandbox));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(read().ends_with("/root\n"), "{}", read());
    let said = build(&sandbox, "pwd > o", "tools: [sh]");
    assert!(said.stderr.contains("1 executed"), "{}", said.stderr);
    assert_eq!(read(), "/jackal/work\n");
    // What was made with namespaces counts without them as well.
    let said = super::sandbox::said(&mut without_namespaces(&sandbox));
    assert!(said.stderr.contains("1 cached"), "{}", said.stderr);
    assert_eq!(read(), "/jackal/work\n");
    let script = format!("cat {} > o", path.display());
    pipeline(&sandbox, &script, "tools: [sh, cat]");
    let said = super::sandbox::said(&mut without_namespaces(&sandbox));
    assert!(
        said.stderr.contains("`undeclared` exists"),
        "{}",
        said.stderr
    );
    pipeline(&sandbox, "echo > o", "tools: [sh]\n    sandbox: strict");
    let said = super::sandbox::said(&mut without_namespaces(&sandbox));
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("user namespaces"), "{}", said.stderr);
}

#[test]
fn a_declared_tool_runs_from_any_folder_but_files_beside_it_cannot_be_read() {
    if level() == Level::Free {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("own/tool", "#!/bin/sh\necho made\n");
    sandbox.write("own/other", "#!/bin/sh\necho other\n");
    for name in ["own/tool", "own/other"] {
        let path = sandbox.src().join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", sandbox.src().join("own").display());
    let run = |script: &str| {
        pipeline(&sandbox, script, "tools: [sh, tool, mkdir, mv]");
        let args = ["build", "--pipeline", "p.yaml"];
        super::sandbox::said(sandbox.command(&args).env("PATH", &path))
    };
    let said = run("mkdir -p d && tool > d/x && mv d/x o && echo > \"$TMPDIR/t\" > /dev/null");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(fs::read(sandbox.src().join("o")).unwrap(), b"made\n");
    let other = sandbox.src().join("own/other");
    let said = run(&format!("{} > o", other.display()));
    assert_ne!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn a_command_cannot_write_outside_its_stage() {
    if level() == Level::Free {
        return;
    }
    let sandbox = Sandbox::new();
    let path = sandbox.src().join("undeclared");
    let script = format!("echo changed > {}; echo > o", path.display());
    build(&sandbox, &script, "tools: [sh]");
    assert_eq!(fs::read(&path).unwrap(), b"secret\n");
}

/// Attempts to get at something outside, one a line: each prints what it found, or
/// succeeds where it must not.
const ATTEMPTS: &str = r#"
for f in environ mem maps fd/0 root/etc/shadow cwd/. exe; do has cat /proc/1/$f; done
has cat @OUTSIDE@
has cat /proc/1/root@OUTSIDE@
ln -s @OUTSIDE@ link && has cat link
has ln @OUTSIDE@ hard
has ls @FOLDER@
has test -e @FOLDER@
has ls /root /home/* /var/lib /opt /mnt /srv /boot
has cat /etc/shadow
has cat /etc/gshadow
has cat /etc/machine-id
has cat <&9
has test -e /sys/kernel
has test -e /dev/kmsg
has test -e /dev/mem
has test -e /dev/fuse
has test -e /dev/kvm
has sh -c 'ls /dev/disk /dev/vd* /dev/sd* /dev/nvme*'
has sh -c 'ls /dev/shm/*'
has sh -c 'ls /tmp/*'
has sh -c 'echo x > /usr/lib/escape'
has sh -c 'echo x > /etc/escape'
has sh -c 'echo x > /escape'
has sh -c 'echo x > /proc/sys/kernel/core_pattern'
has sh -c 'echo h > /proc/sysrq-trigger'
has sh -c 'echo x > /etc/passwd'
has sh -c 'read x < /dev/tty'
has mknod null c 1 3
has mknod disk b 8 0
has mount -t tmpfs none /usr
has mount --bind /jackal/work /usr
has mount -o remount,rw /usr
has umount /proc/sys
has unshare --mount mount -t tmpfs none /usr
has unshare --user true
has unshare --user --map-root-user --mount true
has chmod 0666 /dev/full
has touch -h /dev/full
has ls /etc/ssl/private
has sh -c 'echo x >> /proc/self/exe'
has chroot / true
has chown 0:0 script
has chown 1:1 script
has hostname other
has nsenter --target 1 --mount true
has nsenter --mount=/proc/1/ns/mnt true
has su root -c true
has sudo -n true
has setpriv --reuid 0 true
kill -KILL 1
sleep 0.1
has renice -n -5 $$
has dmesg
has date -s 2001-01-01
has sh -c 'cat /proc/[0-9]*/environ | tr "\0" "\n" | grep ^CALLER='
has sh -c 'cat /proc/net/route | grep -v ^Iface'
has sh -c 'tail -n +3 /proc/net/dev | grep -v " lo:"'
has sh -c 'cat /proc/net/unix | tail -n +2 | grep .'
has sh -c 'test $(ls -d /proc/[0-9]* | wc -l) -gt 9'
has sh -c 'ls /proc/sysvipc && tail -n +2 /proc/sysvipc/shm | grep .'
has sh -c 'printenv CALLER'
"#;

#[test]
fn no_attempt_to_reach_out_of_the_namespaces_succeeds() {
    if level() != Level::Namespaces {
        return;
    }
    let sandbox = Sandbox::new();
    let outside = sandbox.src().join("undeclared");
    let attempts = ATTEMPTS
        .replace("@OUTSIDE@", &outside.display().to_string())
        .replace("@FOLDER@", &sandbox.src().display().to_string());
    let script = format!(
        "has() {{ found=$(\"$@\" 2>/dev/null </dev/null) && echo \"LEAK $*: $found\" | head -n 1 >> o; }}\n\
         : > o{attempts}echo done >> o\n"
    );
    let script = script.replace(
        "has cat <&9",
        "{ x=$(cat <&9) && echo LEAK fd: $x >> o; } 2>/dev/null",
    );
    let tools = "[sh, cat, ls, ln, test, mknod, mount, umount, unshare, chroot, chown, hostname, \
                 nsenter, su, setpriv, sleep, 'true', renice, dmesg, date, tr, grep, tail, wc, \
                 head, printenv, chmod, touch]";
    pipeline(
        &sandbox,
        &script,
        &format!("tools: {tools}\n    sandbox: strict"),
    );
    // The caller has a file open and a variable set.
    let mut caller = Command::new("sh");
    caller
        .args(["-c", "exec 9< undeclared; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_jackal"))
        .args(["build", "--pipeline", "p.yaml"])
        .current_dir(sandbox.src())
        .env_clear()
        .env("CALLER", "value")
        .env("JACKAL_CACHE", sandbox.cache())
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let said = super::sandbox::said(&mut caller);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let found = fs::read_to_string(sandbox.src().join("o")).unwrap();
    assert_eq!(found, "done\n");
    assert_eq!(fs::read(&outside).unwrap(), b"secret\n");
}

#[test]
fn a_refused_file_is_named_even_if_the_command_goes_on() {
    if level() == Level::Free {
        return;
    }
    let sandbox = Sandbox::new();
    let path = sandbox.src().join("undeclared");
    let script = format!("cat {} > o || echo default > o", path.display());
    let said = build(&sandbox, &script, "tools: [sh, cat]");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let named = format!("its log mentions `{}`", path.display());
    assert!(said.stderr.contains(&named), "{}", said.stderr);
    // A path that nothing refused is no warning.
    let script = format!("echo {} is not read; echo > o", path.display());
    let said = build(&sandbox, &script, "tools: [sh]");
    assert!(!said.stderr.contains("mentions"), "{}", said.stderr);
}

#[test]
fn variables_reach_the_command_and_not_the_program_that_confines_it() {
    if level() != Level::Namespaces {
        return;
    }
    let sandbox = Sandbox::new();
    let trace = sandbox.src().join("trace");
    let more = format!(
        "tools: [sh]\n    env: {{ LD_DEBUG: libs, LD_DEBUG_OUTPUT: {}, V: one }}",
        trace.display()
    );
    let said = build(&sandbox, "echo $V > o", &more);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(fs::read(sandbox.src().join("o")).unwrap(), b"one\n");
    let names = fs::read_dir(sandbox.src()).unwrap().flatten();
    let traces = names.filter(|entry| entry.file_name().to_string_lossy().starts_with("trace"));
    assert_eq!(traces.count(), 0);
}

#[test]
fn a_program_is_named_by_a_link_and_a_shim_leads_to_its_program() {
    let sandbox = Sandbox::new();
    sandbox.write("opt/real", "#!/bin/sh\necho real > o\n");
    let real = sandbox.src().join("opt/real");
    sandbox.write("bin/tool", format!("#!/bin/sh\nexec {}\n", real.display()));
    sandbox.write("bin/lost", "#!/bin/sh\nexec \"$HOME/real\"\n");
    for name in ["opt/real", "bin/tool", "bin/lost"] {
        let path = sandbox.src().join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", sandbox.src().join("bin").display());
    let run = |argv: &str| {
        sandbox.write(
            "p.yaml",
            format!(
                "{HEAD}tasks:\n  a: {{ run: {argv}, \
                 inputs: [], outputs: [o], tools: [sh] }}\n"
            ),
        );
        let args = ["build", "--pipeline", "p.yaml"];
        super::sandbox::said(sandbox.command(&args).env("PATH", &path))
    };
    for argv in ["[/bin/cp, /bin/sh, o]", "[tool]"] {
        let said = run(argv);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
    assert_eq!(fs::read(sandbox.src().join("o")).unwrap(), b"real\n");
    let said = run("[lost]");
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    if level() != Level::Free {
        assert!(
            said.stderr.contains("`lost` may look for"),
            "{}",
            said.stderr
        );
    }
}

#[test]
fn what_a_command_starts_ends_with_it_whatever_its_session() {
    if level() != Level::Namespaces {
        return;
    }
    let sandbox = Sandbox::new();
    let script = "setsid sh -c 'while :; do sleep 1; done' & echo > o";
    let said = build(&sandbox, script, "tools: [sh, setsid, sleep]");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // Nothing else on this machine has this folder open.
    let stages = fs::read_dir(sandbox.cache().join("v1/ingest"));
    assert_eq!(stages.unwrap().count(), 0);
}

#[test]
fn a_loopback_network_of_its_own_works_and_a_lack_of_another_is_explained() {
    if level() != Level::Namespaces {
        return;
    }
    let sandbox = Sandbox::new();
    let said = build(&sandbox, "cat /proc/net/if_inet6 > o", "tools: [sh, cat]");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let script = "echo 'curl: (6) Could not resolve host: r.example'; exit 6";
    let said = build(&sandbox, script, "tools: [sh]");
    assert!(said.stderr.contains("`network: true`"), "{}", said.stderr);
    let said = build(&sandbox, script, "tools: [sh]\n    network: true");
    assert!(!said.stderr.contains("`network: true`"), "{}", said.stderr);
}

#[test]
fn a_signal_a_code_and_a_missing_program_are_reported_as_they_were() {
    let sandbox = Sandbox::new();
    for (script, expected) in [
        ("kill -SEGV $$", "signal 11"),
        ("exit 300", "code 44"),
        ("exec nosuchprogram", "code 127"),
        ("kill -KILL $$", "signal 9"),
    ] {
        let said = build(&sandbox, script, "tools: [sh]");
        assert_eq!(said.code, Some(1), "{script}: {}", said.stderr);
        assert!(said.stderr.contains(expected), "{script}: {}", said.stderr);
    }
}

#[test]
fn a_command_that_ignores_its_end_is_killed_after_its_grace() {
    let sandbox = Sandbox::new();
    let script = "trap 'echo ended > o' TERM; while :; do sleep 0.1; done";
    let said = build(
        &sandbox,
        script,
        "tools: [sh, sleep]\n    timeout: 1s\n    grace: 1s",
    );
    assert_eq!(said.code, Some(6), "{}", said.stderr);
    assert!(said.stderr.contains("timed out"), "{}", said.stderr);
}

#[test]
fn a_link_that_a_command_left_leads_no_mount_out_of_its_root() {
    if level() != Level::Namespaces {
        return;
    }
    let sandbox = Sandbox::new();
    let victim = sandbox.src().join("victim");
    fs::create_dir(&victim).unwrap();
    let victim = victim.display();
    // What the command leaves, and where the next one has a store.
    for (left, store) in [
        (
            format!("mv ~/k ~/k.old; ln -s {victim} ~/k"),
            "k/made/deeper",
        ),
        // The stores' own table of mounts, if it were taken for the machine's.
        ("mv ~/k ~/k.old; ln -s / ~/k".to_owned(), "k/proc"),
        ("rmdir ~/k/own; ln -s / ~/k/own".to_owned(), "k/own"),
    ] {
        let more = format!(
            "tools: [sh, mv, ln, rmdir, rm]\n    incremental: true\n    \
             caches: [{{ name: c, path: {store} }}]"
        );
        let script = format!("echo > o; rm -f /usr/share/jackal-test; ({left}) 2>&1; true");
        let said = build(&sandbox, &script, &more);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let script = format!(
            "echo more > o; echo > /usr/share/jackal-test && echo ESCAPED; ({left}) 2>&1; true"
        );
        let said = build(&sandbox, &script, &more);
        assert!(!said.stderr.contains("ESCAPED"), "{left}: {}", said.stderr);
        assert!(!Path::new("/usr/share/jackal-test").exists(), "{left}");
        let made = fs::read_dir(sandbox.src().join("victim")).unwrap().count();
        assert_eq!(made, 0, "{left}: {}", said.stderr);
    }
}

#[test]
fn without_namespaces_a_command_cannot_reach_the_process_that_started_it() {
    if level() != Level::Namespaces {
        return;
    }
    let sandbox = Sandbox::new();
    let script = "kill -9 $PPID; kill -STOP $PPID; cat /proc/$PPID/fdinfo/0 /proc/$PPID/environ; \
                  (setsid sleep 300 &) ; echo done > o";
    pipeline(&sandbox, script, "tools: [sh, cat, setsid, sleep]");
    let said = super::sandbox::said(&mut without_namespaces(&sandbox));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let refused = said.stderr.matches("ermission denied").count()
        + said.stderr.matches("not permitted").count();
    assert!(refused >= 3, "{}", said.stderr);
}

#[test]
fn no_output_is_collected_through_a_folder_that_the_command_replaced() {
    if level() != Level::Namespaces {
        return;
    }
    let sandbox = Sandbox::new();
    let victim = tempfile::tempdir().unwrap();
    fs::write(victim.path().join("o"), "secret\n").unwrap();
    sandbox.write("lib/f", "");
    let victim = victim.path().display();
    let task = |script: &str| {
        sandbox.write(
            "app/p.yaml",
            format!(
                "{HEAD}tasks:\n  a:\n    run: '{script}'\n    \
                 shell: sh\n    inputs: [../lib/**]\n    outputs: [o]\n    tools: [sh, mv, ln, dirname]\n"
            ),
        );
    };
    let out = sandbox.src().join("app/o");
    let git = Command::new("git")
        .args(["init", "-q"])
        .current_dir(sandbox.src())
        .status();
    assert!(git.unwrap().success());
    task(&format!(
        "cd /jackal/work; mv app x || exit 7; ln -s {victim} app"
    ));
    let said = sandbox.run(&["build", "--pipeline", "app/p.yaml"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        said.stderr.contains("is a file or link, expected a folder"),
        "{}",
        said.stderr
    );
    assert!(!out.exists());
    // Without a root of its own, the command knows where its stage is.
    task(&format!(
        "s=$(dirname $HOME); mv $s/root $s/x && ln -s {victim} $s/root; : > o"
    ));
    let mut held = without_namespaces(&sandbox);
    held.current_dir(sandbox.src().join("app"));
    let said = super::sandbox::said(&mut held);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(fs::read(&out).unwrap(), b"");
}

#[test]
fn without_namespaces_nothing_is_changed_through_what_a_command_left_in_its_home() {
    if level() != Level::Namespaces {
        return;
    }
    let sandbox = Sandbox::new();
    let victim = tempfile::tempdir().unwrap();
    let file = victim.path().join("registry/id");
    fs::create_dir(victim.path().join("registry")).unwrap();
    fs::write(&file, "mine").unwrap();
    let mode = || {
        let facts = fs::metadata(victim.path()).unwrap();
        facts.permissions().mode() & 0o777
    };
    fs::set_permissions(victim.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let shown = victim.path().display();
    for (run, path) in ["one", "two", "three"].into_iter().enumerate() {
        sandbox.write("seed", path);
        let script = format!(
            "cat seed $HOME/.s/id > o; rm -rf $HOME/.s $HOME/.cargo; ln -s {shown} $HOME/.cargo; \
             ln -s {shown}/registry $HOME/.s; s=$(dirname $HOME); \
             mv $s/home $s/old && ln -s {shown} $s/home; :"
        );
        sandbox.write(
            "p.yaml",
            format!(
                "{HEAD}tasks:\n  a:\n    run: '{script}'\n    \
                 shell: sh\n    inputs: [seed]\n    outputs: [o]\n    incremental: true\n    \
                 tools: [sh, cat, rm, mv, ln, dirname]\n    caches: [cargo]\n    \
                 secrets: {{ id: {{ env: ID, path: ~/.s/id }} }}\n"
            ),
        );
        let said = super::sandbox::said(without_namespaces(&sandbox).env("ID", "hidden"));
        assert_eq!(said.code, Some(0), "{run}: {}", said.stderr);
        let made = fs::read_to_string(sandbox.src().join("o")).unwrap();
        assert_eq!(made, format!("{path}hidden"));
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        assert_eq!(mode(), 0o700);
    }
}

#[test]
fn a_cache_at_another_path_is_not_mounted_over_what_a_command_left() {
    let sandbox = Sandbox::new();
    let victim = tempfile::tempdir().unwrap();
    let task = |script: &str, caches: &str| {
        sandbox.write(
            "p.yaml",
            format!(
                "{HEAD}tasks:\n  a:\n    run: '{script}'\n    \
                 shell: sh -e\n    inputs: []\n    outputs: [o]\n    tools: [sh, ln]\n    \
                 caches: [{caches}]\n"
            ),
        );
        sandbox.run(&["build", "--pipeline", "p.yaml"])
    };
    let leave = format!("ln -s {} ~/a/b; : > o", victim.path().display());
    let said = task(&leave, "{ name: c, path: a }");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = task("echo > ~/a/b/f; : > o", "{ name: c, path: a/b }");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
    let said = task(": > o", "{ name: c, path: a }, { name: d, path: a/b }");
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("`c`") && said.stderr.contains("`d` at `~/a/b`"),
        "{}",
        said.stderr
    );
}

#[test]
fn paths_in_a_relative_cache_are_absolute_for_the_command() {
    let sandbox = Sandbox::new();
    sandbox.pipeline(
        "tasks:\n  a:\n    \
         run: 'mkdir d; cd d; echo \"$HOME\" > \"$HOME/h\"; cat \"$HOME/h\" > ../o'\n    \
         shell: sh -e\n    inputs: []\n    outputs: [o]\n    tools: [sh, cat, mkdir]\n    \
         sandbox: none\n    incremental: true\n",
    );
    let said = sandbox.run(&["build", "--pipeline", "p.yaml", "--cache-dir", "own"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let home = fs::read_to_string(sandbox.src().join("o")).unwrap();
    assert!(home.starts_with('/'), "{home}");
}

#[test]
fn no_repository_of_git_is_put_into_the_workspace() {
    let sandbox = Sandbox::new();
    let task = |output: &str| {
        sandbox.write(
            "p.yaml",
            format!(
                "{HEAD}tasks:\n  a:\n    \
                 run: 'mkdir -p d/s/.git; echo > d/s/.git/config'\n    shell: sh -e\n    \
                 inputs: []\n    outputs: [{output}]\n    tools: [sh, mkdir]\n"
            ),
        );
        sandbox.run(&["build", "--pipeline", "p.yaml"])
    };
    for (output, named) in [("d/", "`d/s/.git`"), ("d/s/.git/", "`d/s/.git/`")] {
        let said = task(output);
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        assert!(said.stderr.contains(named), "{}", said.stderr);
        assert!(!sandbox.src().join("d").exists());
    }
}
