#!/usr/bin/env python3
"""Writes the keys that make.sh made as JWKs (RFC 7517), private and public. Needs PyJWT with cryptography."""
import json
import pathlib

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

HERE = pathlib.Path(__file__).parent
KINDS = {"rsa": RSAAlgorithm, "ec-256": ECAlgorithm, "ec-384": ECAlgorithm, "ed25519": OKPAlgorithm}

for name, kind in KINDS.items():
    private = load_pem_private_key((HERE / f"{name}.pkcs8.pem").read_bytes(), None)
    for form, key in {"private": private, "public": private.public_key()}.items():
        jwk = kind.to_jwk(key, as_dict=True)
        jwk.pop("key_ops", None)
        (HERE / f"{name}.{form}.jwk.json").write_text(json.dumps(jwk, indent=1) + "\n")
