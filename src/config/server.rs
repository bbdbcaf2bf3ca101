//! `[server]` and the directory of profiles.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::World;
use super::callers::Callers;
use super::reader::{Table, plainly};
use crate::profile::{Invalid, Profile};
use crate::secret::Secret;

/// Bytes of a secret that keys are derived from (RFC 5869 section 4: as many as its hash has).
const SECRET_BYTES: usize = 32;

/// `[server]`
#[derive(Debug)]
pub struct Server {
    /// gRPC.
    pub listen: SocketAddr,
    /// TLS, where it is configured.
    pub tls: Option<Tls>,
    /// Metrics and health over HTTP, where it is configured.
    pub admin_listen: Option<SocketAddr>,
    /// What keys pseudonyms and what replicas share.
    pub pseudonym_secret: Option<Secret>,
}

/// `[server.tls]`, as PEM.
#[derive(Debug)]
pub struct Tls {
    /// The certificate chain.
    pub cert: Vec<u8>,
    /// Its private key.
    pub key: Secret,
    /// Whose client certificates are wanted.
    pub client_ca: Option<Vec<u8>>,
}

pub(super) fn read(root: &Table<'_>, world: World<'_>, callers: &Callers) -> Server {
    let listen = ([127, 0, 0, 1], 7400).into();
    let mut server = Server { listen, tls: None, admin_listen: None, pseudonym_secret: None };
    // One that was written and is broken has been reported already, and counts.
    let has_callers = !callers.is_empty() || !root.tables("callers").is_empty();
    let insecure = match root.table("server") {
        None => false,
        Some(table) => {
            let address = |key: &str| -> Option<SocketAddr> {
                let text = table.text(key)?;
                let address = text.parse().ok();
                if address.is_none() {
                    table.problem(key, "is not an address", "as in \"127.0.0.1:7400\" or \"[::1]:7400\"");
                }
                address
            };
            server.listen = address("listen").unwrap_or(server.listen);
            server.admin_listen = address("admin_listen");
            table.text("profiles");
            let plaintext = table.flag("plaintext");
            server.tls = table.table("tls").and_then(|tls| self::tls(&tls));
            server.pseudonym_secret = table.secret("pseudonym_secret", world.env);
            if server.pseudonym_secret.as_ref().is_some_and(|secret| secret.len() < SECRET_BYTES) {
                table.warning(
                    "pseudonym_secret",
                    "is under 32 bytes",
                    "use 32 random bytes: it seals what replicas share",
                );
            }
            let insecure = table.flag("insecure");
            check_exposure(&table, &server, plaintext, insecure, has_callers);
            table.done();
            insecure
        }
    };
    if !has_callers && !insecure && !world.dev {
        root.problem(
            "callers",
            "is missing: nobody could call",
            "add [callers.NAME] with token_sha256, may and applications, or write server.insecure = true",
        );
    }
    server
}

fn check_exposure(table: &Table<'_>, server: &Server, plaintext: bool, insecure: bool, has_callers: bool) {
    let loopback = is_loopback(server.listen.ip());
    if insecure && has_callers {
        table.problem("insecure", "contradicts [callers]", "remove one of them");
    }
    if insecure && !loopback {
        table.problem("insecure", "is for loopback only", "listen on 127.0.0.1, or add [callers] and remove it");
    }
    if insecure {
        table.warning("insecure", "anyone on this machine may do anything", "add [callers] and remove it");
    }
    if !loopback && server.tls.is_none() && !plaintext && !table.has("tls") {
        table.problem(
            "listen",
            "is not loopback and would send tokens in the clear",
            "add [server.tls], or plaintext = true where a mesh encrypts",
        );
    }
    if server.admin_listen.is_some_and(|address| !is_loopback(address.ip())) && !plaintext {
        let right = "listen on 127.0.0.1, or plaintext = true where a mesh encrypts";
        table.problem("admin_listen", "is not loopback and speaks plain HTTP", right);
    }
    if server.admin_listen.is_some_and(|address| address == server.listen && address.port() != 0) {
        table.problem("admin_listen", "is the address of listen", "choose another port");
    }
}

fn tls(table: &Table<'_>) -> Option<Tls> {
    let read = |key: &str| -> Option<Vec<u8>> {
        let bytes = std::fs::read(table.file(key)?).inspect_err(|error| {
            table.problem(key, &format!("cannot be read: {}", plainly(error)), "name a readable PEM file");
        });
        let bytes = bytes.ok()?;
        if pem::parse_many(&bytes).is_ok_and(|blocks| !blocks.is_empty()) {
            return Some(bytes);
        }
        table.problem(key, "is not PEM", "name a PEM file");
        None
    };
    for key in ["cert", "key"] {
        if !table.has(key) {
            table.problem(key, "is missing", "name a PEM file");
        }
    }
    let (cert, key, client_ca) = (read("cert"), read("key"), read("client_ca"));
    table.done();
    Some(Tls { cert: cert?, key: Secret::new(key?), client_ca })
}

/// The built-in profiles and those of the operator's own directory.
pub(super) fn profiles(root: &Table<'_>) -> BTreeMap<String, Profile> {
    let mut profiles = built_in(root, Profile::built_in());
    let Some(server) = root.table("server") else { return profiles };
    let Some(directory) = server.file("profiles") else { return profiles };
    let files = match std::fs::read_dir(&directory) {
        Ok(files) => files,
        Err(error) => {
            server.problem(
                "profiles",
                &format!("cannot be read: {}", plainly(&error)),
                "name a directory of .toml files",
            );
            return profiles;
        }
    };
    let mut paths: Vec<PathBuf> = files.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let wrong = |what: String| format!("file {name}.toml: {what}");
        if profiles.contains_key(&name) {
            server.problem("profiles", &wrong("has the name of a built-in profile".to_owned()), "rename the file");
            continue;
        }
        let parsed = std::fs::read_to_string(&path)
            .map_err(|error| Invalid::Meaning(format!("cannot be read: {}", plainly(&error))))
            .and_then(|text| Profile::parse(&name, &text));
        match parsed {
            Ok(profile) => drop(profiles.insert(name, profile)),
            Err(invalid) => {
                server.problem("profiles", &wrong(invalid.to_string()), "docs/profiles.md has the language")
            }
        }
    }
    profiles
}

/// Without them no application could have its profile: that they are broken is the answer, not what follows from it.
fn built_in(root: &Table<'_>, read: Result<BTreeMap<String, Profile>, Invalid>) -> BTreeMap<String, Profile> {
    read.unwrap_or_else(|invalid| {
        let wrong = format!("cannot be judged: of the formats that come with the binary, {invalid}");
        root.problem("applications", &wrong, "this build of countersign is broken: use another");
        BTreeMap::new()
    })
}

/// Whether only this machine can reach the address.
#[must_use]
pub(super) const fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{file, reader};
    use super::*;

    #[test]
    fn a_broken_built_in_profile_is_a_problem() -> Result<(), Vec<super::super::Problem>> {
        let tree = file::parse("countersign.toml", "", &BTreeMap::new())?;
        let found = reader::Found::default();
        let broken = Err(Invalid::Meaning("profile x: jwt.algorithms needs one".to_owned()));
        let profiles = built_in(&tree.root(&found), broken);
        assert!(profiles.is_empty());
        let (problems, _) = found.into_parts();
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(matches!(texts.as_slice(), [one] if one.contains("profile x: jwt.algorithms needs one")), "{texts:?}");
        Ok(())
    }
}
