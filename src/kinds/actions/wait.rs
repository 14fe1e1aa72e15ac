//! Actions that wait: for an address to answer, or for a resource of a cluster.
//!
//! Source: docs/spec/package.md, "Actions".

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::ground::process::{Ending, Process};
use crate::ground::site::Site;
use crate::ground::{Class, Failure};
use crate::kinds::actions::ActionsWork;
use crate::package::{Wait, WaitCluster, WaitNetwork};

/// Delay before the first check of an address.
const FIRST: Duration = Duration::from_millis(100);

const PAUSE: Duration = Duration::from_secs(1);

const LIMIT: Duration = Duration::from_secs(300);

/// Time limit of one check of an address.
const LOOK: Duration = Duration::from_secs(10);

/// Time between asking kubectl to stop and killing it.
const GRACE: Duration = Duration::from_secs(2);

/// The default expected status.
const OK: i64 = 200;

/// Waits for the condition `wait`, for at most `limit`.
pub(crate) async fn wait_for(
    site: &Arc<Site>,
    work: &ActionsWork,
    wait: &Wait,
    limit: Option<Duration>,
) -> Result<(), Failure> {
    let limit = limit.unwrap_or(LIMIT);
    let waited = match (&wait.network, &wait.cluster) {
        (Some(network), _) => until(site, limit, FIRST, || answers(site, network)).await,
        (None, Some(cluster)) => {
            let start = Instant::now();
            let there = || is_there(site, work, cluster, limit.saturating_sub(start.elapsed()));
            until(site, limit, Duration::ZERO, there).await
        }
        (None, None) => return Ok(()),
    };
    match waited? {
        true => Ok(()),
        false => {
            let message = format!(
                "{} was not ready after {} seconds; increase `maxTotalSeconds` if it needs longer",
                awaited(wait),
                limit.as_secs()
            );
            Err(Failure::new(Class::Timeout, message))
        }
    }
}

/// The condition of a wait, for messages.
pub(crate) fn awaited(wait: &Wait) -> String {
    match (&wait.network, &wait.cluster) {
        (Some(network), _) => format!("{} {}", network.protocol, network.address),
        (None, Some(cluster)) => format!("{} {}", cluster.kind, cluster.name),
        (None, None) => "nothing".to_owned(),
    }
}

/// Checks repeatedly; `false`: the limit was reached.
async fn until<F: Future<Output = Result<bool, Failure>>>(
    site: &Arc<Site>,
    limit: Duration,
    first: Duration,
    look: impl Fn() -> F,
) -> Result<bool, Failure> {
    let looking = async {
        tokio::time::sleep(first).await;
        loop {
            if look().await? {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        found = looking => found.map(|()| true),
        () = tokio::time::sleep(limit) => Ok(false),
        () = site.stopped() => Err(Failure::new(Class::Cancelled, "stopped by a signal")),
    }
}

async fn answers(site: &Arc<Site>, network: &WaitNetwork) -> Result<bool, Failure> {
    let address = network.address.as_str();
    let looked = tokio::time::timeout(LOOK, async {
        if network.protocol == "tcp" {
            return TcpStream::connect(address).await.is_ok();
        }
        let url = format!("{}://{address}", network.protocol);
        let wanted = if network.code == 0 { OK } else { network.code };
        let status = site.registry.status(&url).await;
        status.is_some_and(|status| i64::from(status) == wanted)
    });
    Ok(looked.await.unwrap_or(false))
}

/// Checks with kubectl that the resource exists, then its condition.
async fn is_there(
    site: &Arc<Site>,
    work: &ActionsWork,
    cluster: &WaitCluster,
    left: Duration,
) -> Result<bool, Failure> {
    let mut named = vec![cluster.kind.clone()];
    match cluster.name.as_str() {
        "" => {}
        selector if selector.contains('=') => named.extend(["-l".to_owned(), selector.to_owned()]),
        name => named.push(name.to_owned()),
    }
    if !cluster.namespace.is_empty() {
        named.extend(["-n".to_owned(), cluster.namespace.clone()]);
    }
    let get = ["get".to_owned(), "-o".to_owned(), "name".to_owned()];
    let found = kubectl(site, work, get.into_iter().chain(named.clone()), left).await?;
    let condition = match cluster.condition.as_str() {
        // kubectl does not fail if a selector matches nothing.
        "" | "exist" | "exists" => return Ok(found.is_some_and(|names| !names.is_empty())),
        path if path.starts_with('{') && path.contains('}') && path.contains('=') => {
            format!("jsonpath={path}")
        }
        condition => format!("condition={condition}"),
    };
    if found.is_none_or(|names| names.is_empty()) {
        return Ok(false);
    }
    let wait = [
        "wait".to_owned(),
        "--for".to_owned(),
        condition,
        format!("--timeout={}s", left.as_secs().max(1)),
    ];
    let met = kubectl(site, work, wait.into_iter().chain(named), left).await?;
    Ok(met.is_some())
}

/// The output of kubectl; `None`: it failed.
async fn kubectl(
    site: &Arc<Site>,
    work: &ActionsWork,
    arguments: impl Iterator<Item = String>,
    left: Duration,
) -> Result<Option<String>, Failure> {
    let process = Process {
        argv: std::iter::once("kubectl".to_owned())
            .chain(arguments)
            .collect(),
        env: site.options.environment.clone(),
        cwd: work.folders.own.clone(),
        timeout: Some(left + GRACE),
        grace: GRACE,
        confinement: None,
        root: None,
        observed: None,
        services: Vec::new(),
        through: site.options.program.clone(),
    };
    let ran = process.run(site.stopped()).await.map_err(|_| {
        let message =
            "waiting for a cluster resource requires `kubectl`, which is not on PATH: install it";
        Failure::new(Class::Environment, message)
    })?;
    Ok(match ran.ending {
        Ending::Exited(0) => Some(crate::ground::log::text(&ran.log).trim().to_owned()),
        _ => None,
    })
}
