#!/usr/bin/env bash
# Peer test of the language server: pygls, a client library, talks to it.
#
#   tests/peer/lsp.sh JACKAL
#
# Needs python3 with pygls 2 (a Python package), and strace (a Debian package). A missing
# program is a failure.
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
jackal=$(realpath "$1")
need python3 strace
python3 -c 'import pygls.lsp.client' || fail "no Python package pygls 2"
begin

mkdir -p 'app ü' lib common
touch jackal-workspace.yaml
printf 'kind: JackalPipeline\nversion: 1\ntasks:\n  compile: { run: [x], inputs: [], outputs: [out/] }\n' > lib/jackal.pipeline.yaml
printf 'kind: JackalPackageConfig\nmetadata: {name: c}\ncomponents:\n- name: db\n' > common/jackal.yaml

# Files that it opens for writing, processes that it starts and sockets are in the trace.
yes_ python3 "$here/lsp.py" "$work" "$work/trace" "$jackal"
grep -q openat trace || fail "nothing was traced"
if grep -E 'O_WRONLY|O_RDWR|O_CREAT|mkdir|rename|unlink' trace | grep -v '"/dev/'; then
  fail "the language server wrote files"
fi
if grep -E 'socket\(|connect\(|execve\(' trace | grep -v 'lsp'; then
  fail "the language server ran a program or used the network"
fi
ok "a client types, completes, follows and gets mistakes; nothing is written, run or fetched"
echo "$passed checks passed"
