"""What is known of each venue beyond ccxt: one file a venue."""
