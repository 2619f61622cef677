"""What each operation does: one file for each area."""
