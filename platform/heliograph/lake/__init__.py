"""Candles at rest: Parquet parts under a Delta log, in a folder or on S3; the only home of boto3."""
