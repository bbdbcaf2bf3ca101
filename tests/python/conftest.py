"""The servers that the tests share: one with callers and applications of every kind, one for development."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from harness import Server

APPLICATION = "acme/feedback"
ENDLESS = "acme/endless"
TOKEN = "token-of-the-caller-billing"
READER_TOKEN = "token-of-the-caller-reader"
SECRETS = {
    "FEATUREBASE_JWT_SECRET": "featurebase-jwt-secret-0123456789abcdef",
    "FEATUREBASE_IV_SECRET": "iv_featurebase-secret-0123456789abcdef",
    "ENDLESS_JWT_SECRET": "endless-jwt-secret-0123456789abcdefghij",
    "ENDLESS_IV_SECRET": "iv_endless-secret-0123456789abcdefghijk",
}
ISSUER, AUDIENCE = "https://id.acme.example", "https://app.acme.example"

CONFIG = f"""
[callers.billing]
token_sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
may = ["sign", "verify", "legacy_hash", "exchange", "diagnose"]
applications = ["acme/*"]
clients = ["web", "ios"]
[callers.reader]
token_sha256 = "{hashlib.sha256(READER_TOKEN.encode()).hexdigest()}"
may = ["verify"]
applications = ["{APPLICATION}"]
clients = []
[store]
kind = "embedded"
path = "countersign.redb"
"""

FEATUREBASE = """
[applications."NAME"]
profile = "featurebase"
environment = "production"
[applications."NAME".keys.jwt-2026]
purpose = "jwt"
secret = { env = "PREFIX_JWT_SECRET" }
[applications."NAME".keys.iv]
purpose = "legacy"
secret = { env = "PREFIX_IV_SECRET" }
[applications."NAME".attributes]
title = { type = "string" }
plan = { type = "string" }
number = { type = "string" }
theme = { type = "string", secure = false }
[applications."NAME".company_attributes]
industry = { type = "string" }
location = { type = "string" }
"""

# No hashes here: the profile's other half is its JWTs.
GENERIC = f"""
[applications."NAME"]
profile = "generic"
environment = "production"
acceptance = {{ hash_until = "2020-01-01T00:00:00Z" }}
tokens = {{ issuer = "{ISSUER}", audiences = ["{AUDIENCE}"] }}
[applications."NAME".keys.k1]
purpose = "jwt"
algorithm = "ALGORITHM"
HALF = {{ file = "FILE" }}
[applications."NAME".attributes]
plan = {{ type = "string" }}
seats = {{ type = "number" }}
"""


class Key:
    """A key as an operator holds it: a file for the server, and both halves for PyJWT."""

    def __init__(self, algorithm: str, form: str):
        self.algorithm, self.form = algorithm, form
        self.application = f"acme/{algorithm}-{form}".lower()
        self.public_only = form.startswith("public")
        if algorithm.startswith("HS"):
            self.signing = self.verifying = (f"secret of {algorithm}, " * 6).strip(", ")
            self.file = self.signing
            return
        self.signing = _generate(algorithm)
        self.verifying = self.signing.public_key()
        self.file = self._write()

    def _write(self) -> str:
        private = {"pkcs8": PrivateFormat.PKCS8, "pkcs1": PrivateFormat.TraditionalOpenSSL}
        private["sec1"] = PrivateFormat.TraditionalOpenSSL
        if self.form in private:
            return self.signing.private_bytes(Encoding.PEM, private[self.form], NoEncryption()).decode()
        if self.form == "public-spki":
            return self.verifying.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        write = {"R": RSAAlgorithm, "P": RSAAlgorithm, "E": ECAlgorithm}[self.algorithm[0]]
        if self.algorithm == "EdDSA":
            write = OKPAlgorithm
        jwk = write.to_jwk(self.verifying if self.public_only else self.signing)
        return jwk if isinstance(jwk, str) else json.dumps(jwk)


def _generate(algorithm: str):
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm.startswith("ES"):
        return ec.generate_private_key({"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}[algorithm])
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


FORMS = [
    ("HS256", "text"),
    ("HS384", "text"),
    ("HS512", "text"),
    ("RS256", "pkcs8"),
    ("RS256", "pkcs1"),
    ("RS256", "jwk"),
    ("RS256", "public-spki"),
    ("RS256", "public-jwk"),
    ("RS384", "pkcs8"),
    ("RS512", "pkcs1"),
    ("PS256", "pkcs8"),
    ("PS256", "jwk"),
    ("ES256", "pkcs8"),
    ("ES256", "sec1"),
    ("ES256", "jwk"),
    ("ES256", "public-spki"),
    ("ES384", "pkcs8"),
    ("ES384", "sec1"),
    ("ES384", "jwk"),
    ("EdDSA", "pkcs8"),
    ("EdDSA", "jwk"),
    ("EdDSA", "public-spki"),
    ("EdDSA", "public-jwk"),
]


@pytest.fixture(scope="session")
def keys() -> dict[tuple[str, str], Key]:
    return {pair: Key(*pair) for pair in FORMS}


@pytest.fixture(scope="session")
def server(keys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("countersign")
    text = CONFIG.replace("countersign.redb", str(folder / "countersign.redb"))
    text += FEATUREBASE.replace("NAME", APPLICATION).replace("PREFIX", "FEATUREBASE")
    text += FEATUREBASE.replace("NAME", ENDLESS).replace("PREFIX", "ENDLESS")
    text += f'[applications."{ENDLESS}".tokens]\nrequire_exp = false\n'
    text += f'[applications."{ENDLESS}".exchange]\njwt = true\n'
    for key in keys.values():
        file = folder / key.application.replace("/", "-")
        file.write_text(key.file)
        half = "public" if key.public_only else "secret"
        table = GENERIC.replace("NAME", key.application).replace("ALGORITHM", key.algorithm)
        text += table.replace("HALF", half).replace("FILE", str(file))
    config = folder / "countersign.toml"
    config.write_text(text)
    running = Server("--config", str(config), env=SECRETS)
    yield running
    assert running.stop() == 0, "".join(running.lines)


@pytest.fixture(scope="session")
def client(server):
    caller = server.client(TOKEN)
    yield caller
    caller.channel.close()


@pytest.fixture(scope="session")
def dev():
    running = Server("--dev")
    yield running
    assert running.stop() == 0, "".join(running.lines)
