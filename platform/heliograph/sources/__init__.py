"""Venues and other origins of data; the only home of ccxt and web3."""
