#!/usr/bin/env python3
"""Recomputes the test cases of RFC 4231 (HMAC-SHA-256, -384, -512) with Python's hmac; case 5 truncates and is left out."""
import hashlib
import hmac
import json
import pathlib

CASES = {
    1: (b"\x0b" * 20, b"Hi There"),
    2: (b"Jefe", b"what do ya want for nothing?"),
    3: (b"\xaa" * 20, b"\xdd" * 50),
    4: (bytes(range(1, 26)), b"\xcd" * 50),
    6: (b"\xaa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First"),
    7: (
        b"\xaa" * 131,
        b"This is a test using a larger than block-size key and a larger than block-size data. "
        b"The key needs to be hashed before being used by the HMAC algorithm.",
    ),
}
ALGORITHMS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}

cases = [
    {"case": n, "key": key.hex(), "data": data.hex()}
    | {name: hmac.new(key, data, digest).hexdigest() for name, digest in ALGORITHMS.items()}
    for n, (key, data) in CASES.items()
]
# The printed values of the RFC, section 4.3, so that a mistake in the inputs shows.
assert cases[1]["HS256"] == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
assert cases[0]["HS256"] == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
assert cases[1]["HS384"].startswith("af45d2e376484031617f78d2b58a6b1b")
assert cases[1]["HS512"].startswith("164b7a7bfcf819e2e395fbe73b56e0a3")
pathlib.Path(__file__).with_name("rfc4231.json").write_text(json.dumps(cases, indent=1) + "\n")
