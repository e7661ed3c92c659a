"""`ray job submit … -- python jobs/train.py --config configs/default.yaml`; the same as `helio train`."""

import sys

from heliograph.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
