//! Where a Redis store is: the URLs that can be written, and what else is needed to get there.

use std::fmt;
use std::time::Duration;

/// Addresses in one URL: more nodes than anybody names to find the others by.
const ADDRESSES_MAX: usize = 64;
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// All that is needed to reach a Redis store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it is, and who we are there.
    pub target: Target,
    /// The certificates that sign its own, in PEM; without, those the system trusts.
    pub ca: Option<Vec<u8>>,
    /// How many replicas must have a write before it counts.
    pub replicas: usize,
    /// How long any operation may take.
    pub timeout: Duration,
}

/// Where a Redis store is. Shown without the secrets its URL may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which servers make it up.
    pub topology: Topology,
    /// Whether connections are encrypted.
    pub tls: bool,
    /// The ACL user; without, the default one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Password>,
}

/// Which servers make up a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One.
    Standalone {
        /// Where.
        address: Address,
        /// Which of its databases.
        database: i64,
    },
    /// A primary that sentinels watch and replace.
    Sentinel {
        /// Where the sentinels are.
        sentinels: Vec<Address>,
        /// What they call the primary.
        primary: String,
    },
    /// Many that share the keys.
    Cluster {
        /// Where some of them are.
        nodes: Vec<Address>,
    },
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The host, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A password; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

/// What is wrong with a URL; never repeats what may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not one of ours.
    #[error("is no URL of a Redis store")]
    Scheme,
    /// A host or port is missing or wrong.
    #[error("names no host, or a port that is none")]
    Address,
    /// More than one server where there is one.
    #[error("names several hosts; `redis+sentinel` and `redis+cluster` take a list")]
    Several,
    /// Far more servers than need naming.
    #[error("names too many hosts: a few suffice to find the others")]
    TooMany,
    /// What follows the host is not the number of a database.
    #[error("ends in what is no database number, as in \"redis://host:6379/0\"")]
    Database,
    /// A sentinel does not know whom to ask for.
    #[error("names no primary, as in \"redis+sentinel://host:26379/NAME\"")]
    Primary,
    /// A cluster has one database.
    #[error("ends in a path; a cluster has none")]
    Path,
    /// A percent sign that encodes nothing, or no text.
    #[error("has a user or password that is not percent-encoded text")]
    Encoding,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |addresses: &[Address]| {
            let shown: Vec<_> = addresses.iter().map(Address::to_string).collect();
            shown.join(", ")
        };
        match &self.topology {
            Topology::Standalone { address, .. } => write!(f, "redis at {address}")?,
            Topology::Sentinel { sentinels, primary } => {
                write!(f, "redis {primary}, by sentinels at {}", list(sentinels))?;
            }
            Topology::Cluster { nodes } => write!(f, "redis cluster at {}", list(nodes))?,
        }
        if self.tls {
            f.write_str(" (TLS)")?;
        }
        Ok(())
    }
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path).filter(|path| !path.is_empty())),
            None => (rest, None),
        };
        let (identity, hosts) = match authority.rsplit_once('@') {
            Some((identity, hosts)) => (Some(identity), hosts),
            None => (None, authority),
        };
        let (base, topology) = scheme.split_once('+').unwrap_or((scheme, ""));
        let tls = match base {
            "redis" => false,
            "rediss" => true,
            _ => return Err(UrlError::Scheme),
        };
        let topology = match topology {
            "" => Topology::Standalone {
                address: one(addresses(hosts, REDIS_PORT)?)?,
                database: path
                    .map_or(Ok(0), |path| path.parse::<u16>().map(i64::from))
                    .map_err(|_| UrlError::Database)?,
            },
            "sentinel" => Topology::Sentinel {
                sentinels: addresses(hosts, SENTINEL_PORT)?,
                primary: path.ok_or(UrlError::Primary)?.to_owned(),
            },
            "cluster" if path.is_some() => return Err(UrlError::Path),
            "cluster" => Topology::Cluster {
                nodes: addresses(hosts, REDIS_PORT)?,
            },
            _ => return Err(UrlError::Scheme),
        };
        let (user, password) = match identity {
            None => (None, None),
            Some(identity) => {
                let (user, password) = match identity.split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (identity, None),
                };
                let user = Some(decode(user)?).filter(|user| !user.is_empty());
                (user, password.map(decode).transpose()?.map(Password))
            }
        };
        Ok(Self {
            topology,
            tls,
            user,
            password,
        })
    }
}

fn one(addresses: Vec<Address>) -> Result<Address, UrlError> {
    let [address] = <[Address; 1]>::try_from(addresses).map_err(|_| UrlError::Several)?;
    Ok(address)
}

fn addresses(list: &str, port: u16) -> Result<Vec<Address>, UrlError> {
    if list.split(',').count() > ADDRESSES_MAX {
        return Err(UrlError::TooMany);
    }
    list.split(',').map(|text| address(text, port)).collect()
}

fn address(text: &str, default_port: u16) -> Result<Address, UrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').ok_or(UrlError::Address)?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map_or(Ok(default_port), str::parse);
    match port {
        Ok(port) if port > 0 && !host.is_empty() => Ok(Address {
            host: host.to_owned(),
            port,
        }),
        Ok(_) | Err(_) => Err(UrlError::Address),
    }
}

/// Percent-decodes.
fn decode(text: &str) -> Result<String, UrlError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            decoded.push(byte);
            rest = after;
            continue;
        }
        let digits = after.get(..2).ok_or(UrlError::Encoding)?;
        let digits = std::str::from_utf8(digits).map_err(|_| UrlError::Encoding)?;
        decoded.push(u8::from_str_radix(digits, 16).map_err(|_| UrlError::Encoding)?);
        rest = &after[2..];
    }
    String::from_utf8(decoded).map_err(|_| UrlError::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Address {
        Address {
            host: host.into(),
            port,
        }
    }

    #[test]
    fn each_topology_has_its_scheme() {
        let plain = Target::parse("redis://localhost").unwrap();
        let address = at("localhost", 6379);
        assert_eq!(
            plain.topology,
            Topology::Standalone {
                address,
                database: 0
            }
        );
        assert!(!plain.tls && plain.user.is_none() && plain.password.is_none());

        let tls = Target::parse("rediss://[::1]:7000/3").unwrap();
        let address = at("::1", 7000);
        assert_eq!(
            tls.topology,
            Topology::Standalone {
                address,
                database: 3
            }
        );
        assert!(tls.tls);

        let sentinel = Target::parse("redis+sentinel://a,b:1/main").unwrap();
        assert_eq!(
            sentinel.topology,
            Topology::Sentinel {
                sentinels: vec![at("a", 26379), at("b", 1)],
                primary: "main".into()
            }
        );

        let cluster = Target::parse("rediss+cluster://a:1,b:2/").unwrap();
        assert_eq!(
            cluster.topology,
            Topology::Cluster {
                nodes: vec![at("a", 1), at("b", 2)]
            }
        );
    }

    #[test]
    fn who_we_are_is_decoded_and_never_shown() {
        let target = Target::parse("redis://app:s%2Fe%40c@host").unwrap();
        assert_eq!(target.user.as_deref(), Some("app"));
        assert_eq!(target.password, Some(Password("s/e@c".into())));
        assert!(!format!("{target:?} {target}").contains("s/e"));
        let password_only = Target::parse("redis://:secret@host").unwrap();
        assert_eq!(password_only.user, None);
        assert!(password_only.password.is_some());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (url, problem) in [
            ("redis:host", UrlError::Scheme),
            ("http://host", UrlError::Scheme),
            ("redis+raft://host", UrlError::Scheme),
            ("redis://", UrlError::Address),
            ("redis://:6379", UrlError::Address),
            ("redis://host:0", UrlError::Address),
            ("redis://host:port", UrlError::Address),
            ("redis://[::1", UrlError::Address),
            ("redis://a,b", UrlError::Several),
            ("redis://host/one", UrlError::Database),
            ("redis+sentinel://host", UrlError::Primary),
            ("redis+cluster://host/0", UrlError::Path),
            ("redis://a%2:b@host", UrlError::Encoding),
            ("redis://:%ff@host", UrlError::Encoding),
        ] {
            assert_eq!(Target::parse(url), Err(problem), "{url}");
        }
        let many = format!("redis+cluster://{}", vec!["a"; 65].join(","));
        assert_eq!(Target::parse(&many), Err(UrlError::TooMany));
    }
}
