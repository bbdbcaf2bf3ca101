"""Before and After of the migration guide from Python, against `countersign serve --dev`.

README.md has the commands that generate the modules imported here.
"""

import os
import pathlib

import grpc
from google.protobuf import json_format

from countersign.v1 import authority_pb2, authority_pb2_grpc, identity_pb2

SERVER = os.environ.get("COUNTERSIGN_TARGET", "127.0.0.1:7400")
APPLICATION = os.environ.get("COUNTERSIGN_APPLICATION", "demo")
TOKEN = os.environ.get("COUNTERSIGN_TOKEN", "")

# A caller shows its token with every call. `serve --dev` asks for none.
METADATA = [("authorization", f"Bearer {TOKEN}")] if TOKEN else []

here = pathlib.Path(__file__).parent
user = json_format.Parse((here / "guide-user.json").read_text(), identity_pb2.Identity())

with grpc.insecure_channel(SERVER) as channel:
    authority = authority_pb2_grpc.TokenAuthorityStub(channel)

    # Before: the user hash.
    hashed = authority.LegacyHash(
        authority_pb2.LegacyHashRequest(application=APPLICATION, email=user.email),
        metadata=METADATA,
        timeout=5,
    )
    print("userHash:", hashed.user_hash)

    # After: the JWT.
    signed = authority.Sign(
        authority_pb2.SignRequest(application=APPLICATION, identity=user),
        metadata=METADATA,
        timeout=5,
    )
    print("featurebaseJwt:", signed.token)
    print("sign again before:", signed.expires_at.ToJsonString())

    # A verdict is not an error: look at the outcome.
    verdict = authority.Verify(
        authority_pb2.VerifyRequest(application=APPLICATION, jwt=signed.token),
        metadata=METADATA,
        timeout=5,
    )
    if verdict.WhichOneof("outcome") == "accepted":
        print("accepted for:", verdict.accepted.verified.user_id)
    else:
        print("refused:", verdict.refused.message)
