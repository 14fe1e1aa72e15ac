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

#[derive(Debug)]
pub struct Options {
    /// Address to listen on; port 0: any free port.
    pub listen: SocketAddr,
    /// Folder of the data; `None`: a temporary one.
    pub folder: Option<PathBuf>,
    /// The kind of registry to imitate.
    pub profile: Profile,
    /// Maximum size of a layer in bytes, overriding the profile.
    pub max_layer: Option<u64>,
    /// Maximum size of a request body in bytes.
    pub max_body: Option<u64>,
    /// The faults to inject.
    pub faults: Vec<Fault>,
    /// Required credentials; `None`: anonymous access.
    pub login: Option<Login>,
    /// Whether tags are immutable.
    pub immutable: bool,
    /// Certificates, to use TLS.
    pub tls: Option<Tls>,
    /// File for a log with one line of JSON per request.
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
    /// Starts the registry; returns when it accepts connections. Call it within
    /// a tokio runtime.
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
                            // TLS reports failed handshakes to the client.
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

    /// Its address, as `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Removes and returns the requests so far, unless they go to a log file.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Request> {
        self.site.log.take()
    }
}

async fn serve(site: Arc<Site>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(move |request| Site::answer(Arc::clone(&site), request));
    // Broken connections are caused by the client or by an injected fault.
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
