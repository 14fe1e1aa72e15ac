//! Common Platform Enumerations: the names by which vulnerability databases know packages.
//!
//! Few are certain. Others are candidates, made from the name and the address of a
//! package, because scanners look vulnerabilities up by them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::document::Package;

/// Maximum number of candidates for a vendor, and for names of a package in all.
const MAX_VENDORS: usize = 14;
const MAX_CANDIDATES: usize = 28;

/// Longest name that is used, in bytes. Those of packages have some hundred at most.
const MAX_NAME: usize = 200;

/// How a name was obtained, as documents call it.
pub(super) const DECLARED: &str = "declared";
const LISTED: &str = "nvd-cpe-dictionary";
const GENERATED: &str = "syft-generated";

/// The names of `package`, each with how it was obtained. Those that are certain are the
/// only ones.
pub(super) fn of(package: &Package) -> Vec<(String, &'static str)> {
    if !package.cpes.is_empty() {
        let cpes = package.cpes.iter();
        return cpes.map(|cpe| (cpe.clone(), DECLARED)).collect();
    }
    let kind = package.ecosystem.kind;
    let known = listed(kind, &package.name);
    let known = known.map(|(vendor, product)| {
        let target = match kind {
            "npm" => "node.js",
            "python" => "python",
            "go-module" => "go",
            "gem" => "ruby",
            _ => "*",
        };
        (cpe(vendor, product, &package.version, target), LISTED)
    });
    let mut all: Vec<_> = known.into_iter().collect();
    let (vendors, products) = candidates(package);
    let pairs = vendors
        .iter()
        .flat_map(|vendor| products.iter().map(move |product| (vendor, product)));
    let made = pairs
        .filter(|(vendor, product)| vendor.len().max(product.len()) <= MAX_NAME)
        .map(|(vendor, product)| (cpe(vendor, product, &package.version, "*"), GENERATED));
    all.extend(made.take(MAX_CANDIDATES));
    all
}

fn cpe(vendor: &str, product: &str, version: &str, target: &str) -> String {
    let version = if version == "UNKNOWN" { "" } else { version };
    let (vendor, product, version) = (escaped(vendor), escaped(product), escaped(version));
    format!("cpe:2.3:a:{vendor}:{product}:{version}:*:*:*:*:{target}:*:*")
}

/// A value of a formatted string. Source: NIST IR 7695, section 6.2.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '-' | '.' | '_') {
            out.push('\\');
        }
        out.push(if c.is_whitespace() { '_' } else { c });
    }
    if out.is_empty() { "*".to_owned() } else { out }
}

/// Names with dashes and with underscores, without duplicates, the first ones first, as
/// many as may be used.
#[derive(Default)]
struct Names {
    order: Vec<String>,
    seen: BTreeSet<String>,
}

impl Names {
    fn add(&mut self, name: &str) {
        if name.len() > MAX_NAME || self.order.len() >= MAX_VENDORS {
            return;
        }
        for form in [name.to_owned(), name.replace('-', "_")] {
            if !form.is_empty() && self.seen.insert(form.clone()) {
                self.order.push(form);
            }
        }
    }
}

/// Candidates for the vendor and for the product.
fn candidates(package: &Package) -> (Vec<String>, Vec<String>) {
    let (mut vendors, mut products) = (Names::default(), Names::default());
    match package.ecosystem.kind {
        "go-module" => {
            let (vendor, product) = of_module(&package.name);
            // A module without an owner has no name that anybody would use.
            if !vendor.is_empty() && !product.is_empty() {
                vendors.order.push(vendor.to_owned());
                products.add(&product);
            }
            return (vendors.order, products.order);
        }
        "java-archive" | "jenkins-plugin" => {
            products.add(&package.name);
            let group = namespace(&package.purl);
            for part in group.split('.').skip(1).filter(|part| part.len() > 2) {
                vendors.add(part);
            }
            vendors.add(group);
        }
        "python" => {
            vendors.add("python");
            products.add(&package.name);
            if !package.name.starts_with("python-") {
                products.add(&format!("python-{}", package.name));
            }
        }
        "npm" => {
            products.add(&package.name);
            vendors.add(&owner(package));
        }
        _ => products.add(&package.name),
    }
    for product in products.order.clone() {
        vendors.add(&product);
    }
    // `libpam` and `libpam-modules` of `libpam-modules-bin`.
    for product in products.order.clone() {
        for (end, _) in product.match_indices('-') {
            vendors.add(&product[..end]);
        }
    }
    vendors.order.truncate(MAX_VENDORS);
    (vendors.order, products.order)
}

/// The vendor and the product of a module, by its path: `host/owner/repository`.
fn of_module(path: &str) -> (&str, String) {
    let mut parts = path.split('/');
    let host = parts.next().unwrap_or_default();
    match host {
        "golang.org" => (
            "golang",
            path[host.len()..].trim_start_matches('/').to_owned(),
        ),
        "google.golang.org" => ("google", parts.next().unwrap_or_default().to_owned()),
        _ => {
            let owner = parts.next().unwrap_or_default();
            (owner, parts.collect::<Vec<_>>().join("/"))
        }
    }
}

/// The namespace of a package URL.
fn namespace(purl: &str) -> &str {
    let path = purl.split(['@', '?', '#']).next().unwrap_or_default();
    let mut parts = path.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (_, Some(namespace), Some(_)) => namespace,
        _ => "",
    }
}

/// The owner of the repository of an npm package at a known host.
fn owner(package: &Package) -> String {
    let metadata = package.metadata.as_deref();
    let metadata = metadata.and_then(|json| serde_json::from_str::<Value>(json.get()).ok());
    let url = metadata.as_ref().and_then(|facts| facts["url"].as_str());
    let Some((_, path)) = url.and_then(|url| url.split_once("github.com")) else {
        return String::new();
    };
    let path = path.trim_start_matches([':', '/']);
    path.split('/').next().unwrap_or_default().to_owned()
}

/// The vendor and product under which the National Vulnerability Database lists a package
/// whose name does not say so.
fn listed(kind: &str, name: &str) -> Option<(&'static str, &'static str)> {
    let table = match kind {
        "npm" => NPM,
        "python" => PYTHON,
        "go-module" => GO,
        "gem" => GEM,
        _ => return None,
    };
    let row = table
        .binary_search_by_key(&name, |(known, ..)| *known)
        .ok()?;
    let (_, vendor, product) = table[row];
    Some((vendor, product))
}

/// A name, its vendor and its product; sorted by name.
type Table = &'static [(&'static str, &'static str, &'static str)];

const NPM: Table = &[
    ("@babel/traverse", "babeljs", "babel"),
    ("@npmcli/arborist", "npmjs", "arborist"),
    ("acorn", "acornjs", "acorn"),
    ("ajv", "ajv.js", "ajv"),
    ("angular", "angularjs", "angular.js"),
    ("ansi-regex", "ansi-regex_project", "ansi-regex"),
    ("async", "async_project", "async"),
    ("axios", "axios", "axios"),
    ("body-parser", "openjsf", "body-parser"),
    ("bootstrap", "getbootstrap", "bootstrap"),
    ("brace-expansion", "juliangruber", "brace-expansion"),
    ("braces", "jonschlinkert", "braces"),
    ("browserslist", "browserslist_project", "browserslist"),
    ("bson", "mongodb", "js-bson"),
    ("ckeditor", "ckeditor", "ckeditor"),
    ("cookie", "jshttp", "cookie"),
    (
        "cookie-signature",
        "cookie-signature_project",
        "cookie-signature",
    ),
    ("crypto-js", "crypto-js_project", "crypto-js"),
    ("css-what", "css-what_project", "css-what"),
    ("debug", "debug_project", "debug"),
    (
        "decode-uri-component",
        "decode-uri-component_project",
        "decode-uri-component",
    ),
    ("deep-extend", "deep_extend_project", "deep_extend"),
    ("diff", "kpdecker", "jsdiff"),
    ("dompurify", "cure53", "dompurify"),
    ("dot-prop", "dot-prop_project", "dot-prop"),
    ("ejs", "ejs", "ejs"),
    ("electron", "electronjs", "electron"),
    ("elliptic", "elliptic_project", "elliptic"),
    ("engine.io", "socket", "engine.io"),
    ("express", "openjsf", "express"),
    ("extend", "extend_project", "extend"),
    (
        "fast-xml-parser",
        "fast-xml-parser_project",
        "fast-xml-parser",
    ),
    ("fastify", "fastify", "fastify"),
    ("follow-redirects", "follow-redirects", "follow_redirects"),
    ("forwarded", "forwarded_project", "forwarded"),
    ("fresh", "fresh_project", "fresh"),
    ("glob", "isaacs", "glob"),
    ("glob-parent", "gulpjs", "glob-parent"),
    ("got", "got_project", "got"),
    ("grunt", "gruntjs", "grunt"),
    ("handlebars", "handlebarsjs", "handlebars"),
    ("highlight.js", "highlightjs", "highlight.js"),
    ("hosted-git-info", "npmjs", "hosted-git-info"),
    (
        "http-cache-semantics",
        "http-cache-semantics_project",
        "http-cache-semantics",
    ),
    ("http-proxy", "http-proxy_project", "http-proxy"),
    (
        "https-proxy-agent",
        "https-proxy-agent_project",
        "https-proxy-agent",
    ),
    ("immer", "immer_project", "immer"),
    ("ini", "ini_project", "ini"),
    ("ip", "fedorindutny", "ip"),
    ("jquery", "jquery", "jquery"),
    ("js-yaml", "js-yaml_project", "js-yaml"),
    ("json-schema", "json-schema_project", "json-schema"),
    ("json5", "json5", "json5"),
    ("jsonwebtoken", "auth0", "jsonwebtoken"),
    ("kind-of", "kind-of_project", "kind-of"),
    ("knex", "knexjs", "knex"),
    ("koa", "koajs", "koa"),
    ("loader-utils", "webpack.js", "loader-utils"),
    ("lodash", "lodash", "lodash"),
    ("lru-cache", "isaacs", "lru-cache"),
    ("luxon", "momentjs", "luxon"),
    ("marked", "marked_project", "marked"),
    ("micromatch", "jonschlinkert", "micromatch"),
    ("mime", "mime_project", "mime"),
    ("minimatch", "minimatch_project", "minimatch"),
    ("minimist", "substack", "minimist"),
    ("mixin-deep", "mixin-deep_project", "mixin-deep"),
    ("moment", "momentjs", "moment"),
    ("mongodb", "mongodb", "mongodb"),
    ("mongoose", "mongoosejs", "mongoose"),
    ("ms", "vercel", "ms"),
    ("mysql2", "sidorares", "mysql2"),
    ("nanoid", "nanoid_project", "nanoid"),
    ("negotiator", "negotiator_project", "negotiator"),
    ("next", "vercel", "next.js"),
    ("node-fetch", "node-fetch_project", "node-fetch"),
    ("node-forge", "digitalbazaar", "forge"),
    ("nodemailer", "nodemailer", "nodemailer"),
    ("normalize-url", "normalize-url_project", "normalize-url"),
    (
        "npm",
        "node_packaged_modules_project",
        "node_packaged_modules",
    ),
    ("nth-check", "nth-check_project", "nth-check"),
    ("nunjucks", "mozilla", "nunjucks"),
    ("nuxt", "nuxt", "nuxt"),
    ("object-path", "object-path_project", "object-path"),
    ("path-parse", "path-parse_project", "path-parse"),
    ("path-to-regexp", "pillarjs", "path-to-regexp"),
    ("pg", "node-postgres", "pg"),
    ("postcss", "postcss", "postcss"),
    ("prismjs", "prismjs", "prism"),
    ("protobufjs", "protobufjs_project", "protobufjs"),
    ("pug", "pugjs", "pug"),
    ("qs", "qs_project", "qs"),
    ("react", "facebook", "react"),
    ("request", "request_project", "request"),
    ("rimraf", "isaacs", "rimraf"),
    ("sanitize-html", "apostrophecms", "sanitize-html"),
    ("semver", "npmjs", "semver"),
    ("send", "send_project", "send"),
    ("sequelize", "sequelizejs", "sequelize"),
    ("serialize-javascript", "verizon", "serialize-javascript"),
    ("serve-static", "openjsf", "serve-static"),
    ("set-value", "set-value_project", "set-value"),
    ("shelljs", "shelljs_project", "shelljs"),
    ("simple-git", "simple-git_project", "simple-git"),
    ("socket.io", "socket", "socket.io"),
    ("socket.io-parser", "socket", "socket.io-parser"),
    ("ssri", "ssri_project", "ssri"),
    ("tar", "tar_project", "tar"),
    ("terser", "terser", "terser"),
    ("tough-cookie", "salesforce", "tough-cookie"),
    ("trim-newlines", "trim-newlines_project", "trim-newlines"),
    ("ua-parser-js", "ua-parser-js_project", "ua-parser-js"),
    ("uglify-js", "uglifyjs_project", "uglifyjs"),
    ("underscore", "underscorejs", "underscore"),
    ("undici", "nodejs", "undici"),
    ("url-parse", "url-parse_project", "url-parse"),
    ("validator", "validator_project", "validator"),
    ("vite", "vitejs", "vite"),
    ("vue", "vuejs", "vue.js"),
    ("webpack", "webpack.js", "webpack"),
    ("word-wrap", "word-wrap_project", "word-wrap"),
    ("ws", "ws_project", "ws"),
    ("xml2js", "xml2js_project", "xml2js"),
    ("xmldom", "xmldom_project", "xmldom"),
    ("y18n", "y18n_project", "y18n"),
    ("yargs-parser", "yargs", "yargs-parser"),
];

const PYTHON: Table = &[
    ("aiohttp", "aiohttp", "aiohttp"),
    ("ansible", "redhat", "ansible"),
    ("apache-airflow", "apache", "airflow"),
    ("babel", "pocoo", "babel"),
    ("bleach", "mozilla", "bleach"),
    ("celery", "celeryproject", "celery"),
    ("certifi", "certifi", "certifi"),
    ("cryptography", "cryptography.io", "cryptography"),
    ("django", "djangoproject", "django"),
    ("djangorestframework", "encode", "django-rest-framework"),
    ("fastapi", "tiangolo", "fastapi"),
    ("flask", "palletsprojects", "flask"),
    ("gitpython", "gitpython_project", "gitpython"),
    ("gradio", "gradio_project", "gradio"),
    ("grpcio", "grpc", "grpc"),
    ("gunicorn", "gunicorn", "gunicorn"),
    ("httplib2", "httplib2_project", "httplib2"),
    ("httpx", "encode", "httpx"),
    (
        "idna",
        "kjd",
        "internationalized_domain_names_in_applications",
    ),
    ("ipython", "ipython", "ipython"),
    ("jinja2", "palletsprojects", "jinja"),
    ("joblib", "joblib_project", "joblib"),
    ("jupyter-server", "jupyter", "jupyter_server"),
    ("keras", "keras", "keras"),
    ("langchain", "langchain", "langchain"),
    ("lxml", "lxml", "lxml"),
    ("mako", "sqlalchemy", "mako"),
    ("markdown2", "markdown2_project", "markdown2"),
    ("mercurial", "mercurial", "mercurial"),
    ("mlflow", "lfprojects", "mlflow"),
    ("nltk", "nltk", "nltk"),
    ("notebook", "jupyter", "notebook"),
    ("numpy", "numpy", "numpy"),
    ("oauthlib", "oauthlib_project", "oauthlib"),
    ("opencv-python", "opencv", "opencv"),
    ("pandas", "numfocus", "pandas"),
    ("paramiko", "paramiko", "paramiko"),
    ("pillow", "python", "pillow"),
    ("pip", "pypa", "pip"),
    ("protobuf", "google", "protobuf-python"),
    ("py", "pytest", "py"),
    ("pycryptodome", "pycryptodome", "pycryptodome"),
    ("pygments", "pygments", "pygments"),
    ("pyjwt", "pyjwt_project", "pyjwt"),
    ("pyopenssl", "pyopenssl_project", "pyopenssl"),
    ("pypdf2", "pypdf2_project", "pypdf2"),
    ("python-jose", "python-jose_project", "python-jose"),
    ("pywin32", "python", "pywin32"),
    ("pyyaml", "pyyaml", "pyyaml"),
    ("ray", "anyscale", "ray"),
    ("redis", "redis", "redis-py"),
    ("reportlab", "reportlab", "reportlab"),
    ("requests", "python", "requests"),
    ("rsa", "python-rsa_project", "python-rsa"),
    ("salt", "saltstack", "salt"),
    ("scikit-learn", "scikit-learn", "scikit-learn"),
    ("scipy", "scipy", "scipy"),
    ("scrapy", "scrapy", "scrapy"),
    ("setuptools", "python", "setuptools"),
    ("sqlalchemy", "sqlalchemy", "sqlalchemy"),
    ("sqlparse", "sqlparse_project", "sqlparse"),
    ("starlette", "encode", "starlette"),
    ("tensorflow", "google", "tensorflow"),
    ("torch", "linuxfoundation", "pytorch"),
    ("tornado", "tornadoweb", "tornado"),
    ("tqdm", "tqdm_project", "tqdm"),
    ("transformers", "huggingface", "transformers"),
    ("twisted", "twisted", "twisted"),
    ("ujson", "ultrajson_project", "ultrajson"),
    ("urllib3", "python", "urllib3"),
    ("uvicorn", "encode", "uvicorn"),
    ("virtualenv", "virtualenv", "virtualenv"),
    ("waitress", "agendaless", "waitress"),
    ("werkzeug", "palletsprojects", "werkzeug"),
    ("wheel", "wheel_project", "wheel"),
    ("zipp", "jaraco", "zipp"),
];

const GO: Table = &[
    (
        "github.com/Masterminds/goutils",
        "goutils_project",
        "goutils",
    ),
    ("github.com/anchore/stereoscope", "anchore", "stereoscope"),
    (
        "github.com/aws/aws-sdk-go",
        "amazon",
        "aws_software_development_kit",
    ),
    ("github.com/cloudflare/circl", "cloudflare", "circl"),
    (
        "github.com/containerd/containerd",
        "linuxfoundation",
        "containerd",
    ),
    ("github.com/containers/image", "redhat", "containers_image"),
    ("github.com/dgrijalva/jwt-go", "jwt-go_project", "jwt-go"),
    ("github.com/docker/docker", "mobyproject", "moby"),
    ("github.com/gin-gonic/gin", "gin-gonic", "gin"),
    ("github.com/gogo/protobuf", "golang", "protobuf"),
    (
        "github.com/gorilla/websocket",
        "gorillatoolkit",
        "websocket",
    ),
    ("github.com/hashicorp/consul", "hashicorp", "consul"),
    ("github.com/hashicorp/go-getter", "hashicorp", "go-getter"),
    ("github.com/hashicorp/vault", "hashicorp", "vault"),
    ("github.com/labstack/echo/v4", "labstack", "echo"),
    ("github.com/lestrrat-go/jwx", "lestrrat-go", "jwx"),
    ("github.com/mholt/archiver/v3", "mholt", "archiver"),
    ("github.com/mholt/archives", "mholt", "archives"),
    ("github.com/miekg/dns", "miekg-dns_project", "miekg-dns"),
    ("github.com/minio/minio", "minio", "minio"),
    ("github.com/opencontainers/runc", "linuxfoundation", "runc"),
    (
        "github.com/prometheus/client_golang",
        "prometheus",
        "client_golang",
    ),
    ("github.com/quic-go/quic-go", "quic-go_project", "quic-go"),
    ("github.com/sirupsen/logrus", "turbopuffer", "logrus"),
    ("github.com/tidwall/gjson", "gjson_project", "gjson"),
    ("github.com/ulikunitz/xz", "xz_project", "xz"),
    (
        "github.com/valyala/fasthttp",
        "fasthttp_project",
        "fasthttp",
    ),
    ("go.etcd.io/etcd", "etcd", "etcd"),
    ("go.opentelemetry.io/otel", "opentelemetry", "opentelemetry"),
    ("golang.org/x/crypto", "golang", "crypto"),
    ("golang.org/x/image", "golang", "image"),
    ("golang.org/x/net", "golang", "networking"),
    ("golang.org/x/text", "golang", "text"),
    ("gopkg.in/yaml.v2", "yaml_project", "yaml"),
    ("gopkg.in/yaml.v3", "yaml_project", "yaml"),
    ("helm.sh/helm/v3", "helm", "helm"),
    ("k8s.io/client-go", "kubernetes", "client-go"),
    ("k8s.io/kubernetes", "kubernetes", "kubernetes"),
];

const GEM: Table = &[
    ("actionmailer", "rubyonrails", "actionmailer"),
    ("actionpack", "rubyonrails", "actionpack"),
    ("activerecord", "rubyonrails", "rails"),
    ("activesupport", "rubyonrails", "rails"),
    ("addressable", "addressable_project", "addressable"),
    ("bundler", "bundler", "bundler"),
    ("carrierwave", "carrierwave_project", "carrierwave"),
    ("devise", "plataformatec", "devise"),
    ("doorkeeper", "doorkeeper_project", "doorkeeper"),
    ("jquery-rails", "jquery-rails_project", "jquery-rails"),
    ("json", "json_project", "json"),
    ("kramdown", "kramdown_project", "kramdown"),
    ("loofah", "loofah_project", "loofah"),
    ("nokogiri", "nokogiri", "nokogiri"),
    ("omniauth", "omniauth", "omniauth"),
    ("puma", "puma", "puma"),
    ("rack", "rack", "rack"),
    ("rails", "rubyonrails", "rails"),
    (
        "rails-html-sanitizer",
        "rubyonrails",
        "rails_html_sanitizers",
    ),
    ("rake", "ruby-lang", "rake"),
    ("rdoc", "ruby-lang", "rdoc"),
    ("redcarpet", "redcarpet_project", "redcarpet"),
    ("rexml", "ruby-lang", "rexml"),
    ("rubyzip", "rubyzip_project", "rubyzip"),
    ("sidekiq", "contribsys", "sidekiq"),
    ("sinatra", "sinatrarb", "sinatra"),
    ("tzinfo", "tzinfo_project", "tzinfo"),
    ("webrick", "ruby-lang", "webrick"),
    (
        "websocket-extensions",
        "websocket-extensions_project",
        "websocket-extensions",
    ),
];

#[cfg(test)]
mod tests;
