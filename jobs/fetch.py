"""`ray job submit … -- python jobs/fetch.py --config configs/default.yaml`; the same as `helio fetch`."""

import sys

from heliograph.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["fetch", *sys.argv[1:]]))
