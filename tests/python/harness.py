"""A real server, and a client whose stubs are generated from the .proto files of this tree."""

import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading

import grpc
import grpc_tools
from grpc_status import rpc_status
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
BINARY = pathlib.Path(os.environ.get("COUNTERSIGN_BIN", TARGET / "debug" / "countersign"))
START_SECS = 20
CALL_SECS = 10


def generate_stubs() -> pathlib.Path:
    """Generates the stubs and makes them importable."""
    out = TARGET / "python-stubs"
    out.mkdir(parents=True, exist_ok=True)
    bundled = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    protos = sorted(str(path) for path in (ROOT / "proto").rglob("*.proto"))
    arguments = ["protoc", f"-I{ROOT / 'proto'}", f"-I{bundled}", f"--python_out={out}", f"--grpc_python_out={out}"]
    assert protoc.main(arguments + protos) == 0, "the .proto files do not compile"
    sys.path.insert(0, str(out))
    return out


generate_stubs()

from countersign.v1 import authority_pb2 as pb  # noqa: E402
from countersign.v1 import authority_pb2_grpc, diagnose_pb2, identity_pb2, verdict_pb2  # noqa: E402
from google.rpc import error_details_pb2  # noqa: E402

Identity = identity_pb2.Identity
Company = identity_pb2.Company
LegacyProof = identity_pb2.LegacyProof


class Server:
    """`countersign serve`, from its first line until it is told to stop."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None):
        assert BINARY.is_file(), f"{BINARY} is missing: cargo build, or set COUNTERSIGN_BIN"
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [str(BINARY), "serve", "--listen", "127.0.0.1:0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        arrived: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(arrived,), daemon=True)
        self._reader.start()
        self.address = self._listening(arrived)

    def _read(self, arrived: queue.Queue) -> None:
        for line in self.process.stderr:
            self.lines.append(line)
            arrived.put(line)
        arrived.put(None)

    def _listening(self, arrived: queue.Queue) -> str:
        try:
            while (line := arrived.get(timeout=START_SECS)) is not None:
                if line.startswith("listening on http://"):
                    return line.split("//", 1)[1].strip()
        except queue.Empty:
            pass
        self.process.kill()
        self.process.wait()
        self._reader.join(timeout=START_SECS)
        self.process.stderr.close()
        raise AssertionError("the server did not start:\n" + "".join(self.lines))

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self.address)

    def client(self, token: str | None = None) -> "Client":
        return Client(self.channel(), token)

    def stop(self) -> int:
        """Asks for an orderly end and waits for it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=START_SECS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(timeout=START_SECS)
        self.process.stderr.close()
        return code


class Client:
    """The stub, with a caller's token and a deadline on every call."""

    def __init__(self, channel: grpc.Channel, token: str | None):
        self.channel = channel
        self._stub = authority_pb2_grpc.TokenAuthorityStub(channel)
        self._metadata = [("authorization", f"Bearer {token}")] if token else []

    def __getattr__(self, name: str):
        method = getattr(self._stub, name)
        return lambda request: method(request, metadata=self._metadata, timeout=CALL_SECS)

    def accepted(self, **request) -> pb.Accepted:
        answer = self.Verify(pb.VerifyRequest(**request))
        assert answer.WhichOneof("outcome") == "accepted", answer
        return answer.accepted

    def refused(self, **request) -> str:
        answer = self.Verify(pb.VerifyRequest(**request))
        assert answer.WhichOneof("outcome") == "refused", answer
        return reason(answer.refused.reason)


def reason(value: int) -> str:
    """The reason's name without the enum's prefix."""
    return verdict_pb2.Reason.Name(value).removeprefix("REASON_")


def notices(answer) -> set[str]:
    return {verdict_pb2.NoticeCode.Name(notice.code).removeprefix("NOTICE_CODE_") for notice in answer.notices}


def error_of(call, request) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo, list[str]]:
    """The code, the ErrorInfo and the violated fields of a call that must fail."""
    try:
        answer = call(request)
    except grpc.RpcError as error:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for detail in rpc_status.from_call(error).details:
            detail.Unpack(info) if detail.Is(info.DESCRIPTOR) else None
            detail.Unpack(bad) if detail.Is(bad.DESCRIPTOR) else None
        return error.code(), info, [violation.field for violation in bad.field_violations]
    raise AssertionError(f"answered: {answer}")
