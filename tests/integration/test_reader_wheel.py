"""The reader's own wheel, as another team would use it: in an empty environment, beside its own `profiles`."""

import json
import os
import subprocess
import venv

from redis import Redis

from deploy.reader.build_wheel import build
from profiles import keys

PROGRAM = """
import json, sys
import profiles
from penchant_reader import InterestReader
reader = InterestReader.from_url(sys.argv[1])
top = reader.top("u{1}", 2, "now", at=1_795_000_000)
print(json.dumps({"theirs": profiles.OWNER, "top": [(t.interest, t.weight) for t in top]}))
"""


def test_the_reader_works_beside_another_package_called_profiles(redis_url, tmp_path):
    wheel = build(tmp_path / "wheels")
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", wheel], check=True)
    (tmp_path / "profiles.py").write_text("OWNER = 'another team'\n")
    redis = Redis.from_url(redis_url)
    redis.zadd(keys.interests("u{1}", "like", "now"), {"cats": 1_795_000_000_000_000, "old": 1_000})
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [python, "-c", PROGRAM, redis_url], cwd=tmp_path, env=clean, capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout) == {"theirs": "another team", "top": [["cats", 1.0]]}
    installed = subprocess.run(
        [python, "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True
    )
    names = {package["name"] for package in json.loads(installed.stdout)}
    assert names <= {"penchant-reader", "redis", "pip", "setuptools", "async-timeout", "pyjwt", "PyJWT"}
