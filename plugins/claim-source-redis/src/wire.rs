//! One connection to one server: where it leads, who says hello how, and one command after the other.
//!
//! It is made anew for every attempt, and each step of it has its time. Many at once are [`Link`](crate::link::Link)'s.

use std::fmt;
use std::time::Duration;

use bytes::BytesMut;
use countersign_claim_source::Secret;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::failure::Failure;
use crate::resp::{Command, Reply, take};

/// How long it may take to be connected: TCP, TLS and who we are.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(2);

/// Bytes that are asked for at once.
pub(crate) const READ_BYTES: usize = 16 * 1024;

/// How a server is connected to.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) tls: Option<TlsConnector>,
    pub(crate) login: Option<Login>,
    pub(crate) database: u32,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// None: the user that is called `default`.
    pub(crate) username: Option<String>,
    pub(crate) password: Secret,
}

/// What bytes go over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection on which one command follows the other.
pub(crate) struct Wire {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) received: BytesMut,
}

impl Dialer {
    /// Connects, says who asks, and selects the database.
    pub(crate) async fn connect(&self, address: &Address) -> Result<Wire, Failure> {
        let late = |_| Failure::unavailable("there was no connection in time");
        let mut wire = timeout(CONNECT_TIME, self.reach(address)).await.map_err(late)??;
        if let Some(Login { username, password }) = &self.login {
            let words: Vec<_> = ["AUTH"].into_iter().chain(username.as_deref()).chain([password.expose()]).collect();
            if let Reply::Error(error) = wire.ask(&Command::new(&words)).await? {
                // Before Redis 6 a wrong password has no code of its own.
                return Err(match Failure::answered(&error) {
                    Failure::Unavailable(_) if error.starts_with("ERR ") => {
                        Failure::Denied("Redis takes no such user or password".into())
                    }
                    other => other,
                });
            }
        }
        if self.database != 0
            && let Reply::Error(error) = wire.ask(&Command::new(&["SELECT", &self.database.to_string()])).await?
        {
            return Err(Failure::answered(&error));
        }
        Ok(wire)
    }

    async fn reach(&self, address: &Address) -> Result<Wire, Failure> {
        let unreachable = |_| Failure::unavailable("it cannot be connected to");
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from(address.host.clone())
                    .map_err(|_not_quoted| Failure::unavailable("its name can stand in no certificate"))?;
                let untrusted = |_| Failure::unavailable("TLS does not come about, or its certificate is not for it");
                Box::new(tls.connect(name, stream).await.map_err(untrusted)?)
            }
        };
        Ok(Wire { stream, received: BytesMut::new() })
    }
}

impl Wire {
    /// Sends a command and waits for its reply.
    pub(crate) async fn ask(&mut self, command: &Command) -> Result<Reply, Failure> {
        let late = |_| Failure::unavailable("there was no reply in time");
        timeout(CONNECT_TIME, self.exchange(command)).await.map_err(late)?
    }

    async fn exchange(&mut self, command: &Command) -> Result<Reply, Failure> {
        let lost = |_| Failure::Lost;
        self.stream.write_all(&command.bytes).await.map_err(lost)?;
        self.stream.flush().await.map_err(lost)?;
        loop {
            if let Some(reply) = take(&mut self.received)? {
                return Ok(reply);
            }
            self.received.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.received).await.map_err(lost)? == 0 {
                return Err(Failure::Lost);
            }
        }
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("tls", &self.tls.is_some()).field("login", &self.login).finish_non_exhaustive()
    }
}
