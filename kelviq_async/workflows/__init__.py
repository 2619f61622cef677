"""Helpers that take several calls: upload a file, download one, find the subscription that counts."""
