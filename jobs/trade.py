"""`ray job submit … -- python jobs/trade.py --config configs/default.yaml`; the same as `helio trade`."""

import sys

from heliograph.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["trade", *sys.argv[1:]]))
