"""Picture files to arrays, and what is measured of them."""
