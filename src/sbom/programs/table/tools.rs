//! Servers and tools.

use super::{Files, PROGRAM, Program, any_name, ffmpeg_library, mark, qt_library};

pub(super) static TOOLS: &[Program] = &[
    Program {
        id: "helm",
        files: Files::Named(&["helm"]),
        package: "helm",
        kind: "go-module",
        language: "go",
        purl: ["golang", "helm.sh", "helm"],
        cpes: &["helm:helm"],
        marks: &[mark(
            b"",
            r"\x00v([0-9]+\.[0-9]+\.[0-9]+(?:-[a-z0-9.]+)?)\x00",
        )],
        example: ("helm", b"\0v3.10.3\0", "3.10.3"),
        ..PROGRAM
    },
    Program {
        id: "redis-binary",
        files: Files::Named(&["redis-server"]),
        package: "redis",
        purl: ["generic", "", "redis"],
        cpes: &["redislabs:redis", "redis:redis"],
        marks: &[
            mark(
                b"buildkitsandbox-",
                r"[^0-9.]([0-9]+\.[0-9]+\.[0-9]+)buildkitsandbox-[0-9]+",
            ),
            mark(
                b"",
                r"[^0-9.]([0-9]+\.[0-9]+\.[0-9]+)[a-zA-Z0-9_]{12}-[0-9]{19}",
            ),
            mark(
                b"Redis version ",
                r"Redis version ([0-9]+\.[0-9]+\.[0-9]+(?:-[a-z0-9]+)?)",
            ),
        ],
        example: ("redis-server", b"\x007.2.4buildkitsandbox-1730\0", "7.2.4"),
        ..PROGRAM
    },
    Program {
        id: "valkey-binary",
        files: Files::Named(&["valkey-server"]),
        package: "valkey",
        purl: ["generic", "", "valkey"],
        cpes: &[
            "lfprojects:valkey",
            "linuxfoundation:valkey",
            "valkey-io:valkey",
        ],
        marks: &[
            mark(
                b"buildkitsandbox-",
                r"[^0-9.]([0-9]+\.[0-9]+\.[0-9]+(?:-rc[0-9]+)?)buildkitsandbox-[0-9]+",
            ),
            mark(
                b"",
                r"[^0-9.]([0-9]+\.[0-9]+\.[0-9]+)[a-zA-Z0-9_]{12}-[0-9]{19}",
            ),
        ],
        example: ("valkey-server", b"\x007.2.5buildkitsandbox-1730\0", "7.2.5"),
        ..PROGRAM
    },
    Program {
        id: "busybox-binary",
        files: Files::Named(&["busybox"]),
        package: "busybox",
        purl: ["generic", "", "busybox"],
        cpes: &["busybox:busybox"],
        marks: &[mark(b"BusyBox v", r"BusyBox v([0-9]+\.[0-9]+\.[0-9]+)")],
        example: ("busybox", b"BusyBox v1.35.0 (Debian", "1.35.0"),
        ..PROGRAM
    },
    Program {
        id: "util-linux-binary",
        files: Files::Named(&["getopt"]),
        package: "util-linux",
        purl: ["generic", "", "util-linux"],
        cpes: &["kernel:util-linux"],
        marks: &[mark(
            b"util-linux ",
            r"\x00util-linux ([0-9]+\.[0-9]+(?:\.[0-9]+)?)\x00",
        )],
        example: ("getopt", b"\0util-linux 2.38.1\0", "2.38.1"),
        ..PROGRAM
    },
    Program {
        id: "haproxy-binary",
        files: Files::Named(&["haproxy"]),
        package: "haproxy",
        purl: ["generic", "", "haproxy"],
        cpes: &["haproxy:haproxy"],
        marks: &[
            mark(
                b"HA-Proxy version ",
                r"HA-Proxy version ([0-9]+\.[0-9]+\.[0-9]+|[0-9]+\.[0-9]+(?:-[a-z]+[0-9]+)?)",
            ),
            mark(
                b"released 20",
                r"version ([0-9]+\.[0-9]+(?:\.[0-9]+)?(?:-[a-z]+[0-9]+)?)(?:-[a-z0-9]{7,12}(?:[-+][0-9]+)?)?[^\x00]{0,40}, released 20",
            ),
            mark(
                b"HAProxy version",
                r"([0-9]+\.[0-9]+(?:\.[0-9]+)?(?:-[a-z]+[0-9]+)?)-[a-z0-9]{7}.{1,120}HAProxy version",
            ),
        ],
        example: ("haproxy", b"\0HA-Proxy version 2.2.9 2021\0", "2.2.9"),
        ..PROGRAM
    },
    Program {
        id: "httpd-binary",
        files: Files::Named(&["httpd"]),
        package: "httpd",
        purl: ["generic", "", "httpd"],
        cpes: &["apache:http_server"],
        marks: &[mark(b"Apache/", r"Apache/([0-9]+\.[0-9]+\.[0-9]+)")],
        example: ("httpd", b"\0Apache/2.4.57\0", "2.4.57"),
        ..PROGRAM
    },
    Program {
        id: "memcached-binary",
        files: Files::Named(&["memcached"]),
        package: "memcached",
        purl: ["generic", "", "memcached"],
        cpes: &["memcached:memcached"],
        marks: &[mark(b"memcached ", r"memcached ([0-9]+\.[0-9]+\.[0-9]+)")],
        example: ("memcached", b"\0memcached 1.6.18\n\0", "1.6.18"),
        ..PROGRAM
    },
    Program {
        id: "traefik-binary",
        files: Files::Named(&["traefik"]),
        package: "traefik",
        purl: ["generic", "", "traefik"],
        cpes: &["traefik:traefik"],
        marks: &[mark(
            b"",
            r"\x00v?([0-9]+\.[0-9]+\.[0-9]+(?:-(?:alpha|beta|rc)[0-9.]*)?)\x00",
        )],
        example: ("traefik", b"\0v2.9.6\0", "2.9.6"),
        ..PROGRAM
    },
    Program {
        id: "arangodb-binary",
        files: Files::Named(&["arangosh"]),
        package: "arangodb",
        purl: ["generic", "", "arangodb"],
        cpes: &["arangodb:arangodb"],
        marks: &[mark(
            b"[linux]",
            r"([0-9]+\.[0-9]+\.[0-9]+(?:-[0-9]+)?) \[linux\]",
        )],
        example: ("arangosh", b"\x003.11.8 [linux]\0", "3.11.8"),
        ..PROGRAM
    },
    Program {
        id: "postgresql-binary",
        files: Files::Named(&["postgres"]),
        package: "postgresql",
        purl: ["generic", "", "postgresql"],
        cpes: &["postgresql:postgresql"],
        marks: &[mark(
            b"PostgreSQL ",
            r"[\x00?]PostgreSQL ([0-9]+(?:\.[0-9]+)?(?:\.[0-9]+)?(?:alpha[0-9]|beta[0-9]|rc[0-9])?)",
        )],
        example: ("postgres", b"\0PostgreSQL 15.3 on\0", "15.3"),
        ..PROGRAM
    },
    Program {
        id: "mysql-binary",
        files: Files::Named(&["mysql", "mysqld"]),
        package: "mysql",
        purl: ["generic", "", "mysql"],
        cpes: &["oracle:mysql"],
        marks: &[mark(
            b"mysql-",
            r"\x00.{0,120}/mysql-([0-9]+\.[0-9]+\.[0-9]+)",
        )],
        example: ("mysql", b"\0/build/mysql-8.0.36/x\0", "8.0.36"),
        ..PROGRAM
    },
    Program {
        id: "mysql-binary/percona",
        files: Files::Named(&["mysql", "mysqld"]),
        package: "percona-server",
        purl: ["generic", "", "percona-server"],
        cpes: &["oracle:mysql", "percona:percona_server"],
        marks: &[mark(
            b"percona-server-",
            r"percona-server-([0-9]+\.[0-9]+\.[0-9]+)",
        )],
        example: ("mysql", b"\0/build/percona-server-8.0.35-27/x\0", "8.0.35"),
        ..PROGRAM
    },
    Program {
        id: "mysql-binary/cluster",
        files: Files::Named(&["mysql", "mysqld"]),
        package: "percona-xtradb-cluster",
        purl: ["generic", "", "percona-xtradb-cluster"],
        cpes: &[
            "oracle:mysql",
            "percona:percona_server",
            "percona:xtradb_cluster",
        ],
        marks: &[mark(
            b"Percona-XtraDB-Cluster-",
            r"Percona-XtraDB-Cluster-([0-9]+\.[0-9]+\.[0-9]+)",
        )],
        example: (
            "mysql",
            b"\0/build/Percona-XtraDB-Cluster-8.0.35-27/x\0",
            "8.0.35",
        ),
        ..PROGRAM
    },
    Program {
        id: "xtrabackup-binary",
        files: Files::Named(&["xtrabackup"]),
        package: "percona-xtrabackup",
        purl: ["generic", "", "percona-xtrabackup"],
        cpes: &["percona:xtrabackup"],
        marks: &[mark(
            b"percona-xtrabackup-",
            r"percona-xtrabackup-([0-9]+\.[0-9]+\.[0-9]+)",
        )],
        example: ("xtrabackup", b"/percona-xtrabackup-8.0.35-30/x\0", "8.0.35"),
        ..PROGRAM
    },
    Program {
        id: "mariadb-binary",
        files: Files::Named(&["mariadb", "mysql"]),
        package: "mariadb",
        purl: ["generic", "", "mariadb"],
        cpes: &["mariadb:mariadb"],
        marks: &[
            mark(b"-MariaDB", r"([0-9]+\.[0-9]+\.[0-9]+)-MariaDB"),
            mark(b"mariadb-", r"mariadb-([0-9]+\.[0-9]+\.[0-9]+)-"),
        ],
        example: ("mariadb", b"\x0010.11.6-MariaDB\0", "10.11.6"),
        ..PROGRAM
    },
    Program {
        id: "consul-binary",
        files: Files::Named(&["consul"]),
        package: "consul",
        kind: "go-module",
        language: "go",
        purl: ["golang", "github.com/hashicorp", "consul"],
        cpes: &["hashicorp:consul"],
        marks: &[mark(
            b"CONSUL_VERSION: ",
            r"CONSUL_VERSION: ([0-9]+\.[0-9]+\.[0-9]+)",
        )],
        example: ("consul", b"CONSUL_VERSION: 1.15.2\0", "1.15.2"),
        ..PROGRAM
    },
    Program {
        id: "hashicorp-vault-binary",
        files: Files::Named(&["vault"]),
        package: "github.com/hashicorp/vault",
        kind: "go-module",
        language: "go",
        purl: ["golang", "github.com/hashicorp", "vault"],
        cpes: &["hashicorp:vault"],
        marks: &[
            mark(
                b"revoke",
                r"(?:revoke|rekey|recovery)([0-9]+\.[0-9]+\.[0-9]+(?:\+ent)?)(?:[^0-9.]|$)",
            ),
            mark(
                b"",
                r"\x00v?([0-9]+\.[0-9]+\.[0-9]+(?:\+ent(?:\.hsm)?)?)\x00",
            ),
        ],
        example: ("vault", b"revoke1.19.4x", "1.19.4"),
        ..PROGRAM
    },
    Program {
        id: "nginx-binary",
        files: Files::Named(&["nginx"]),
        package: "nginx",
        purl: ["generic", "", "nginx"],
        cpes: &["f5:nginx", "nginx:nginx"],
        marks: &[mark(
            b"nginx version: ",
            r"\x00nginx version: [^/\x00]{1,40}/([0-9]+\.[0-9]+\.[0-9]+(?:\+[0-9]+)?)",
        )],
        example: ("nginx", b"\0nginx version: openresty/1.21.4.1\0", "1.21.4"),
        ..PROGRAM
    },
    Program {
        id: "bash-binary",
        files: Files::Named(&["bash"]),
        package: "bash",
        purl: ["generic", "", "bash"],
        cpes: &["gnu:bash"],
        marks: &[mark(
            b"@(#)Bash version ",
            r"@\(#\)Bash version ([0-9]+\.[0-9]+\.[0-9]+)\([0-9]+\) [a-z0-9]+ GNU",
        )],
        example: (
            "bash",
            b"@(#)Bash version 5.2.15(1) release GNU\0",
            "5.2.15",
        ),
        ..PROGRAM
    },
    Program {
        id: "openssl-binary",
        files: Files::Named(&["openssl"]),
        package: "openssl",
        purl: ["generic", "", "openssl"],
        cpes: &["openssl:openssl"],
        marks: &[mark(
            b"OpenSSL ",
            r"\x00OpenSSL ([0-9]+\.[0-9]+\.[0-9]+(?:[a-z]+|-alpha[0-9]|-beta[0-9]|-rc[0-9])?)(?:[^0-9a-z(. ]| [^(]|$)",
        )],
        example: ("openssl", b"\0OpenSSL 1.1.1w  11 Sep\0", "1.1.1w"),
        ..PROGRAM
    },
    Program {
        id: "openssl-binary-aws-lc",
        files: Files::Named(&["openssl", "bssl"]),
        package: "aws-lc",
        purl: ["generic", "", "aws-lc"],
        cpes: &["amazon:aws_libcrypto"],
        marks: &[mark(b"AWS-LC ", r"AWS-LC ([0-9]+\.[0-9]+\.[0-9]+)")],
        example: (
            "openssl",
            b"OpenSSL 1.1.1 (compatible; AWS-LC 1.30.0)\0",
            "1.30.0",
        ),
        ..PROGRAM
    },
    Program {
        id: "chrome-binary",
        files: Files::Named(&["chrome"]),
        package: "chrome",
        purl: ["generic", "", "chrome"],
        cpes: &["google:chrome"],
        marks: &[mark(
            b"Default",
            r"\x00([0-9]{2,3}\.[0-9]+\.[0-9]+\.[0-9]+)\x00Default",
        )],
        example: ("chrome", b"\x00127.0.6533.119\0Default", "127.0.6533.119"),
        ..PROGRAM
    },
    Program {
        id: "fluent-bit-binary",
        files: Files::Named(&["fluent-bit"]),
        package: "fluent-bit",
        kind: "github",
        language: "",
        purl: ["github", "fluent", "fluent-bit"],
        cpes: &["treasuredata:fluent_bit"],
        marks: &[mark(
            b"Fluent",
            r"\x00v?([0-9]+\.[0-9]+\.[0-9]+)\x00[^0-9a-z]{0,20}.{0,200}Fluent",
        )],
        example: ("fluent-bit", b"\x002.2.1\0\x1b[1mFluent Bit\0", "2.2.1"),
        ..PROGRAM
    },
    Program {
        id: "wordpress-cli-binary",
        files: Files::Named(&["wp"]),
        package: "wp-cli",
        purl: ["generic", "", "wp-cli"],
        cpes: &["wp-cli:wp-cli"],
        marks: &[mark(
            b"wp-cli/wp-cli ",
            r"wp-cli/wp-cli ([0-9]+\.[0-9]+\.[0-9]+)",
        )],
        example: ("wp", b"wp-cli/wp-cli 2.9.0\n", "2.9.0"),
        ..PROGRAM
    },
    Program {
        id: "curl-binary",
        files: Files::Named(&["curl"]),
        package: "curl",
        purl: ["generic", "", "curl"],
        cpes: &["haxx:curl"],
        marks: &[mark(b"curl/", r"curl/([0-9]+\.[0-9]+\.[0-9]+)")],
        example: ("curl", b"\0curl/7.88.1\0", "7.88.1"),
        ..PROGRAM
    },
    Program {
        id: "lighttpd-binary",
        files: Files::Named(&["lighttpd"]),
        package: "lighttpd",
        purl: ["generic", "", "lighttpd"],
        cpes: &["lighttpd:lighttpd"],
        marks: &[mark(
            b"lighttpd/",
            r"\x00lighttpd/([0-9]+\.[0-9]+\.[0-9]+)\x00",
        )],
        example: ("lighttpd", b"\0lighttpd/1.4.69\0", "1.4.69"),
        ..PROGRAM
    },
    Program {
        id: "proftpd-binary",
        files: Files::Named(&["proftpd"]),
        package: "proftpd",
        purl: ["generic", "", "proftpd"],
        cpes: &["proftpd:proftpd"],
        marks: &[mark(
            b"ProFTPD Version ",
            r"\x00ProFTPD Version ([0-9]+\.[0-9]+\.[0-9]+[a-z]?(?:rc[0-9]+)?)\x00",
        )],
        example: ("proftpd", b"\0ProFTPD Version 1.3.8b\0", "1.3.8b"),
        ..PROGRAM
    },
    Program {
        id: "zstd-binary",
        files: Files::Named(&["zstd"]),
        package: "zstd",
        purl: ["generic", "", "zstd"],
        cpes: &["facebook:zstandard"],
        marks: &[mark(b"", r"\x00v([0-9]+\.[0-9]+\.[0-9]+)\x00")],
        example: ("zstd", b"\0v1.5.4\0", "1.5.4"),
        ..PROGRAM
    },
    Program {
        id: "xz-binary",
        files: Files::Named(&["xz"]),
        package: "xz",
        purl: ["generic", "", "xz"],
        cpes: &["tukaani:xz"],
        marks: &[mark(
            b"xz (XZ Utils) ",
            r"\x00xz \(XZ Utils\) ([0-9]+\.[0-9]+\.[0-9]+[a-z0-9]*)\x00",
        )],
        example: ("xz", b"\0xz (XZ Utils) 5.4.1\0", "5.4.1"),
        ..PROGRAM
    },
    Program {
        id: "gzip-binary",
        files: Files::Named(&["gzip"]),
        package: "gzip",
        purl: ["generic", "", "gzip"],
        cpes: &["gnu:gzip"],
        marks: &[mark(b"", r"\x00([0-9]+\.[0-9]+)\x00")],
        example: ("gzip", b"\x001.12\0", "1.12"),
        ..PROGRAM
    },
    Program {
        id: "sqlcipher-binary",
        files: Files::Named(&["sqlcipher"]),
        package: "sqlcipher",
        purl: ["generic", "", "sqlcipher"],
        cpes: &["zetetic:sqlcipher"],
        marks: &[mark(b"", r"[^0-9]\x00([0-9]+\.[0-9]+\.[0-9]+)\x00")],
        example: ("sqlcipher", b"x\x004.5.3\0", "4.5.3"),
        ..PROGRAM
    },
    Program {
        id: "jq-binary",
        files: Files::Named(&["jq"]),
        package: "jq",
        purl: ["generic", "", "jq"],
        cpes: &["jqlang:jq"],
        marks: &[
            mark(b"", r"\x00([0-9]{1,3}\.[0-9]{1,3}(?:\.[0-9]+)?)\x00"),
            mark(b"jq-", r"\x00jq-([0-9]{1,3}\.[0-9]{1,3}(?:\.[0-9]+)?)"),
        ],
        example: ("jq", b"\x001.7.1\0", "1.7.1"),
        ..PROGRAM
    },
    Program {
        id: "ffmpeg-binary",
        files: Files::Named(&["ffmpeg"]),
        package: "ffmpeg",
        purl: ["generic", "", "ffmpeg"],
        cpes: &["ffmpeg:ffmpeg"],
        marks: &[mark(
            b"%s version ",
            r"\x00%s version n?([0-9]+\.[0-9]+(?:\.[0-9]+)?)",
        )],
        example: ("ffmpeg", b"\0%s version 5.1.9-0+deb12u1\0", "5.1.9"),
        ..PROGRAM
    },
    Program {
        id: "ffmpeg-library",
        files: Files::Like("lib", ffmpeg_library),
        package: "ffmpeg",
        purl: ["generic", "", "ffmpeg"],
        cpes: &["ffmpeg:ffmpeg"],
        marks: &[mark(
            b"FFmpeg version ",
            r"FFmpeg version n?([0-9]+\.[0-9]+(?:\.[0-9]+)?)",
        )],
        example: ("libavcodec.so.59", b"\0FFmpeg version 5.1.9-0\0", "5.1.9"),
        ..PROGRAM
    },
    Program {
        id: "krb5-library",
        files: Files::Like("libkrb5.so", any_name),
        package: "krb5",
        purl: ["generic", "", "krb5"],
        cpes: &["mit:kerberos_5"],
        marks: &[mark(
            b"KRB5_BRAND: ",
            r"KRB5_BRAND: krb5-([0-9]+\.[0-9]+(?:\.[0-9]+)?)-final",
        )],
        example: (
            "libkrb5.so.3.3",
            b"KRB5_BRAND: krb5-1.20.1-final 1.20.1",
            "1.20.1",
        ),
        ..PROGRAM
    },
    Program {
        id: "openldap-search-binary",
        files: Files::Named(&["ldapsearch"]),
        package: "openldap",
        purl: ["generic", "", "openldap"],
        cpes: &["openldap:openldap"],
        marks: &[mark(
            b"$OpenLDAP: ldapsearch ",
            r"\$OpenLDAP: ldapsearch ([0-9]+\.[0-9]+\.[0-9]+)",
        )],
        example: ("ldapsearch", b"$OpenLDAP: ldapsearch 2.5.13+dfsg", "2.5.13"),
        ..PROGRAM
    },
    Program {
        id: "qt-qtbase-lib",
        files: Files::Like("libQt", qt_library),
        package: "qtbase",
        purl: ["generic", "", "qtbase"],
        cpes: &["qt:qt", "qt:qtbase"],
        marks: &[mark(b"Qt ", r"\x00Qt ([0-9]+\.[0-9]+\.[0-9]+) \(")],
        example: ("libQt6Core.so.6", b"\0Qt 6.4.2 (x86_64", "6.4.2"),
        ..PROGRAM
    },
    Program {
        id: "grafana-binary",
        files: Files::Named(&["grafana"]),
        package: "grafana",
        purl: ["generic", "", "grafana"],
        cpes: &["grafana:grafana"],
        marks: &[mark(
            b"release-",
            r"release-([0-9]+\.[0-9]+\.[0-9]+)(?:[^-.0-9a-z]|$)",
        )],
        example: ("grafana", b"release-11.2.0\0", "11.2.0"),
        ..PROGRAM
    },
    Program {
        id: "ingress-nginx-binary",
        files: Files::Named(&["nginx-ingress-controller"]),
        package: "nginx-ingress-controller",
        purl: ["generic", "", "nginx-ingress-controller"],
        cpes: &["kubernetes:ingress-nginx"],
        marks: &[mark(b"", r"v([0-9]+\.[0-9]+\.[0-9]+)\x00")],
        example: ("nginx-ingress-controller", b"v1.10.1\0", "1.10.1"),
        ..PROGRAM
    },
    Program {
        id: "firefox-binary",
        files: Files::Named(&["firefox"]),
        package: "firefox",
        purl: ["generic", "", "firefox"],
        cpes: &["mozilla:firefox", "firefox:firefox"],
        // In the address to which reports of crashes go.
        marks: &[mark(b"&version=", r"&version=([0-9]+\.[0-9.]+)&buildid=")],
        example: (
            "firefox",
            b"ec8030f7}&version=153.8.0&buildid=20261117185949",
            "153.8.0",
        ),
        ..PROGRAM
    },
];
