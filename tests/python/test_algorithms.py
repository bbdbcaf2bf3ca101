"""Every algorithm and every form of key: PyJWT takes what the authority signs, and the reverse."""

import base64
import hashlib
import hmac
import json
import time

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from conftest import AUDIENCE, FORMS, ISSUER
from harness import Identity, error_of, pb

SIGNING = [pair for pair in FORMS if not pair[1].startswith("public")]
VERIFYING = [pair for pair in FORMS if pair[1].startswith("public")]


def claims(**more) -> dict:
    now = int(time.time())
    return {"sub": "u-1", "plan": "Premium", "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600, **more}


def test_every_algorithm_of_the_profile_is_tried():
    assert {algorithm for algorithm, _ in FORMS} == {
        *("HS256", "HS384", "HS512"),
        *("RS256", "RS384", "RS512", "PS256"),
        *("ES256", "ES384", "EdDSA"),
    }


@pytest.mark.parametrize("pair", SIGNING, ids="-".join)
def test_pyjwt_takes_what_is_signed(client, keys, pair):
    key = keys[pair]
    identity = Identity(user_id="u-1", email="u@example.com")
    identity.attributes.update({"plan": "Premium", "seats": 7})
    signed = client.Sign(pb.SignRequest(application=key.application, identity=identity))
    header = jwt.get_unverified_header(signed.token)
    assert (header["alg"], header["kid"]) == (key.algorithm, "k1")
    found = jwt.decode(
        signed.token,
        key.verifying,
        algorithms=[key.algorithm],
        audience=AUDIENCE,
        issuer=ISSUER,
        options={"require": ["exp", "iat", "iss", "aud", "sub", "jti"]},
    )
    assert (found["sub"], found["email"], found["plan"], found["seats"]) == ("u-1", "u@example.com", "Premium", 7)
    assert found["jti"] == signed.token_id
    assert client.accepted(application=key.application, jwt=signed.token).verified == identity


@pytest.mark.parametrize("pair", FORMS, ids="-".join)
def test_what_pyjwt_signs_is_accepted(client, keys, pair):
    key = keys[pair]
    for headers in ({}, {"kid": "k1"}):
        token = jwt.encode(claims(), key.signing, algorithm=key.algorithm, headers=headers)
        accepted = client.accepted(application=key.application, jwt=token)
        assert (accepted.verified.user_id, accepted.verified.attributes["plan"]) == ("u-1", "Premium")
        assert accepted.key_id == "k1"
    token = jwt.encode(claims(), key.signing, algorithm=key.algorithm, headers={"kid": "k2"})
    assert client.refused(application=key.application, jwt=token) == "KEY_UNKNOWN"
    for wrong, why in (({"aud": "x"}, "AUDIENCE_MISMATCH"), ({"iss": "x"}, "ISSUER_MISMATCH")):
        token = jwt.encode(claims(**wrong), key.signing, algorithm=key.algorithm)
        assert client.refused(application=key.application, jwt=token) == why


@pytest.mark.parametrize("pair", FORMS, ids="-".join)
def test_a_changed_token_is_refused(client, keys, pair):
    key = keys[pair]
    header, _, signature = jwt.encode(claims(), key.signing, algorithm=key.algorithm).split(".")
    payload = encoded(json.dumps(claims(plan="Enterprise")).encode())
    assert client.refused(application=key.application, jwt=f"{header}.{payload}.{signature}") == "SIGNATURE_INVALID"
    assert client.refused(application=key.application, jwt=f"{header}.{payload}.") in {
        "SIGNATURE_INVALID",
        "TOKEN_MALFORMED",
    }


@pytest.mark.parametrize("pair", VERIFYING, ids="-".join)
def test_half_a_key_signs_nothing(client, keys, pair):
    request = pb.SignRequest(application=keys[pair].application, identity=Identity(user_id="u-1"))
    code, info, _ = error_of(client.Sign, request)
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_SIGNING_KEY")


@pytest.mark.parametrize("pair", [pair for pair in VERIFYING if pair[1] == "public-spki"], ids="-".join)
def test_a_public_key_is_no_hmac_secret(client, keys, pair):
    key = keys[pair]
    pem = key.verifying.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, pem.strip(), key.file.encode()):
        for header in ({"alg": "HS256", "typ": "JWT"}, {"alg": "HS256", "kid": "k1"}):
            signing_input = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims()).encode())}"
            digest = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
            refused = client.refused(application=key.application, jwt=f"{signing_input}.{encoded(digest)}")
            assert refused in {"ALGORITHM_NOT_ALLOWED", "KEY_UNKNOWN", "SIGNATURE_INVALID"}


@pytest.mark.parametrize("pair", [("RS256", "pkcs8"), ("PS256", "pkcs8"), ("ES256", "jwk")], ids="-".join)
def test_a_key_has_one_algorithm(client, keys, pair):
    key = keys[pair]
    other = {"RS256": "PS256", "PS256": "RS512"}.get(key.algorithm)
    if other is None:
        # The same curve cannot be used with another algorithm, so only the header lies.
        header, payload, signature = jwt.encode(claims(), key.signing, algorithm=key.algorithm).split(".")
        token = f"{encoded(json.dumps({'alg': 'ES384', 'typ': 'JWT'}).encode())}.{payload}.{signature}"
    else:
        token = jwt.encode(claims(), key.signing, algorithm=other)
    assert client.refused(application=key.application, jwt=token) in {"ALGORITHM_NOT_ALLOWED", "KEY_UNKNOWN"}


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
