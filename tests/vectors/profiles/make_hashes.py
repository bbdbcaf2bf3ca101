#!/usr/bin/env python3
"""Makes hashes.json with Python's hmac: the golden hashes of the built-in profiles and of one with base64 digests.

What is hashed, and how key and digest are written, is said here a second time and on purpose: nothing is read from
profiles/. Run it in this directory after a change of the table: ./make_hashes.py > hashes.json
"""

import base64
import hashlib
import hmac
import json

TEXT = "a text secret of 32 bytes or more"
VALUES = {"user_id": "123456", "email": "user@example.com", "company": "987654321"}

# name: what is hashed (in the order of precedence, companies last), the secret as handed out, how that is written,
# how the digest is written
TABLE = {
    "canny": (["user_id"], TEXT, "text", "hex"),
    "chatwoot": (["user_id"], TEXT, "text", "hex"),
    "featurebase": (["user_id", "email", "company"], "iv_" + TEXT, "text", "hex"),
    "front": (["email"], TEXT, "text", "hex"),
    "generic": (["user_id", "email", "company"], TEXT, "text", "hex"),
    "help-scout": (["email"], TEXT, "text", "hex"),
    "intercom": (["user_id", "email"], TEXT, "text", "hex"),
    "novu": (["user_id"], TEXT, "text", "hex"),
    "onesignal": (["user_id", "email"], TEXT, "text", "hex"),
    "plain": (["email"], TEXT, "text", "hex"),
    "pylon": (["email"], "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "hex", "hex"),
}

# The example of an operator's own profile in docs/profiles.md.
OWN = (["user_id", "email"], "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "base64", "base64")


def key_bytes(secret, encoding):
    return {"text": str.encode, "hex": bytes.fromhex, "base64": base64.b64decode}[encoding](secret)


def digest_text(digest, encoding):
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()


def entry(kinds, secret, key_encoding, digest_encoding):
    key = key_bytes(secret, key_encoding)
    mac = lambda kind: hmac.new(key, VALUES[kind].encode(), hashlib.sha256).digest()
    return {"secret": secret, "hashes": [[kind, digest_text(mac(kind), digest_encoding)] for kind in kinds]}


print(
    json.dumps(
        {
            "values": VALUES,
            "built_in": {name: entry(*row) for name, row in TABLE.items()},
            "documented_example": entry(*OWN),
        },
        indent=2,
    )
)
