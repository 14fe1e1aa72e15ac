//! Asks a port or an address of this machine whether a service is ready.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::Probe;

/// How long an answer may take. It ends with the service's own limit at the latest.
const ANSWER: Duration = Duration::from_secs(10);

/// Maximum length of the first line of an answer, in bytes.
const MAX_STATUS: u64 = 4 << 10;

/// The exit code of a process that asks: 0 if the service is ready. Prints why it is
/// not.
pub(super) fn ask(probe: &Probe) -> i32 {
    let answered = match probe {
        Probe::Tcp { host, port } => connect(host, *port).map(drop),
        Probe::Http { host, port, path } => status(host, *port, path),
        Probe::Run(_) => Err(io::ErrorKind::Unsupported.into()),
    };
    match answered {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            1
        }
    }
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let both = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ];
    let places: Vec<IpAddr> = host.parse().map_or(both.to_vec(), |place| vec![place]);
    let mut first = None;
    for place in places {
        let place = SocketAddr::new(place, port);
        match TcpStream::connect_timeout(&place, ANSWER) {
            // A port where nothing listens can be given to this end itself.
            Ok(made) if made.local_addr()? == place => {
                first.get_or_insert(io::ErrorKind::ConnectionRefused.into());
            }
            Ok(made) => return Ok(made),
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into()))
}

/// Source: RFC 9112, section 4, "Status Line".
fn status(host: &str, port: u16, path: &str) -> io::Result<()> {
    let mut stream = connect(host, port)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    // In one piece: simple servers read once.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: jackal\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut line = Vec::new();
    let mut byte = [0];
    let mut answer = io::BufReader::new(stream).take(MAX_STATUS);
    while let Ok(1) = answer.read(&mut byte) {
        if byte[0] == b'\n' {
            break;
        }
        line.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&line);
    let mut words = line.split_whitespace();
    let protocol = words.next().unwrap_or_default();
    let code = words.next().and_then(|code| code.parse::<u16>().ok());
    match code.filter(|_| protocol.starts_with("HTTP/")) {
        Some(200..=399) => Ok(()),
        Some(code) => Err(io::Error::other(format!("it answers with status {code}"))),
        None => Err(io::Error::other("it does not answer with HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What a probe says of a server that answers with `answer`.
    fn asked(answer: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let count = stream.read(&mut asked).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&asked[..count]).into_owned()
        });
        let found = status("localhost", port, "/health?x=1");
        let asked = server.join().unwrap();
        assert!(asked.starts_with("GET /health?x=1 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(&format!("Host: localhost:{port}\r\n")));
        found.map_err(|error| error.to_string())
    }

    #[test]
    fn a_status_from_200_to_399_is_ready() {
        assert_eq!(asked("HTTP/1.0 204 No Content\r\n\r\n"), Ok(()));
        assert_eq!(asked("HTTP/1.1 399\r\n\r\n"), Ok(()));
        let said = asked("HTTP/1.1 503 Busy\r\n\r\n").unwrap_err();
        assert_eq!(said, "it answers with status 503");
        let said = asked("SSH-2.0-OpenSSH_9.2\r\n").unwrap_err();
        assert_eq!(said, "it does not answer with HTTP");
        assert!(asked("").is_err());
    }

    #[test]
    fn a_port_where_nothing_listens_is_not_ready() {
        use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

        let held = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&held, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let name = SocketAddr::try_from(getsockname(&held).unwrap()).unwrap();
        let probe = |host: &str| {
            let (host, port) = (host.to_owned(), name.port());
            ask(&Probe::Tcp { host, port })
        };
        assert_eq!(probe("localhost"), 1);
        listen(&held, 1).unwrap();
        assert_eq!(probe("localhost"), 0);
        assert_eq!(
            probe("127.0.0.2"),
            1,
            "another address has ports of its own"
        );
    }
}
