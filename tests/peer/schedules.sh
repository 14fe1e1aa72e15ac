#!/usr/bin/env bash
# Peer tests of schedules: systemd reads the units that jackal writes.
#
#   tests/peer/schedules.sh JACKAL
#
# Needs systemd-analyze and python3 (Debian packages systemd python3). A missing program
# is a failure.
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"
jackal=$(realpath "$1")
need systemd-analyze python3
begin

touch jackal-workspace.yaml
{
  printf 'kind: JackalPipeline\nversion: 1\nname: peer\nparams: { p: { default: x } }\n'
  printf 'tasks:\n  a: { run: ["true"], inputs: [] }\nschedules:\n'
  number=0
  while read -r cron; do
    number=$((number + 1))
    printf '  n%d: { cron: "%s", timezone: Europe/Berlin, params: { p: "a\\"b \\\\ %%h $X; \\n'"'"' ;" }, description: "100 %% \\\\" }\n' "$number" "$cron"
  done
} > jackal.pipeline.yaml <<'CRONS'
30 3 * * *
*/15 9-17 * * MON-FRI
5 4 1,15 jan-jun *
0 0 1 * MON
@hourly
@weekly
0 12 29 2 *
59 23 31 12 *
CRONS
yes_ "$jackal" schedule export --to systemd -o units --checkout "$work" --user daemon
count=$(ls units/*.timer | wc -l)
[ "$count" = 8 ] || fail "$count timers"

for timer in units/*.timer; do
  grep '^OnCalendar=' "$timer" | cut -d= -f2- | while IFS= read -r event; do
    yes_ systemd-analyze calendar "$event"
  done
done
ok "systemd reads every calendar event"

for number in $(seq 1 8); do
  "$jackal" schedule next --name "n$number" -n 4 --after 2026-05-01T00:00:00Z --json |
    python3 -c "import json,sys; [print(x['at']) for x in json.load(sys.stdin)]" > ours
  grep '^OnCalendar=' "units/jackal-peer-n$number.timer" | cut -d= -f2- | while IFS= read -r event; do
    TZ=UTC systemd-analyze calendar --base-time='2026-05-01 00:00:00 UTC' --iterations=4 "$event"
  done > theirs.log
  python3 - <<'PY' > theirs
import re
from datetime import datetime
text = open("theirs.log").read()
# With TZ=UTC every time is printed in UTC.
found = re.findall(r"(?:Next elapse|Iter\. #\d+): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", text)
found += re.findall(r"\(in UTC\): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", text)
for at in sorted(set(found))[:4]:
    print(at.replace(" ", "T") + "Z")
PY
  cmp -s ours theirs || { cp theirs.log last.log; fail "n$number: $(paste ours theirs)"; }
done
ok "systemd and jackal agree about the next times of eight schedules"

mkdir bin && printf '#!/bin/sh\n' > bin/jackal && chmod +x bin/jackal
yes_ systemd-analyze verify --man=no units/*.timer units/*.service
[ ! -s last.log ] || fail "systemd-analyze verify: warnings"
ok "systemd-analyze verify accepts the units without a warning"

# What systemd starts, as it splits the line itself.
python3 - units/jackal-peer-n1.service > words <<'PY'
import sys
for line in open(sys.argv[1]):
    if line.startswith("ExecStart="):
        print(line.split("=", 1)[1].strip())
PY
grep -qF '"p=a\"b \\ %%h $$X; \n'"'"' ;"' words || fail "$(cat words)"
ok "quotes, specifiers and line breaks of a parameter stay in one word"
echo "$passed checks passed"
