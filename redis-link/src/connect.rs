//! How a Redis is connected to, by the library: one server, the primary that Sentinels name, or a Cluster.
//!
//! Every attempt begins from the configuration, so that nothing of a connection outlives it. When there is one to make
//! is [`Link`](crate::link::Link)'s.

use std::fmt;
use std::time::Duration;

use countersign_claim_source::Secret;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo as _,
    Pipeline, RedisConnectionInfo, RedisResult, TlsCertificates, TlsMode,
};

use crate::address::Address;

/// How long it may take to be connected to a server: TCP, TLS and who we are.
const CONNECT_TIME: Duration = Duration::from_secs(1);

/// How long a node of a Cluster may take for one reply, also to the questions of the library itself.
const NODE_TIME: Duration = Duration::from_secs(1);

/// How often a question to a Cluster is sent again: where the slot was, where it is, and both again while a failover
/// goes on.
const CLUSTER_RETRIES: u32 = 5;

/// The pause before a question is sent again to a Cluster that is not ready for it, in milliseconds: at least, at most.
const CLUSTER_PAUSE: (u64, u64) = (10, 100);

/// What is connected to, and as whom.
#[derive(Clone, Debug)]
pub struct Connector {
    pub(crate) servers: Servers,
    pub(crate) login: Option<Login>,
    pub(crate) database: u32,
    /// None: no TLS.
    pub(crate) tls: Option<TlsCertificates>,
}

/// What is connected to.
#[derive(Clone, Debug)]
pub(crate) enum Servers {
    One(Address),
    /// Nodes of a Cluster.
    Cluster(Vec<Address>),
    /// Sentinels, with a name for the primary and a user of their own.
    Sentinels {
        addresses: Vec<Address>,
        master_name: String,
        login: Option<Login>,
    },
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// None: the user that is called `default`.
    pub(crate) username: Option<String>,
    pub(crate) password: Secret,
}

/// A connection that many use at the same time: what they ask goes out together.
#[derive(Clone)]
pub enum Connection {
    /// To one server.
    One(MultiplexedConnection),
    /// To all nodes.
    Cluster(ClusterConnection),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One(_) => "One",
            Self::Cluster(_) => "Cluster",
        })
    }
}

impl Connection {
    /// The reply to a command.
    ///
    /// # Errors
    ///
    /// Where there is none, or one that is not of this type.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self.clone() {
            Self::One(mut server) => command.query_async(&mut server).await,
            Self::Cluster(mut cluster) => command.query_async(&mut cluster).await,
        }
    }

    /// The replies to some commands, which one server is sent together: of a Cluster the one that has the slot of the
    /// keys in them, so all keys have to be of one slot. A server that has it no longer answers for none of them: all are
    /// sent again to the one that has.
    ///
    /// # Errors
    ///
    /// Where one of them has none.
    pub async fn run<T: FromRedisValue>(&self, commands: &Pipeline) -> RedisResult<T> {
        match self.clone() {
            Self::One(mut server) => commands.query_async(&mut server).await,
            Self::Cluster(mut cluster) => commands.query_async(&mut cluster).await,
        }
    }
}

impl Connector {
    /// Connects, and says who asks.
    pub(crate) async fn connect(&self) -> RedisResult<Connection> {
        match &self.servers {
            Servers::One(address) => self.server(address).await.map(Connection::One),
            Servers::Cluster(seeds) => self.cluster(seeds).await.map(Connection::Cluster),
            Servers::Sentinels { addresses, master_name, login } => {
                self.primary(addresses, master_name, login.as_ref()).await.map(Connection::One)
            }
        }
    }

    async fn server(&self, address: &Address) -> RedisResult<MultiplexedConnection> {
        let server = self.server_at(address)?;
        let client = match &self.tls {
            Some(certificates) => Client::build_with_tls(server, certificates.clone())?,
            None => Client::open(server)?,
        };
        client.get_multiplexed_async_connection_with_config(&patient()).await
    }

    /// The primary: what a Sentinel names, and says so itself. Sentinels may have another user.
    async fn primary(
        &self,
        sentinels: &[Address],
        master_name: &str,
        login: Option<&Login>,
    ) -> RedisResult<MultiplexedConnection> {
        let listen = sentinels.iter().map(|sentinel| self.listens(sentinel));
        let mut client = SentinelClientBuilder::new(listen, master_name, SentinelServerType::Master)?
            .set_client_to_redis_db(self.database.into());
        if let Some(Login { username, password }) = &self.login {
            client = client.set_client_to_redis_password(password.expose());
            if let Some(username) = username {
                client = client.set_client_to_redis_username(username);
            }
        }
        if let Some(Login { username, password }) = login {
            client = client.set_client_to_sentinel_password(password.expose());
            if let Some(username) = username {
                client = client.set_client_to_sentinel_username(username);
            }
        }
        if let Some(certificates) = &self.tls {
            client = client
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        client.build()?.get_async_connection_with_config(&patient()).await
    }

    async fn cluster(&self, seeds: &[Address]) -> RedisResult<ClusterConnection> {
        let seeds: Vec<_> = seeds.iter().map(|seed| self.server_at(seed)).collect::<RedisResult<_>>()?;
        let (shortest, longest) = CLUSTER_PAUSE;
        let mut client = ClusterClientBuilder::new(seeds)
            .connection_timeout(CONNECT_TIME)
            .response_timeout(NODE_TIME)
            .overall_response_timeout(None)
            .retries(CLUSTER_RETRIES)
            .min_retry_wait(shortest)
            .max_retry_wait(longest);
        if let Some(certificates) = &self.tls {
            client = client.certs(certificates.clone());
        }
        client.build()?.get_async_connection().await
    }

    /// A server that holds what is asked for, and who asks it.
    fn server_at(&self, address: &Address) -> RedisResult<ConnectionInfo> {
        let mut settings = RedisConnectionInfo::default().set_db(self.database.into()).set_skip_set_lib_name();
        if let Some(Login { username, password }) = &self.login {
            settings = settings.set_password(password.expose());
            if let Some(username) = username {
                settings = settings.set_username(username);
            }
        }
        Ok(self.listens(address).into_connection_info()?.set_redis_settings(settings))
    }

    fn listens(&self, Address { host, port }: &Address) -> ConnectionAddr {
        let (host, port) = (host.clone(), *port);
        match &self.tls {
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            None => ConnectionAddr::Tcp(host, port),
        }
    }
}

/// How long a reply may take is up to the question.
fn patient() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIME)).set_response_timeout(None)
}
