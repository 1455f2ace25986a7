#!/usr/bin/env python3
"""Runs a program on a guest and passes on its output and exit code, over XML-RPC.

usage: run.py GUEST PROGRAM [ARGUMENT...]
VOCABLE_URL (http://127.0.0.1:8700) and VOCABLE_TOKEN (of the file `token` in the state folder) say where and as whom.
"""
import os
import sys
import urllib.parse
import xmlrpc.client

url = urllib.parse.urlsplit(os.environ.get("VOCABLE_URL", "http://127.0.0.1:8700"))
vocable = xmlrpc.client.ServerProxy(
    f"{url.scheme}://agent:{os.environ['VOCABLE_TOKEN']}@{url.netloc}/RPC2", use_builtin_types=True
)


def octets(output):
    """Output that is no text comes as bytes."""
    return output if isinstance(output, bytes) else output.encode()


try:
    guest, program, *arguments = sys.argv[1:]
    command = vocable.cmd.run(guest, program, arguments)
    at = {"out_offset": 0, "err_offset": 0}
    while True:
        # At the latest after 20 seconds; then we ask again, from where we are.
        told = vocable.cmd.wait(command, 20.0, {"until": "output", **at})
        sys.stdout.buffer.write(octets(told["out"]))
        sys.stderr.buffer.write(octets(told["err"]))
        at = {name: told[name] for name in at}
        if told["state"] not in ("queued", "running") and not told["more"]:
            break
    if told["state"] != "done":
        sys.exit(f"{command} is {told['state']}")
    sys.exit(told["exitCodeOrSignal"] if told["finished"] else 128 + told["exitCodeOrSignal"])
except xmlrpc.client.Fault as fault:
    print(f"{fault.faultString} ({fault.faultCode})", file=sys.stderr)
    sys.exit(125)
