//! HTTP servers. [`Nginx`] is the real one: JSON by the request target. [`Upstream`] answers what a test says, and does
//! what nginx does not on demand: it hangs, breaks off, never ends. It keeps what it was sent, byte for byte.

use std::fmt::{Display, Write as _};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::{Certificates, Daemon, free_port};

/// What nginx serves.
#[derive(Clone, Debug, Default)]
pub struct Site<'s> {
    /// JSON by the request target as it is sent: `/users/a%2Fb`. Every other target is not found.
    pub pages: Vec<(String, String)>,
    /// More lines of the `server` block: `location = /down { return 503; }`.
    pub more: &'s str,
    /// Then it serves `https://` too.
    pub certificates: Option<&'s Certificates>,
}

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    daemon: Daemon,
    secure: [u16; 3],
}

impl Nginx {
    pub fn start(site: &Site<'_>) -> Self {
        Self::start_at(free_port(), site)
    }

    /// On a port that another had before.
    pub fn start_at(port: u16, site: &Site<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secure = [free_port(), free_port(), free_port()];
        let pages = folder.path().join("pages");
        std::fs::create_dir(&pages).unwrap();
        for (index, (_, page)) in site.pages.iter().enumerate() {
            std::fs::write(pages.join(index.to_string()), page).unwrap();
        }
        std::fs::write(folder.path().join("nginx.conf"), configuration(port, secure, site)).unwrap();
        let daemon = Daemon::start(("/usr/sbin/nginx", "nginx"), folder, port, |folder, command| {
            command.arg("-p").arg(folder).args(["-c", "nginx.conf"]);
        });
        Self { daemon, secure }
    }

    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    pub fn http(&self, target: &str) -> String {
        format!("http://{}{target}", self.daemon.address)
    }

    /// With the certificate for `localhost`.
    pub fn https(&self, target: &str) -> String {
        format!("https://localhost:{}{target}", self.secure[0])
    }

    /// Likewise, and the client has to have a certificate.
    pub fn mutual(&self, target: &str) -> String {
        format!("https://localhost:{}{target}", self.secure[1])
    }

    /// With a certificate for another name.
    pub fn misnamed(&self, target: &str) -> String {
        format!("https://localhost:{}{target}", self.secure[2])
    }
}

/// One process, because a stopped or killed master leaves its workers behind.
fn configuration(port: u16, secure: [u16; 3], site: &Site<'_>) -> String {
    let mut text = String::from(
        "daemon off; master_process off; pid pid; error_log stderr;
         events { worker_connections 1024; }
         http { access_log off; default_type application/json;
         client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
         map $request_uri $page { default none;\n",
    );
    for (index, (target, _)) in site.pages.iter().enumerate() {
        writeln!(text, "\"~^\\Q{target}\\E$\" {index};").unwrap();
    }
    text.push_str("}\n");
    let mut server = |port: u16, tls: &str| {
        let more = site.more;
        let place = "location / { root pages; try_files /$page =404; }";
        writeln!(text, "server {{ listen 127.0.0.1:{port}{tls} {more} {place} }}").unwrap();
    };
    server(port, ";");
    if let Some(certificates) = site.certificates {
        let of = |name: &str| {
            let (cert, key) = (certificates.text(&format!("{name}.pem")), certificates.text(&format!("{name}.key")));
            format!(" ssl; ssl_certificate {cert}; ssl_certificate_key {key};")
        };
        let mutual = format!("ssl_verify_client on; ssl_client_certificate {};", certificates.text("ca.pem"));
        for (port, tls) in secure.into_iter().zip([of("server"), of("server") + &mutual, of("other")]) {
            server(port, &tls);
        }
    }
    text + "}\n"
}

/// A request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub method: String,
    /// The request target, byte for byte.
    pub target: String,
    /// In order, with names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Status, headers and body.
    Whole(u16, Vec<(String, String)>, String),
    /// These bytes, and then the end of the connection.
    Bytes(Vec<u8>),
    /// A body that never ends.
    Endless,
    /// Nothing, for as long as the other side waits.
    Hang,
    /// The connection is reset.
    Reset,
}

impl Reply {
    /// 200 with this JSON.
    pub fn json(body: &(impl Display + ?Sized)) -> Self {
        Self::Whole(200, Vec::new(), body.to_string())
    }

    pub fn status(status: u16) -> Self {
        Self::Whole(status, Vec::new(), String::new())
    }

    /// With one header more, where it is whole.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if let Self::Whole(_, headers, _) = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// An HTTP/1.1 server that answers what a test says. Ends with the value.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
    /// Its own, so that a test may block or stop its clock.
    runtime: Option<Runtime>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<Received>>,
}

type Script = dyn Fn(&Received) -> Reply + Send + Sync;

impl Upstream {
    pub fn start(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        runtime.spawn(accept(listener, Arc::new(script), Arc::clone(&seen)));
        Self { address, seen, runtime: Some(runtime) }
    }

    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    pub fn requests(&self) -> Vec<Received> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: std::net::TcpListener, script: Arc<Script>, seen: Arc<Seen>) {
    let listener = TcpListener::from_std(listener).unwrap();
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        seen.connections.fetch_add(1, Ordering::SeqCst);
        // A client that goes away is no fault of the server.
        let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
        connections.spawn(async move { drop(serve(BufReader::new(stream), &*script, &seen).await) });
    }
}

async fn serve(mut stream: BufReader<TcpStream>, script: &Script, seen: &Seen) -> io::Result<()> {
    while let Some(request) = read(&mut stream).await? {
        let reply = script(&request);
        seen.requests.lock().unwrap().push(request);
        match reply {
            Reply::Whole(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
                headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
                stream.write_all(format!("{head}\r\n{body}").as_bytes()).await?;
            }
            Reply::Bytes(bytes) => {
                stream.write_all(&bytes).await?;
                return Ok(());
            }
            Reply::Endless => {
                stream.write_all(b"HTTP/1.1 200 x\r\n\r\n[").await?;
                loop {
                    stream.write_all(&[b' '; 1 << 14]).await?;
                }
            }
            Reply::Hang => drop(stream.read_to_end(&mut Vec::new()).await?),
            Reply::Reset => return stream.get_ref().set_zero_linger(),
        }
    }
    Ok(())
}

/// The next request; none at the end of the connection.
async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Received>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Received { method, target, ..Received::default() };
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end_matches(['\r', '\n']).split_once(": ") else { break };
        request.headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(request))
}
