# Python's xmlrpc.client, as it comes with Python. Arguments: address, token, a gate (see clients.rs).
import datetime, hashlib, sys, xmlrpc.client as x

url, token, gate = sys.argv[1:]
vocable = x.ServerProxy(url.replace("://", "://agent:" + token + "@"), use_builtin_types=True)

def echo(value):
    return vocable.word.ECHO("vm1", {"value": value})[0]["answer"]["value"]

def check(name, value):
    came = echo(value)
    print(name, "same" if came == value and type(came) is type(value) else "not " + repr(came))

check("boolean", [True, False])
check("integer", [-2**31, 0, 2**31 - 1])
check("double", [0.5, -1.25, 5e9, 1e100])
check("string", " <&>\"' ü€\U0001d11e ]]>\n\ttail ")
check("empty", "")
check("bytes", bytes(range(256)))
check("array", [1, "two", [3.5, []]])
check("struct", {"a": 1, "b c": {"<d>": ""}})
print("time", echo(datetime.datetime(2026, 11, 22, 9, 1, 44)))

def fault(call):
    try:
        return call()
    except x.Fault as e:
        print("fault", e.faultCode, e.faultString.split(":")[0])

fault(lambda: vocable.cmd.run("vm9", "true"))
fault(lambda: vocable.cmd.run("vm1", 5))
fault(lambda: vocable.cmd.fly())

print("lists", *(name in vocable.system.listMethods() for name in ("cmd.run", "word.ECHO", "system.multicall")))
print("signature", *vocable.system.methodSignature("cmd.wait")[0])
print("help", vocable.system.methodHelp("cmd.wait").split("(")[0])

script = "cat; printf '\\377' >&2; read x < " + gate + "; exit 4"
first = vocable.cmd.run("vm1", "sh", ["-c", script], {"stdin": "grüße".encode()})
print("state", vocable.cmd.wait(first, 0.1)["state"])
vocable.cmd.run("vm1", "sh", ["-c", "echo > " + gate])
done = vocable.cmd.wait(first, 20.0)
print("state", done["state"], done["finished"], done["exitCodeOrSignal"], done["out"], done["err"].hex())
print("created", type(done["created"]) is datetime.datetime and done["created"].year >= 2026)

large = vocable.cmd.run("vm1", "sh", ["-c", "yes 0123456789abcde | head -c 3000000"])
out, digest, more = 0, hashlib.sha256(), True
while more:
    r = vocable.cmd.wait(large, 20.0, {"until": "output", "out_offset": out, "max_output": 10**6})
    digest.update(r["out"].encode())
    out, more = r["out_offset"], r["more"] or r["state"] in ("queued", "running")
print("large", int(out), digest.hexdigest() == r["out_sha256"])
