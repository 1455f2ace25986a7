"""What Condor's client in Python does with our server: PORT COOKIE."""
import os
import sys
import tempfile

from htchirp import HTChirp

with HTChirp(host="127.0.0.1", port=int(sys.argv[1]), cookie=sys.argv[2]) as chirp:
    name = "/a b\\c"
    chirp.write(b"written by htchirp", name, "wct")
    assert chirp.read(name, 100) == b"written by htchirp", chirp.read(name, 100)
    assert chirp.read(name, 3, offset=8) == b"by ", chirp.read(name, 3, offset=8)
    assert chirp.read(name, 6, offset=0, stride_length=2, stride_skip=8) == b"wrby"[:2] + b"by" + b"rp", "strides"
    assert int(chirp.stat(name)["size"]) == 18
    folder = tempfile.mkdtemp()
    local = os.path.join(folder, "local")
    with open(local, "wb") as file:
        file.write(os.urandom(100000))
    chirp.put(local, "/put")
    chirp.fetch("/put", local + ".back")
    assert open(local, "rb").read() == open(local + ".back", "rb").read()
    chirp.putfile(local, "/putfile")
    chirp.getfile("/putfile", local + ".again")
    assert open(local, "rb").read() == open(local + ".again", "rb").read()
    chirp.mkdir("/d e")
    chirp.rename("/put", "/d e/moved")
    chirp.symlink("moved", "/d e/link")
    assert chirp.readlink("/d e/link") == b"moved", chirp.readlink("/d e/link")
    chirp.chmod("/d e/moved", 0o600)
    chirp.truncate("/d e/moved", 10)
    assert int(chirp.lstat("/d e/moved")["size"]) == 10
    assert "cookie" in str(chirp.whoami())
    assert sorted(chirp.getdir("/d e")) == [".", "..", "link", "moved"], chirp.getdir("/d e")
    assert chirp.getlongdir("/d e")["moved"]["size"] == 10
    chirp.unlink("/d e/link")
    chirp.rmall("/d e")
    try:
        chirp.stat("/d e")
        raise SystemExit("it is still there")
    except HTChirp.DoesntExist:
        pass
    try:
        chirp.get_job_attr("Owner")
        raise SystemExit("there is no job")
    except HTChirp.InvalidRequest:
        pass
print("htchirp is content")
