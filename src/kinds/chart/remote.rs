//! Charts from Helm repositories and OCI registries: resolves a name and version to an
//! archive, and downloads it.
//!
//! `jackal.lock` pins the archive, so that a version constraint is resolved once.
//! Source: docs/spec/package.md, "Parts of a component"; Helm v3, `pkg/repo`.

use std::io::{self, BufRead, BufReader, Read as _};
use std::sync::Arc;

use crate::action::Output;
use crate::ground::lockfile::{ChartPin, Lockfile};
use crate::ground::site::Site;
use crate::ground::threads::blocking;
use crate::ground::{Class, Failure};
use crate::kinds::Prepared;
use crate::kinds::chart::package::Metadata;
use crate::kinds::image::fetch::{self, FetchError};
use crate::kinds::pins::Question;
use crate::oci::{Digest, Manifest, Reference, ReferenceError};
use crate::package::{Chart, ChartConstraint, chart_version};
use crate::registry;
use crate::text::{public_url, with_causes};
use crate::yaml::{Node, SourceText, parse_first};

/// Maximum size of an index, in bytes: 128 MiB; those of large public repositories have
/// about 30 MiB.
const MAX_INDEX_BYTES: u64 = 128 << 20;

/// The name of the output.
pub(crate) const CHART: &str = "chart.tgz";

/// Maximum part of an index held in memory, in bytes: 16 MiB. Of a larger index, only the
/// entry of one chart is held.
const MAX_HELD_BYTES: u64 = 16 << 20;

/// The media type of a chart archive in a registry.
const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// The question of which archive a published chart resolves to.
pub(crate) struct ChartQuestion(pub(crate) Chart);

impl Question for ChartQuestion {
    type Answer = ChartPin;

    fn name(&self) -> String {
        let chart = &self.0;
        format!(
            "{} {} {}",
            public_url(&chart.url),
            name(chart),
            chart.version
        )
    }

    fn platform(&self) -> String {
        "chart".to_owned()
    }

    fn pinned(&self, lock: &Lockfile) -> Option<ChartPin> {
        lock.chart(&self.name()).cloned()
    }

    fn pin(&self, lock: &mut Lockfile, answer: ChartPin) {
        lock.pin_chart(&self.name(), answer);
    }

    fn shown(answer: &ChartPin) -> String {
        answer.digest.to_string()
    }

    async fn ask(&self, site: &Arc<Site>) -> Result<ChartPin, Failure> {
        if Reference::url_path(&self.0.url).is_some() {
            of_registry(site, &self.0).await
        } else {
            of_repository(site, &self.0).await
        }
    }
}

impl ChartQuestion {
    /// The name of the chart where it is published.
    pub(crate) fn chart_name(&self) -> &str {
        match Reference::url_path(&self.0.url) {
            Some(path) => path
                .trim_end_matches('/')
                .rsplit('/')
                .next()
                .unwrap_or(path),
            None => name(&self.0),
        }
    }

    /// Refuses an archive that Helm would not load, or that holds another chart than
    /// the requested one.
    pub(crate) fn is_answered_by(
        &self,
        pin: &ChartPin,
        found: Result<Metadata, String>,
    ) -> Result<(), Failure> {
        let found = found
            .map_err(|what| refused(&self.0, format_args!("its archive is not a chart: {what}")))?;
        let version = |text: &str| text.trim_start_matches('v').to_owned();
        let (name, wanted) = (self.chart_name(), &pin.version);
        if found.name == name && version(&found.version) == version(wanted) {
            return Ok(());
        }
        let what = format!(
            "its archive holds the chart `{}` {}, expected `{name}` {wanted}: correct the definition, or ask its publisher",
            found.name, found.version
        );
        Err(refused(&self.0, what))
    }
}

fn name(chart: &Chart) -> &str {
    if chart.repo_name.is_empty() {
        &chart.name
    } else {
        &chart.repo_name
    }
}

fn refused(chart: &Chart, what: impl std::fmt::Display) -> Failure {
    let message = format!(
        "chart `{}` from {}: {what}",
        chart.name,
        public_url(&chart.url)
    );
    Failure::new(Class::Configuration, message)
}

/// Fetches the archive that a prepared step names into the store.
pub(crate) async fn fetched(
    site: &Arc<Site>,
    chart: &Chart,
    prepared: &Prepared,
) -> Result<Output, Failure> {
    let found = prepared.action.inputs.blobs().next();
    let (pinned_url, archive) =
        found.ok_or_else(|| Failure::internal("a published chart without its archive"))?;
    let (cas, digest, size) = (Arc::clone(&site.cas), archive.digest, archive.size);
    let output = Output::new(CHART, (digest, size));
    if blocking(move || Ok(cas.contains(&digest, size)?)).await? {
        return Ok(output);
    }
    site.online(&format!("chart `{}`", chart.name))?;
    match &prepared.manifest {
        Some(manifest) => {
            let reference = reference(chart)?.at(manifest.digest);
            let (registry, transfers) = (&site.registry, &site.transfers);
            fetch::fetch(
                registry,
                &site.cas,
                &reference,
                manifest,
                transfers,
                &site.fetching,
            )
            .await?;
        }
        None => {
            let url = with_login(&chart.url, &pinned_url);
            registry::download(
                &site.registry,
                &url,
                Some(digest),
                site.options.content_limit,
                &site.cas,
                &site.transfers,
            )
            .await?;
        }
    }
    Ok(output)
}

fn reference(chart: &Chart) -> Result<Reference, Failure> {
    let path = Reference::url_path(&chart.url)
        .unwrap_or_default()
        .trim_end_matches('/');
    // Tags cannot contain a plus sign.
    let text = format!("{path}:{}", chart.version.replace('+', "_"));
    text.parse()
        .map_err(|error: ReferenceError| refused(chart, with_causes(&error)))
}

async fn of_registry(site: &Arc<Site>, chart: &Chart) -> Result<ChartPin, Failure> {
    let reference = reference(chart)?;
    let found = site.registry.resolve(&reference).await;
    let (descriptor, bytes) = found.map_err(FetchError::from)?;
    let no_chart = |what: &str| refused(chart, format_args!("{reference} is not a chart: {what}"));
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| no_chart(&error.to_string()))?;
    let mut layers = manifest.layers.into_iter();
    let layer = layers
        .find(|layer| layer.media_type == CHART_LAYER)
        .ok_or_else(|| no_chart("it has no layer with a chart archive: correct `url`"))?;
    Ok(ChartPin {
        version: chart.version.clone(),
        url: format!("oci://{reference}"),
        digest: layer.digest,
        size: layer.size,
        manifest: Some(descriptor),
    })
}

async fn of_repository(site: &Arc<Site>, chart: &Chart) -> Result<ChartPin, Failure> {
    if !chart.url.starts_with("https://") && !chart.url.starts_with("http://") {
        let what = "expected https://, http://, oci:// or the URL of a Git repository in `url`";
        return Err(refused(chart, what));
    }
    let base = chart.url.trim_end_matches('/');
    let index = format!("{base}/index.yaml");
    let (client, cas) = (&site.registry, &site.cas);
    let most = Some(MAX_INDEX_BYTES);
    let index = registry::download(client, &index, None, most, cas, &site.transfers).await?;
    let (shared, own) = (Arc::clone(cas), chart.clone());
    let (version, address, sum) = blocking(move || {
        let unread = |error| {
            refused(
                &own,
                format_args!("its index.yaml: {error}", error = with_causes(&error)),
            )
        };
        let blob = || Ok::<_, Failure>(BufReader::new(shared.open_blob(&index.digest)?));
        if blob()?
            .fill_buf()
            .map_err(unread)?
            .trim_ascii_start()
            .starts_with(b"<")
        {
            let what = "a web page answered instead of its index.yaml; if a proxy or a sign-in \
                        page is between, sign in or go around it, else correct `url`";
            return Err(refused(&own, what));
        }
        let text = match section(blob()?, name(&own)).map_err(unread)? {
            Some(text) => text,
            None if index.size > MAX_HELD_BYTES => {
                let what =
                    "its index.yaml is larger than 16 MiB and not formatted the way Helm writes it";
                return Err(refused(&own, what));
            }
            None => {
                let mut text = String::new();
                blob()?.read_to_string(&mut text).map_err(unread)?;
                text
            }
        };
        chosen(&own, &text)
    })
    .await?;
    let url = if address.contains("://") {
        address
    } else {
        format!("{}/{address}", public_url(base))
    };
    let from = with_login(&chart.url, &url);
    let most = site.options.content_limit;
    let found = registry::download(client, &from, sum, most, cas, &site.transfers).await?;
    Ok(ChartPin {
        version,
        url,
        digest: found.digest,
        size: found.size,
        manifest: None,
    })
}

/// `url` with the login of the repository, if it is on the same host.
fn with_login(repository: &str, url: &str) -> String {
    let split = |url: &str| {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (login, host) = rest[..end].rsplit_once('@').unwrap_or(("", &rest[..end]));
        let (login, host) = (login.to_owned(), host.to_owned());
        Some((scheme.to_owned(), login, host, rest[end..].to_owned()))
    };
    match (split(repository), split(url)) {
        (Some((one, login, host, _)), Some((scheme, own, other, path)))
            if !login.is_empty() && own.is_empty() && host == other && one == scheme =>
        {
            format!("{scheme}://{login}@{host}{path}")
        }
        _ => url.to_owned(),
    }
}

/// The version, URL and digest of the archive that `chart` resolves to. `index` is the
/// index or its section about the chart.
fn chosen(chart: &Chart, index: &str) -> Result<(String, String, Option<Digest>), Failure> {
    let wanted = name(chart);
    let node = document(chart, index)?;
    let entries = node.get("entries").and_then(|entries| entries.get(wanted));
    let entries = entries.map_or(&[][..], Node::items);
    let text = |entry: &Node, key: &str| {
        let value = entry.get(key).and_then(Node::scalar);
        value.unwrap_or_default().to_owned()
    };
    if entries.is_empty() {
        let what = format!("the repository has no chart `{wanted}`: correct `name` or `repoName`");
        return Err(refused(chart, what));
    }
    let exact = entries.iter().find(|e| text(e, "version") == chart.version);
    let best = || {
        let constraint = ChartConstraint::parse(&chart.version)?;
        let versions = entries.iter().filter_map(|entry| {
            let version = chart_version(&text(entry, "version"))?;
            constraint.matches(&version).then_some((version, entry))
        });
        let best = versions.max_by(|a, b| a.0.cmp_precedence(&b.0))?;
        Some(best.1)
    };
    let entry = exact.or_else(best).ok_or_else(|| {
        let known: Vec<String> = entries.iter().take(5).map(|e| text(e, "version")).collect();
        let known = known.join(", ");
        let version = &chart.version;
        refused(
            chart,
            format_args!("no version matches `{version}`; available: {known}"),
        )
    })?;
    let version = text(entry, "version");
    let urls = entry.get("urls").map_or(&[][..], Node::items);
    let address = urls.first().and_then(Node::scalar).ok_or_else(|| {
        refused(
            chart,
            format_args!("version {version} has no URL in the index"),
        )
    })?;
    let sum = text(entry, "digest");
    let sum = match sum.trim_start_matches("sha256:") {
        "" => None,
        hex => Some(Digest::from_hex(hex).map_err(|error| refused(chart, with_causes(&error)))?),
    };
    Ok((version, address.to_owned(), sum))
}

fn document(chart: &Chart, text: &str) -> Result<Node, Failure> {
    let source = SourceText::new("index.yaml", text);
    match parse_first(&source) {
        Ok(Some(node)) => Ok(node),
        Ok(None) => Err(refused(chart, "its index.yaml is empty")),
        Err(mistakes) => {
            let first = mistakes
                .list()
                .first()
                .map(|mistake| mistake.message.clone());
            let first = first.unwrap_or_default();
            Err(refused(
                chart,
                format_args!("its index.yaml cannot be read: {first}"),
            ))
        }
    }
}

/// The entry of one chart as a separate document, because indexes are large. Helm
/// indents each entry by two spaces; `None`: this index has another layout.
fn section(mut index: impl BufRead, name: &str) -> io::Result<Option<String>> {
    let begin = format!("  {name}:");
    let (mut line, mut found) = (Vec::new(), Vec::new());
    let (mut entries, mut inside) = (false, false);
    loop {
        line.clear();
        let mut bounded = (&mut index).take(MAX_HELD_BYTES + 1);
        let length = bounded.read_until(b'\n', &mut line)?;
        if length as u64 > MAX_HELD_BYTES {
            return Ok(None);
        }
        let text = line.trim_ascii_end();
        let deeper = line.starts_with(b"   ") || line.starts_with(b"  -") || text.is_empty();
        match (entries, inside) {
            _ if length == 0 => break,
            (false, _) => entries = text == b"entries:",
            (true, false) => inside = text == begin.as_bytes(),
            (true, true) if !deeper => break,
            (true, true) => {}
        }
        if text == b"entries:" && found.is_empty() || inside {
            found.extend_from_slice(text);
            found.push(b'\n');
        }
        if found.len() as u64 > MAX_HELD_BYTES {
            let what = "the entry of this chart is larger than 16 MiB";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
    }
    if !inside {
        return Ok(None);
    }
    let text = String::from_utf8(found);
    text.map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "apiVersion: v1\nentries:\n  db:\n  - version: 9.0.0\n    urls: [x]\n  web:\n  \
                         - version: 1.3.0-rc.1\n    urls: [rc.tgz]\n  - version: 1.2.0\n    digest: \
                         \"0000000000000000000000000000000000000000000000000000000000000000\"\n    \
                         urls:\n    - web-1.2.0.tgz\n  - version: 1.10.0\n    urls: \
                         [https://h/web-1.10.0.tgz]\n  z: []\ngenerated: x\n";

    fn chart(version: &str) -> Chart {
        Chart {
            name: "mine".into(),
            repo_name: "web".into(),
            version: version.into(),
            url: "https://u:secret@h/charts".into(),
            ..Chart::default()
        }
    }

    #[test]
    fn the_exact_version_or_else_the_highest_match_is_chosen() {
        let flow = "{entries: {web: [{version: 1.2.0, urls: [flow.tgz]}]}}";
        for (index, version, url) in [
            (INDEX, "1.2.0", "web-1.2.0.tgz"),
            (INDEX, "^1.2", "https://h/web-1.10.0.tgz"),
            (INDEX, "1.3.0-rc.1", "rc.tgz"),
            (flow, "1.x", "flow.tgz"),
        ] {
            let part = section(index.as_bytes(), "web").unwrap();
            assert_eq!(part.is_none(), index == flow);
            for text in part.as_deref().into_iter().chain([index]) {
                let found = chosen(&chart(version), text).unwrap();
                assert_eq!(found.1, url, "{version}");
            }
        }
        assert!(chosen(&chart("1.2.0"), INDEX).unwrap().2.is_some());
        let error = |version: &str| chosen(&chart(version), INDEX).unwrap_err().message;
        let none = error("^2");
        assert!(
            none.contains("no version matches `^2`") && none.contains("1.2.0"),
            "{none}"
        );
        assert!(!none.contains("secret"), "{none}");
        let mut absent = chart("1.2.0");
        absent.repo_name = "nothing".into();
        assert!(chosen(&absent, INDEX).is_err());
    }

    #[test]
    fn of_an_index_only_the_entry_of_one_chart_is_held() {
        let part = section(INDEX.as_bytes(), "web").unwrap().unwrap();
        assert!(part.starts_with("entries:\n  web:\n  - version: 1.3.0-rc.1\n"));
        assert!(
            !part.contains("9.0.0") && !part.contains("generated"),
            "{part}"
        );
        assert_eq!(section(INDEX.as_bytes(), "absent").unwrap(), None);
        let long = "x".repeat(17 << 20);
        let line = format!("entries:\n  a: {long}\n  web:\n  - version: 1\n");
        assert_eq!(section(line.as_bytes(), "web").unwrap(), None);
        let lines = "  - y\n".repeat(3 << 20);
        let entry = format!("entries:\n  web:\n{lines}");
        assert!(section(entry.as_bytes(), "web").is_err());
    }

    #[test]
    fn a_login_goes_to_the_repositorys_own_host_only() {
        let repository = "https://u:p@h:1/charts";
        assert_eq!(with_login(repository, "https://h:1/x"), "https://u:p@h:1/x");
        for other in ["https://h/x", "http://h:1/x", "https://a@h:1/x"] {
            assert_eq!(with_login(repository, other), other);
        }
    }
}
