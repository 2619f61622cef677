"""HTTP/1.1 for ordinary calls: one block of bytes out, one answer in, over kept connections."""
