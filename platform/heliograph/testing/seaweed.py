"""A real S3 store on loopback for tests: SeaweedFS, with true authentication and checked checksums."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = "lake"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testsecret"}
_START_S = 60.0
_TURN = Path(tempfile.gettempdir()) / f"seaweedfs-{os.getuid()}.lock"
_GRPC = 10_000  # SeaweedFS opens this much above every port too


@contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """Start a store whose objects lie in ``folder``; yields its endpoint, with the bucket `BUCKET` in it.

    Raises:
        TimeoutError: it does not answer within a minute.
    """
    weed = Path(sys.executable).parent / "weed"
    with (folder / "log").open("wb") as log, _TURN.open("wb") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # till its ports are taken: nobody else may find them free meanwhile
        s3, master, volume, filer = _free_ports(4)
        command = [
            str(weed), "-logtostderr=true", "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            f"-s3.port={s3}", f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}",
            "-webdav=false", "-admin.ui=false", f"-filer.localSocket={folder}/f.sock",
        ]  # fmt: skip
        process = subprocess.Popen(command, env=os.environ | KEYS, stdout=log, stderr=log, cwd=folder)
        try:
            endpoint = f"http://127.0.0.1:{s3}"
            _make_bucket(endpoint, process)
            fcntl.flock(turn, fcntl.LOCK_UN)
            yield endpoint
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _make_bucket(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        verify=False,
        config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
    )
    deadline = time.monotonic() + _START_S
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            break
        except (BotoCoreError, ClientError) as e:
            if process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"SeaweedFS at {endpoint} does not answer") from e
            time.sleep(0.1)
    client.close()


def _free_ports(count: int) -> list[int]:
    """Ports that are free and whose gRPC twins are, outside Ray's range and the system's ephemeral one."""
    first = 20_000 + os.getpid() % 2_500
    free = (p for p in (*range(first, 22_700), *range(20_000, first)) if _is_free(p) and _is_free(p + _GRPC))
    found = list(islice(free, count))
    if len(found) < count:
        raise OSError("no free ports between 20000 and 22700")
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0
