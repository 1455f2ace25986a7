"""Describes what xmlrpc.client reads, and writes what it is asked to: JSON lines in, JSON lines out."""

import base64
import datetime
import json
import random
import sys
import xmlrpc.client


def described(value):
    if isinstance(value, bool):
        return {"boolean": value}
    if isinstance(value, int):
        return {"int": value}
    if isinstance(value, float):
        return {"double": value.hex()}
    if isinstance(value, str):
        return {"string": value}
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, datetime.datetime):
        return {"dateTime": int((value - datetime.datetime(1970, 1, 1)).total_seconds())}
    if isinstance(value, list):
        return {"array": [described(item) for item in value]}
    return {"struct": {name: described(member) for name, member in value.items()}}


def anything(depth):
    text = "".join(random.choice("ab<>&;'\" \t\n]ü€😀") for _ in range(random.randrange(12)))
    simple = [
        bool(random.randrange(2)),
        random.randint(-(2**31), 2**31 - 1),
        random.uniform(-1, 1) * 10.0 ** random.randint(-300, 300),
        text,
        random.randbytes(random.randrange(100)),
        datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=random.randint(0, 2**33)),
    ]
    nested = [
        lambda: [anything(depth - 1) for _ in range(random.randrange(4))],
        lambda: {str(number) + text: anything(depth - 1) for number in range(random.randrange(4))},
    ]
    return random.choice(nested)() if depth and random.randrange(2) else random.choice(simple)


for line in sys.stdin:
    request = json.loads(line)
    if "read" in request:
        (value,), _ = xmlrpc.client.loads(request["read"], use_builtin_types=True)
        print(json.dumps(described(value)))
    else:
        random.seed(request["seed"])
        value = anything(3)
        print(json.dumps({"document": xmlrpc.client.dumps((value,), "m"), "described": described(value)}))
