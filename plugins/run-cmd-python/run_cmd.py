"""RUN_CMD: the host asks a guest to run a program. The built-in word of that name, in Python."""
import functools
import json
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import jobs, types

PARTS = ["cmd-id", "cmd", "args", "env", "path", "options"]


def refusing(half):
    """What goes wrong unforeseen is a refusal that says why, not the end of the instance."""
    @functools.wraps(half)
    def wrapped(self, given):
        try:
            return half(self, given)
        except Err:
            raise
        except (KeyError, TypeError, ValueError) as wrong:
            raise Err(types.Refusal_Invalid(f"{type(wrong).__name__}: {wrong}")) from wrong
        except Exception as wrong:
            raise Err(types.Refusal_Failed(f"{type(wrong).__name__}: {wrong}")) from wrong
    return wrapped


class Word(exports.Word):
    def describe(self):
        parameters = json.dumps({"type": "object", "required": ["cmd-id", "cmd"], "x-heard": {"at": "guest"}})
        return types.Description("RUN_CMD", "Runs a program on a guest", "0.1.0", ["run-requested"], parameters, "{}")

    @refusing
    def say(self, args):
        args = json.loads(args)
        given = {part: args[part] for part in PARTS if args.get(part) is not None}
        text = {part: value if isinstance(value, str) else json.dumps(value) for part, value in given.items()}
        # A broker takes lines of 8 KiB; escaping can double a value.
        long = {part: value for part, value in given.items() if len(text[part]) > 4000}
        short = [(part, value) for part, value in text.items() if part not in long]
        return types.Message(short, json.dumps(long).encode() if long else b"")

    @refusing
    def listen(self, heard):
        said = dict(reversed(heard.headers))
        long = json.loads(heard.body or b"{}")
        args = long.get("args") or json.loads(said.get("args", "[]"))
        env, options = (
            list((long.get(part) or json.loads(said.get(part, "{}"))).items()) for part in ["env", "options"])
        jobs.start(said["cmd-id"], types.Program(said["cmd"], args, env, said.get("path"), options))
