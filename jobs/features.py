"""`ray job submit … -- python jobs/features.py --config configs/default.yaml`; the same as `helio features`."""

import sys

from heliograph.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["features", *sys.argv[1:]]))
