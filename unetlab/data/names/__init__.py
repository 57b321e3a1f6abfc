"""Which mask belongs to which picture, from names alone. Pure text; nothing is opened."""
