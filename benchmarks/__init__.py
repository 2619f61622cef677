"""How fast it is, beside Kelviq's own SDK and beside what can be had at best; see ``__main__``."""
