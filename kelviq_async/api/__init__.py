"""What Kelviq offers, described: one file for each area, with its models, requests and namespace."""
