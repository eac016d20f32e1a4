"""Bytes ↔ messages without I/O: the only room that knows how HTTP versions frame what they say."""
