"""Volumes as folders that processes find under a root of their own."""

import json
from pathlib import Path

import pytest

from minirun.runtime.base import Mount, StartError, Volume, VolumeFile
from minirun.runtime.mounts import lay_out

SHOW = """
import json, os, time
root = os.environ["MINIRUN_MOUNTS"]
seen = {path: open(root + path).read() for path in ("/secrets/db/password", "/etc/only")}
print("seen", json.dumps(seen), flush=True)
kept = os.path.exists(root + "/scratch/mark")
open(root + "/scratch/mark", "w").close()
print("kept", kept, flush=True)  # last: whoever reads it may end the process
time.sleep(1000)
"""
MOUNTS = (Mount("/secrets/db", "db"), Mount("/etc/only", "db", "deep/file"), Mount("/scratch/", "scratch"))


def volumes(password: bytes) -> tuple[Volume, ...]:
    files = VolumeFile("password", password, 0o400), VolumeFile("deep/file", b"deep", 0o644)
    return Volume("db", files), Volume("scratch")


async def test_a_process_finds_files_where_they_are_mounted_under_its_root(bench):
    spec = bench.spec(SHOW, mounts=MOUNTS, volumes=volumes(b"one"), uid="u")
    for password, kept in ((b"one", "False"), (b"two", "True")):  # as after a restart
        observed = bench.start(
            bench.bundles[spec.image].folder, mounts=MOUNTS, volumes=volumes(password), uid="u"
        )
        seen = json.loads(await observed.line("seen "))
        assert seen == {"/secrets/db/password": password.decode(), "/etc/only": "deep"}
        assert await observed.line("kept ") == kept
        assert b"put $MINIRUN_MOUNTS" in observed.output()[0]
        await observed.instance.stop()
    place = bench.folder / "data" / "runtime" / "volumes"
    assert (place / "u" / "db" / "password").stat().st_mode & 0o777 == 0o400
    bench.runtime.forget("u")
    await bench.close()
    assert not place.exists()


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/etc/passwd"])
def test_no_path_leads_out_of_its_volume(tmp_path: Path, path: str):
    with pytest.raises(ValueError, match=r"leads out of its volume; give a relative one without '\.\.'"):
        lay_out(tmp_path / "v", tmp_path / "r", [Volume("x", (VolumeFile(path, b"", 0o644),))], [])
    with pytest.raises(ValueError, match="leads out of its volume"):
        lay_out(tmp_path / "v", tmp_path / "r", [Volume("x")], [Mount("/x", "x", path)])
    assert not list(tmp_path.glob("out*"))


async def test_a_volume_that_can_not_be_made_is_a_sentence(bench):
    spec = bench.spec(SHOW, mounts=(Mount("/x", "x", "../y"),), volumes=(Volume("x"),))
    with pytest.raises(StartError, match=r"The volumes can't be made: the path '\.\./y' leads out"):
        await bench.runtime.start(spec, lambda *_: None)
