"""`ray job submit … -- python jobs/sweep.py --config configs/default.yaml`; the same as `helio sweep`."""

import sys

from heliograph.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["sweep", *sys.argv[1:]]))
