#!/usr/bin/env bash
# Peer test of charts: jackal packages the same content as `helm package`.
#
#   tests/peer/helm.sh JACKAL
#
# Needs helm 3 (go install helm.sh/helm/v3/cmd/helm@v3.16.4) and python3. A missing
# program is a failure.
. "$(dirname "$(realpath "$0")")/lib.sh"
jackal=$(realpath "$1")
need helm python3
begin
mkdir charts

# 1: the chart of `helm create`.
helm create charts/starter > /dev/null

new() { # NAME, TEXT of Chart.yaml after name and version
  mkdir -p "charts/$1/templates"
  printf 'name: %s\nversion: 1.2.3\n%s' "$1" "$2" > "charts/$1/Chart.yaml"
  printf 'kind: ConfigMap\n' > "charts/$1/templates/cm.yaml"
}
# 2: a minimal chart, in the first version of the format.
new old ''
# 3: numbers, booleans and dates where strings are expected, and unknown keys.
new typed 'apiVersion: v2
appVersion: 1.10
icon: yes
home: 2024-01-02
description: 0x1F
kubeVersion: ">=1.20.0-0"
future: {a: b}
deprecated: true
'
# 4: strings that need quotes, long lines, several lines.
new texts 'apiVersion: v2
description: "a: b # c is a text that goes on and on, past the eightieth column, to see where the line is folded, and once more past it"
home: >-
  https://example.com/a/path/without/any/space/that/is/longer/than/eighty/columns/in/one/word/only
keywords: ["", "~", "null", "true", "no", "-", "- x", "#x", "@x", "a\tb", "ünï ", " lead", "1:30", "1_000", ".5", "+1", "=", "<<", "it'"'"'s", "\"q\"", "%x", "a #b", "a:", "?", "? x", "[x]", "{x}", "|", ">", "!", "*a", "&a", "`a`", "---", "...x", "0o7", "0b1", "1e3", "-.inf", ".NaN", "y", "日本"]
sources: [https://example.com]
maintainers:
- {name: A B, email: a@example.com, url: "https://example.com/~a"}
- {name: C}
annotations:
  b/changes: |
    - kind: added
      description: "x"

    - last
  a10: x
  a2: "two\nlines"
  "1": y
  A: "z\n\n"
'
# 5: .helmignore.
new ignored 'apiVersion: v2
'
mkdir -p charts/ignored/{ci,docs,deep/ci,templates/tests}
for file in a.bak ci/x docs/a.md docs/a.txt deep/ci/y deep/a.bak only deep/only templates/.hidden templates/_helpers.tpl templates/tests/t.yaml .gitignore notes.txt 'a[b]'; do
  echo "$file" > "charts/ignored/$file"
done
printf '# rules\n\n*.bak\n/only\nci/\ndocs/*.md\n a[[]b] \n' > charts/ignored/.helmignore
# 6: subcharts: unpacked, packed, disabled, with dependencies.
new parent 'apiVersion: v2
dependencies:
- name: packed
  version: ~1.2
  repository: https://example.com/charts
  condition: packed.enabled
  tags: [a, b]
  alias: other
  import-values: [data, {child: a.b, parent: c, n: 1.50}]
- name: loose
  version: 1.2.3
  repository: ""
  enabled: true
'
new packed 'apiVersion: v2
appVersion: "7"
'
mkdir -p charts/parent/charts/loose/templates charts/parent/charts/_off
helm package charts/packed -d charts/parent/charts > /dev/null
printf 'apiVersion: v1\nname: loose\nversion: 1.2.3\n' > charts/parent/charts/loose/Chart.yaml
echo 'a: 1' > charts/parent/charts/loose/values.yaml
echo x > charts/parent/charts/_off/Chart.yaml
printf 'dependencies:\n- name: packed\n  repository: https://example.com/charts\n  version: 1.2.3\ndigest: sha256:00\ngenerated: "2024-01-02T03:04:05.123456789+02:00"\n' > charts/parent/Chart.lock
# 7: requirements.yaml of the first version.
new requires 'apiVersion: v1
'
printf 'dependencies:\n- name: loose\n  version: 1.2.3\n  repository: https://example.com\n' > charts/requires/requirements.yaml
printf 'dependencies: []\ndigest: sha256:00\ngenerated: "2024-01-02T03:04:05Z"\n' > charts/requires/requirements.lock
mkdir -p charts/requires/charts
cp -r charts/parent/charts/loose charts/requires/charts/
# 8: links, byte order marks, a schema, a licence, empty files.
new files 'apiVersion: v2
type: library
'
printf '\xef\xbb\xbfa: 1\n' > charts/files/values.yaml
echo '{"type": "object"}' > charts/files/values.schema.json
ln -s values.yaml charts/files/link.yaml
mkdir charts/files/dir; echo d > charts/files/dir/f; ln -s dir charts/files/linked
: > charts/files/empty; echo L > charts/files/LICENSE; mkdir charts/files/crds; echo 'kind: X' > charts/files/crds/x.yaml
# 9: a description of several lines with invisible characters.
new signs 'apiVersion: v2
description: |
  first line
  second	line​with‍joiners
'
# 10: a version with pre-release and build metadata.
mkdir charts/version
printf 'apiVersion: v2\nname: version\nversion: 1.2.3-rc.1+build.5\nappVersion: v1.0.0-alpha\n' > charts/version/Chart.yaml

mkdir out package
{
  printf 'kind: JackalPackageConfig\nmetadata:\n  name: peer\n  version: "1.0.0"\n  architecture: amd64\ncomponents:\n- name: all\n  charts:\n'
  for chart in charts/*; do
    name=$(basename "$chart")
    helm package "$chart" -d "out/$name" > /dev/null 2>&1 || { echo "helm package fails for $name"; exit 1; }
    printf '  - name: %s\n    version: "1.2.3"\n    namespace: n\n    localPath: charts/%s\n' "$name" "$name"
  done
} > package/jackal.yaml
cp -r charts package/
(cd package && "$jackal" build --skip-sbom > ../log 2>&1) || { cat log; exit 1; }
(cd package && "$jackal" package extract dist/jackal-package-peer-amd64-1.0.0.tar.zst -o x > /dev/null)
python3 - <<'PY'
import glob, io, os, sys, tarfile

def entries(data):
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        return [(m.name, m.mode, tar.extractfile(m).read()) for m in tar.getmembers()]

component = tarfile.open("package/x/components/all.tar")
bad = 0
for path in sorted(glob.glob("out/*/*.tgz")):
    name = path.split("/")[1]
    ours = entries(component.extractfile(f"all/charts/{name}-1.2.3.tgz").read())
    theirs = entries(open(path, "rb").read())
    # Helm writes subcharts in random order, so entries are sorted.
    key = lambda entry: entry[0]
    if sorted(ours, key=key) == sorted(theirs, key=key):
        print(f"ok: {name}, {len(ours)} entries")
        continue
    bad += 1
    print(f"FAILED: {name}")
    one, other = dict((e[0], e) for e in ours), dict((e[0], e) for e in theirs)
    for key in sorted(set(one) | set(other)):
        if one.get(key) != other.get(key):
            print("  jackal", one.get(key))
            print("  helm  ", other.get(key))
if len(glob.glob("out/*/*.tgz")) < 10:
    sys.exit("fewer than ten charts were compared")
sys.exit(bad)
PY
