"""Featurebase's migration guide, from Python: what PyJWT and hmac make and take, the authority takes and makes."""

import hashlib
import hmac
import json
import time

import jwt
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from conftest import APPLICATION, ENDLESS, SECRETS
from harness import Company, Identity, LegacyProof, identity_pb2, notices, pb, reason

JWT_SECRET = SECRETS["FEATUREBASE_JWT_SECRET"]
IV_SECRET = SECRETS["FEATUREBASE_IV_SECRET"]

# The guide's user and company, as its JWT carries them.
CLAIMS = {
    "name": "User Name",
    "email": "user@example.com",
    "userId": "123456",
    "profilePicture": "https://example.com/images/yourcustomer.png",
    "title": "Product Manager",
    "plan": "Premium",
    "number": "123",
    "companies": [
        {
            "id": "987654321",
            "name": "Business Inc. 23",
            "monthlySpend": 500,
            "createdAt": "2023-05-19T15:35:49.915Z",
            "industry": "Fintech",
            "location": "Canada",
        }
    ],
}


def guide() -> Identity:
    """The same user and company in the authority's own form."""
    created = Timestamp()
    created.FromJsonString("2023-05-19T15:35:49.915Z")
    company = Company(id="987654321", name="Business Inc. 23", monthly_spend=500, created_at=created)
    company.attributes.update({"industry": "Fintech", "location": "Canada"})
    identity = Identity(
        user_id="123456",
        email="user@example.com",
        name="User Name",
        profile_picture="https://example.com/images/yourcustomer.png",
        companies=[company],
    )
    identity.attributes.update({"title": "Product Manager", "plan": "Premium", "number": "123"})
    return identity


def user_hash(value: str, secret: str = IV_SECRET) -> str:
    return hmac.new(secret.encode(), value.encode(), hashlib.sha256).hexdigest()


def token(secret: str = JWT_SECRET, **more) -> str:
    now = int(time.time())
    claims = {**CLAIMS, "iat": now, "exp": now + 3600, **more}
    return jwt.encode({name: value for name, value in claims.items() if value is not ...}, secret, algorithm="HS256")


def test_the_guides_user_is_signed_and_pyjwt_takes_the_token(client):
    signed = client.Sign(pb.SignRequest(application=APPLICATION, identity=guide()))
    claims = jwt.decode(signed.token, JWT_SECRET, algorithms=["HS256"], options={"require": ["exp", "iat"]})
    assert claims.pop("exp") - claims.pop("iat") == 3600
    assert claims == CLAIMS
    assert type(claims["companies"][0]["monthlySpend"]) is int, "integral numbers stay integers"
    assert jwt.get_unverified_header(signed.token) == {"alg": "HS256", "typ": "JWT"}
    accepted = client.accepted(application=APPLICATION, jwt=signed.token)
    assert accepted.verified == guide()
    assert accepted.token_id == signed.token_id != ""
    assert json.loads(accepted.claims_json)["plan"] == "Premium"


def test_a_token_of_pyjwt_is_accepted_with_every_attribute_verified(client):
    accepted = client.accepted(application=APPLICATION, jwt=token())
    assert accepted.credential == pb.CREDENTIAL_KIND_JWT
    assert accepted.verified == guide()
    assert not accepted.refused_attributes and not accepted.unverified.ByteSize()


def test_what_is_asserted_beside_a_token_is_never_verified(client):
    asserted = Identity(user_id="123456")
    asserted.attributes.update({"plan": "Enterprise", "theme": "dark"})
    accepted = client.accepted(application=APPLICATION, jwt=token(), asserted=asserted)
    assert dict(accepted.verified.attributes) == {"title": "Product Manager", "plan": "Premium", "number": "123"}
    assert dict(accepted.unverified.attributes) == {"theme": "dark"}
    assert client.refused(application=APPLICATION, jwt=token(), asserted=Identity(user_id="1")) == "IDENTITY_MISMATCH"


def test_the_guides_own_token_has_no_end_and_that_is_a_choice(client):
    # The guide's example sets no expiry.
    assert client.refused(application=APPLICATION, jwt=token(exp=...)) == "CLAIM_MISSING"
    endless = token(SECRETS["ENDLESS_JWT_SECRET"], exp=..., iat=...)
    assert "NO_EXPIRY" in notices(client.accepted(application=ENDLESS, jwt=endless))


@pytest.mark.parametrize(
    ("jwt_of", "why"),
    [
        (lambda: token("another-secret-0123456789abcdefghijklm"), "SIGNATURE_INVALID"),
        (lambda: token(iat=1, exp=2), "TOKEN_EXPIRED"),
        (lambda: token(exp=int(time.time()) + 10**6), "LIFETIME_TOO_LONG"),
        (lambda: token(nbf=int(time.time()) + 600), "TOKEN_NOT_YET_VALID"),
        (lambda: token(plan=7), "CLAIM_TYPE_INVALID"),
        (lambda: token(userId=..., email=...), "CLAIM_MISSING"),
        (lambda: jwt.encode(CLAIMS, None, algorithm="none"), "ALGORITHM_NOT_ALLOWED"),
        (lambda: jwt.encode(CLAIMS, JWT_SECRET * 2, algorithm="HS512"), "ALGORITHM_NOT_ALLOWED"),
        (lambda: token()[:-2], None),
        (lambda: "", "TOKEN_MALFORMED"),
    ],
)
def test_a_bad_token_is_refused_with_its_reason(client, jwt_of, why):
    found = client.refused(application=APPLICATION, jwt=jwt_of())
    assert found == why if why else found in {"SIGNATURE_INVALID", "TOKEN_MALFORMED"}


@pytest.mark.parametrize("value", ["123456", "user@example.com", "Ärger ß \U0001f600", " spaced ", "a" * 512])
def test_hashes_are_those_of_hmac(client, value):
    answer = client.LegacyHash(pb.LegacyHashRequest(application=APPLICATION, user_id=value))
    assert answer.user_hash == user_hash(value)
    assert answer.hashed == identity_pb2.HASHED_IDENTIFIER_USER_ID
    answer = client.LegacyHash(pb.LegacyHashRequest(application=APPLICATION, email=value))
    assert answer.user_hash == user_hash(value)
    proof = LegacyProof(user_hash=user_hash(value))
    accepted = client.accepted(application=APPLICATION, legacy=proof, asserted=Identity(user_id=value))
    assert accepted.verified == Identity(user_id=value)
    assert accepted.credential == pb.CREDENTIAL_KIND_LEGACY_HASH
    assert "LEGACY_HASH_DEPRECATED" in notices(accepted)


def test_company_hashes_are_those_of_hmac_and_bind_nobody(client):
    ids = ["987654321", "Büro 7"]
    answer = client.LegacyHash(pb.LegacyHashRequest(application=APPLICATION, user_id="123456", company_ids=ids))
    assert dict(answer.company_hashes) == {company: user_hash(company) for company in ids}
    proof = LegacyProof(user_hash=answer.user_hash, company_hashes=answer.company_hashes)
    accepted = client.accepted(application=APPLICATION, legacy=proof, asserted=guide())
    assert {company.id for company in accepted.verified.companies} == set(ids)
    assert not any(company.name for company in accepted.verified.companies)
    assert "COMPANY_NOT_BOUND" in notices(accepted)
    proof.company_hashes["987654321"] = user_hash("1")
    assert client.refused(application=APPLICATION, legacy=proof, asserted=guide()) == "HASH_MISMATCH"


@pytest.mark.parametrize(
    ("digest", "asserted", "why"),
    [
        (user_hash("123456", "iv_another-secret"), Identity(user_id="123456"), "HASH_MISMATCH"),
        (user_hash("123456", JWT_SECRET), Identity(user_id="123456"), "HASH_MISMATCH"),
        (user_hash("123456"), Identity(user_id="123457"), "HASH_MISMATCH"),
        # A hash over the address does not stand in for one over the user id.
        (user_hash("user@example.com"), guide(), "HASH_MISMATCH"),
        (user_hash("123456")[:-1], Identity(user_id="123456"), "HASH_MALFORMED"),
        (user_hash("123456"), Identity(), "CLAIM_MISSING"),
    ],
)
def test_a_wrong_hash_is_refused_with_its_reason(client, digest, asserted, why):
    assert client.refused(application=APPLICATION, legacy=LegacyProof(user_hash=digest), asserted=asserted) == why


def test_a_bad_token_never_falls_back_to_a_good_hash(client):
    proof = LegacyProof(user_hash=user_hash("123456"))
    request = {"application": APPLICATION, "legacy": proof, "asserted": Identity(user_id="123456")}
    client.accepted(**request)
    assert client.refused(jwt="", **request) == "TOKEN_MALFORMED"
    assert client.refused(jwt=token("another-secret-0123456789abcdefghijklm"), **request) == "SIGNATURE_INVALID"


def test_a_hash_is_exchanged_for_a_token_over_what_it_proves(client):
    request = pb.ExchangeRequest(
        application=APPLICATION, legacy=LegacyProof(user_hash=user_hash("123456")), asserted=guide()
    )
    answer = client.Exchange(request)
    assert answer.WhichOneof("outcome") == "signed", answer
    claims = jwt.decode(answer.signed.token, JWT_SECRET, algorithms=["HS256"])
    provenance = {"from": "hash", "first": claims["iat"]}
    assert claims == {"userId": "123456", "iat": claims["iat"], "exp": claims["exp"], "countersign": provenance}
    accepted = client.accepted(application=APPLICATION, jwt=answer.signed.token)
    assert accepted.verified == Identity(user_id="123456")
    request.legacy.user_hash = user_hash("123456", "iv_another-secret")
    assert reason(client.Exchange(request).refused.reason) == "HASH_MISMATCH"


def test_a_token_is_exchanged_only_where_that_is_configured(client):
    answer = client.Exchange(pb.ExchangeRequest(application=APPLICATION, jwt=token()))
    assert reason(answer.refused.reason) == "EXCHANGE_NOT_ALLOWED"
    old = token(SECRETS["ENDLESS_JWT_SECRET"])
    answer = client.Exchange(pb.ExchangeRequest(application=ENDLESS, jwt=old))
    claims = jwt.decode(answer.signed.token, SECRETS["ENDLESS_JWT_SECRET"], algorithms=["HS256"])
    assert claims["userId"] == "123456" and claims["countersign"]["from"] == "jwt"


def test_batches_answer_each_item_in_its_place(client):
    requests = [pb.SignRequest(application=APPLICATION, identity=Identity(user_id=str(n))) for n in range(20)]
    requests[7].application = "acme/nowhere"
    results = client.BatchSign(pb.BatchSignRequest(requests=requests)).results
    assert len(results) == 20
    assert reason(results[7].failure.reason) == "APPLICATION_UNKNOWN"
    checks = []
    for n, result in enumerate(results):
        if n != 7:
            assert jwt.decode(result.response.token, JWT_SECRET, algorithms=["HS256"])["userId"] == str(n)
            checks.append(pb.VerifyRequest(application=APPLICATION, jwt=result.response.token))
    verdicts = client.BatchVerify(pb.BatchVerifyRequest(requests=checks)).results
    assert all(verdict.response.HasField("accepted") for verdict in verdicts)
    hashes = [pb.LegacyHashRequest(application=APPLICATION, user_id=str(n)) for n in range(3)]
    made = client.BatchLegacyHash(pb.BatchLegacyHashRequest(requests=hashes)).results
    assert [result.response.user_hash for result in made] == [user_hash(str(n)) for n in range(3)]
