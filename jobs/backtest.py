"""`ray job submit … -- python jobs/backtest.py --config configs/default.yaml`; the same as `helio backtest`."""

import sys

from heliograph.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["backtest", *sys.argv[1:]]))
