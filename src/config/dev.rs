//! The configuration of `serve --dev`: an application to try things with, secrets that live as long as the process.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The application that is there to try things with.
pub const APPLICATION: &str = "demo";

/// The variables that hold the secrets of [`APPLICATION`]; those that are not set are generated.
pub const SECRETS: [&str; 2] = ["COUNTERSIGN_DEMO_JWT_SECRET", "COUNTERSIGN_DEMO_IV_SECRET"];

/// The attributes are those of Featurebase's migration guide, so that its examples work as they stand.
pub const CONFIGURATION: &str = r#"
[applications.demo]
profile = "featurebase"
environment = "development"
[applications.demo.keys.jwt]
purpose = "jwt"
secret = { env = "COUNTERSIGN_DEMO_JWT_SECRET" }
[applications.demo.keys.iv]
purpose = "legacy"
secret = { env = "COUNTERSIGN_DEMO_IV_SECRET" }
[applications.demo.attributes.title]
type = "string"
[applications.demo.attributes.plan]
type = "string"
[applications.demo.attributes.number]
type = "string"
[applications.demo.company_attributes.industry]
type = "string"
[applications.demo.company_attributes.location]
type = "string"
"#;

/// Generates the secrets that are not in the environment. Whether any was generated.
pub fn fill_secrets(env: &mut BTreeMap<String, String>) -> anyhow::Result<bool> {
    let mut generated = false;
    for name in SECRETS {
        if !env.contains_key(name) {
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_unspecified| anyhow::anyhow!("no randomness"))?;
            env.insert(name.to_owned(), URL_SAFE_NO_PAD.encode(bytes));
            generated = true;
        }
    }
    Ok(generated)
}
