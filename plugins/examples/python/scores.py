"""A claim source for Countersign: what a JSON file says of users, over countersign.plugin.v1 on a Unix socket.

The file is an object, user id to claims: {"123456": {"number": 42}}. README.md has the commands.
"""

import argparse
import json
import os
import pathlib
import signal
from concurrent import futures

import grpc

from countersign.plugin.v1 import plugin_pb2 as pb
from countersign.plugin.v1 import plugin_pb2_grpc

# Questions that are answered at once; more wait.
WORKERS = 8
# How long answers that are under way may take at the end, in seconds.
GRACE = 5


class Scores(plugin_pb2_grpc.ClaimSourceServicer):
    """Keeps nothing between calls: each Fetch says everything, so this process may be restarted at any time."""

    def __init__(self, users):
        self.users = users

    def Describe(self, request, context):
        # `sets` stays empty, which means any claim: the file decides.
        return pb.DescribeResponse(name="scores", version="1", identifiers=["user_id"])

    def Validate(self, request, context):
        """The one setting is `fresh_secs`: how long Countersign may keep an answer."""
        problems = []
        for key, value in json.loads(request.settings_json).items():
            if key != "fresh_secs":
                problems.append(pb.Problem(key=key, wrong="is not a setting", right="fresh_secs"))
            elif type(value) is not int or not 0 <= value <= 86400:
                problems.append(pb.Problem(key=key, wrong="is no time", right="whole seconds, 0 to 86400"))
        return pb.ValidateResponse(problems=problems)

    def Fetch(self, request, context):
        claims = self.users.get(request.user_id)
        if claims is None:
            return pb.FetchResponse(not_found=pb.NotFound())
        wanted = {name: claims[name] for name in request.wanted if name in claims}
        found = pb.Found(claims_json=json.dumps(wanted).encode())
        settings = json.loads(request.settings_json)
        if "fresh_secs" in settings:
            found.fresh_for.FromSeconds(settings["fresh_secs"])
        return pb.FetchResponse(found=found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--socket", required=True, help="where to listen: the path of a Unix socket")
    parser.add_argument("--users", required=True, type=pathlib.Path, help="the JSON file of users")
    arguments = parser.parse_args()

    # Held back until they are waited for, by this thread and those that it starts: none can come too early.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=WORKERS))
    plugin_pb2_grpc.add_ClaimSourceServicer_to_server(Scores(json.loads(arguments.users.read_text())), server)
    # The socket is for its owner and its group: whoever can open it can read everybody's claims.
    os.umask(0o117)
    server.add_insecure_port(f"unix:{os.path.abspath(arguments.socket)}")
    server.start()
    signal.sigwait(ends)
    server.stop(GRACE).wait()


if __name__ == "__main__":
    main()
