//! The server: connections in, a log of requests out.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::access::{Access, Login};
use super::fault::Fault;
use super::log::{Log, Request};
use super::route::Site;
use super::store::Store;
use super::tls::Tls;
use crate::disk::{self, TemporaryFolder};
use crate::registry::{PROFILES, Profile};

/// How to rehearse.
#[derive(Debug)]
pub struct Options {
    /// Where to listen; port 0: a free one.
    pub listen: SocketAddr,
    /// Where everything lies; `None`: in a folder that goes away.
    pub folder: Option<PathBuf>,
    /// Whose habits it has.
    pub profile: Profile,
    /// Largest layer in bytes, instead of the profile's.
    pub max_layer: Option<u64>,
    /// Largest body of a request in bytes.
    pub max_body: Option<u64>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Who may come in; `None`: anybody.
    pub login: Option<Login>,
    /// A tag that is there cannot be moved.
    pub immutable: bool,
    /// Speak TLS.
    pub tls: Option<Tls>,
    /// Where a line of JSON goes for each request.
    pub log: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            folder: None,
            profile: PROFILES[0],
            max_layer: None,
            max_body: None,
            faults: Vec::new(),
            login: None,
            immutable: false,
            tls: None,
            log: None,
        }
    }
}

/// A registry that runs until it is dropped.
pub struct Server {
    address: SocketAddr,
    site: Arc<Site>,
    running: AbortHandle,
    _temporary: Option<TemporaryFolder>,
}

impl Server {
    /// Starts; answers once connections are taken. Call it within a tokio runtime.
    ///
    /// # Errors
    ///
    /// The address or the folder cannot be used.
    pub async fn start(options: Options) -> io::Result<Self> {
        let (folder, temporary) = match options.folder {
            Some(folder) => (folder, None),
            None => {
                let folder = disk::scratch_folder()?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let acceptor = options.tls.as_ref().map(Tls::acceptor).transpose()?;
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let site = Arc::new(Site {
            store: Store::open(&folder)?,
            profile: options.profile,
            max_layer: options.max_layer.or(options.profile.max_layer),
            max_body: options.max_body,
            faults: options.faults,
            access: Access::new(options.login, acceptor.is_some()),
            immutable: options.immutable,
            log: Log::new(options.log.as_deref())?,
        });
        let own = Arc::clone(&site);
        let running = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let site = Arc::clone(&own);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(site, stream).await,
                        Some(acceptor) => {
                            // Who does not get through is told by TLS itself.
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(site, stream).await;
                            }
                        }
                    }
                });
            }
        });
        Ok(Self {
            address,
            site,
            running: running.abort_handle(),
            _temporary: temporary,
        })
    }

    /// Where it listens, as `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// What was asked for so far, and is not in a log file; forgets it.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Request> {
        self.site.log.take()
    }
}

async fn serve(site: Arc<Site>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(move |request| Site::answer(Arc::clone(&site), request));
    // A connection that breaks is the peer's matter, or a fault of ours.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.abort();
    }
}
