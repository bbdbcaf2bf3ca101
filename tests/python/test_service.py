"""What a Python service sees besides verdicts: errors, diagnoses, health, reflection, the development server."""

import grpc
import jwt
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from conftest import APPLICATION, READER_TOKEN, SECRETS, TOKEN
from harness import CALL_SECS, Identity, LegacyProof, Server, diagnose_pb2, error_of, pb, reason
from test_featurebase import CLAIMS, guide, token, user_hash

SERVICE = "countersign.v1.TokenAuthority"


def test_an_error_says_why_for_programs(client):
    identity = Identity(user_id="u-1")
    identity.attributes.update({"colour": "red"})
    code, info, fields = error_of(client.Sign, pb.SignRequest(application=APPLICATION, identity=identity))
    assert (code, info.domain, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "countersign", "REQUEST_INVALID")
    assert len(fields) == 1 and "colour" in fields[0]


def test_what_cannot_be_judged_is_an_error(client):
    sign = pb.SignRequest(application=APPLICATION, identity=Identity(user_id="u-1"))
    too_long = pb.SignRequest(application=APPLICATION, identity=Identity(user_id="u-1"), ttl=Duration(seconds=10**6))
    typed = pb.SignRequest(application=APPLICATION, identity=Identity(user_id="u-1"))
    typed.identity.attributes.update({"plan": 7})
    nameless = pb.SignRequest(application=APPLICATION, identity=Identity(name="User Name"))
    nowhere = pb.SignRequest(application="acme/nowhere", identity=sign.identity)
    codes = grpc.StatusCode
    for request, code, why in [
        (too_long, codes.INVALID_ARGUMENT, "REQUEST_INVALID"),
        (typed, codes.INVALID_ARGUMENT, "CLAIM_TYPE_INVALID"),
        (nowhere, codes.NOT_FOUND, "APPLICATION_UNKNOWN"),
        (pb.SignRequest(application=APPLICATION), codes.INVALID_ARGUMENT, "REQUEST_INVALID"),
        (nameless, codes.INVALID_ARGUMENT, "CLAIM_MISSING"),
    ]:
        found, info, _ = error_of(client.Sign, request)
        assert (found, info.domain, info.reason) == (code, "countersign", why), request


def test_callers_are_known_and_do_what_they_may(server):
    sign = pb.SignRequest(application=APPLICATION, identity=Identity(user_id="u-1"))
    for caller in (None, "wrong"):
        code, info, _ = error_of(server.client(caller).Sign, sign)
        assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CALLER_UNKNOWN")
    reader = server.client(READER_TOKEN)
    code, info, _ = error_of(reader.Sign, sign)
    assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")
    reader.accepted(application=APPLICATION, jwt=token())
    code, info, _ = error_of(reader.Verify, pb.VerifyRequest(application="acme/endless", jwt=token()))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "APPLICATION_UNKNOWN")


def test_a_request_over_the_limit_is_refused(client):
    request = pb.VerifyRequest(application=APPLICATION, jwt="a" * (4 * 1024 * 1024))
    code, info, _ = error_of(client.Verify, request)
    assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_INVALID")


def failed(answer) -> list:
    return [finding for finding in answer.findings if finding.result == diagnose_pb2.FINDING_RESULT_FAILED]


def test_diagnose_finds_nothing_wrong_with_what_is_right(client):
    answer = client.Diagnose(diagnose_pb2.DiagnoseRequest(application=APPLICATION, jwt=token()))
    assert reason(answer.verdict) == "UNSPECIFIED" and not failed(answer)
    digest = user_hash("123456")
    request = diagnose_pb2.DiagnoseRequest(application=APPLICATION, user_hash=digest, asserted=guide())
    answer = client.Diagnose(request)
    assert reason(answer.verdict) == "UNSPECIFIED" and not failed(answer)


def test_diagnose_says_what_is_wrong_and_what_to_do(client):
    verdicts = {
        "SIGNATURE_INVALID": diagnose_pb2.DiagnoseRequest(jwt=token("another-secret-0123456789abcdefghijklm")),
        "HASH_MISMATCH": diagnose_pb2.DiagnoseRequest(user_hash=user_hash("user@example.com"), asserted=guide()),
        "TOKEN_EXPIRED": diagnose_pb2.DiagnoseRequest(jwt=token(iat=1, exp=2)),
    }
    for verdict, request in verdicts.items():
        request.application = APPLICATION
        answer = client.Diagnose(request)
        assert reason(answer.verdict) == verdict
        assert failed(answer) and all(finding.message and finding.remedy for finding in failed(answer)), answer
        assert not any(secret in str(answer) for secret in SECRETS.values())


@pytest.mark.parametrize("kind", ["server", "dev"])
def test_health_needs_no_caller(request, kind):
    with request.getfixturevalue(kind).channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_SECS)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def services(channel: grpc.Channel, metadata) -> set[str]:
    # The `ReflectionServiceClient` of grpcio-reflection takes no metadata, and reflection wants to know its caller.
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = stub.ServerReflectionInfo(iter([asked]), metadata=metadata, timeout=CALL_SECS)
    return {service.name for service in next(answers).list_services_response.service}


def test_reflection_lists_the_service_to_callers(server, dev):
    with server.channel() as channel:
        assert SERVICE in services(channel, [("authorization", f"Bearer {TOKEN}")])
        with pytest.raises(grpc.RpcError) as error:
            services(channel, [])
        assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
    with dev.channel() as channel:
        assert SERVICE in services(channel, [])


def test_the_development_server_takes_the_guides_user_as_it_stands(dev):
    client = dev.client()
    signed = client.Sign(pb.SignRequest(application="demo", identity=guide()))
    accepted = client.accepted(application="demo", jwt=signed.token)
    assert accepted.verified == guide()
    claims = jwt.decode(signed.token, options={"verify_signature": False})
    assert {name: claims[name] for name in CLAIMS} == CLAIMS
    made = client.LegacyHash(pb.LegacyHashRequest(application="demo", email="user@example.com"))
    proof = LegacyProof(user_hash=made.user_hash)
    client.accepted(application="demo", legacy=proof, asserted=Identity(email="user@example.com"))


def test_the_secrets_of_the_development_server_can_be_chosen():
    chosen = {
        "COUNTERSIGN_DEMO_JWT_SECRET": "chosen-jwt-secret-0123456789abcdefghijk",
        "COUNTERSIGN_DEMO_IV_SECRET": "iv_chosen-secret-0123456789abcdefghijkl",
    }
    running = Server("--dev", env=chosen)
    try:
        client = running.client()
        client.accepted(application="demo", jwt=token(chosen["COUNTERSIGN_DEMO_JWT_SECRET"]))
        made = client.LegacyHash(pb.LegacyHashRequest(application="demo", user_id="123456"))
        assert made.user_hash == user_hash("123456", chosen["COUNTERSIGN_DEMO_IV_SECRET"])
        assert not any(secret in "".join(running.lines) for secret in chosen.values())
    finally:
        code = running.stop()
    assert code == 0, "SIGTERM is an orderly end"
